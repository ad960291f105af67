package pol_test

import (
	"context"
	"fmt"
	"log"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
)

// images are a set of images as a model takes them.
type images struct {
	dataset.Set
	preprocess dataset.Preprocess
}

func (s images) Read(i int, dst []float32) error {
	img, err := s.Image(i)
	if err != nil {
		return err
	}
	return s.preprocess.Apply(img, dst)
}

// The last layer of a model is trained by SGD for an epoch of 64 images. Whether
// that is accepted depends on 32 others, and here it is not.
func Example() {
	m, err := onnx.Open("../fixtures/vit-cifar100/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	n, err := graph.Build(m, graph.Options{})
	if err != nil {
		log.Fatal(err)
	}
	found, err := dataset.FindPreprocess(dataset.ModelFile{Path: m.Path, Metadata: m.Metadata})
	if err != nil {
		log.Fatal(err)
	}
	preprocess, err := found.ForInput(n.Input.Height, n.Input.Width)
	if err != nil {
		log.Fatal(err)
	}
	source := cifar.Sample()
	part := func(expr string) nn.Examples {
		slice, err := dataset.ParseSlice(expr)
		if err != nil {
			log.Fatal(err)
		}
		set, err := slice.Apply(source)
		if err != nil {
			log.Fatal(err)
		}
		return images{set, preprocess}
	}
	data := pol.Data{Train: part("train[:64]"), Validation: part("validation[:32]"), Holdout: part("holdout[:32]")}

	_, head, err := n.FindLayer("head")
	if err != nil {
		log.Fatal(err)
	}
	recipe, err := pol.FindRecipe("sgd")
	if err != nil {
		log.Fatal(err)
	}
	plan := pol.Plan{Recipe: recipe, Update: []diag.Layer{
		{Name: head.Name, Index: head.Index, Weights: head.Weights, Parameters: head.Parameters, Neck: head.Neck},
	}}
	opt := pol.DefaultOptions(recipe)
	opt.Epochs, opt.Batch, opt.Temperature = 1, 32, 1
	result, err := pol.Treat(context.Background(), graph.NewRunner(n, graph.RunnerOptions{}), data, plan, opt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("steps:", result.Steps)
	for w := range n.Weights {
		if _, ok := result.Weights[w]; ok {
			fmt.Println("changed:", n.Weights[w].Name)
		}
	}
	fmt.Println("accepted:", result.Accepted())
	// Output:
	// steps: 2
	// changed: norm.weight
	// changed: norm.bias
	// changed: head.weight
	// changed: head.bias
	// accepted: false
}
