package diag_test

import (
	"context"
	"fmt"
	"log"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
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

// The last layer of a model is diagnosed on 64 images of the built-in sample.
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
	part, err := dataset.ParseSlice("validation[:64]")
	if err != nil {
		log.Fatal(err)
	}
	set, err := part.Apply(cifar.Sample())
	if err != nil {
		log.Fatal(err)
	}

	_, head, err := n.FindLayer("head")
	if err != nil {
		log.Fatal(err)
	}
	layer := diag.Layer{Name: head.Name, Index: head.Index, Weights: head.Weights, Parameters: head.Parameters, Neck: head.Neck}
	runner := graph.NewRunner(n, graph.RunnerOptions{})
	report, err := diag.Diagnose(context.Background(), runner, images{set, preprocess}, []diag.Layer{layer}, diag.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range report.Layers {
		fmt.Printf("%s: %s, ΔL > 0: %t, ΔL̂ > 0: %t\n", l.Name, l.Status, l.DeltaLoss > 0, l.Transfer.Gain.Mean > 0)
	}
	for _, v := range report.Violations {
		fmt.Println(v.Rule, v.Level)
	}
	// Output:
	// head: ok, ΔL > 0: true, ΔL̂ > 0: true
	// MD002 error
	// MD012 warning
}
