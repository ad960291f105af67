package graph_test

import (
	"context"
	"fmt"
	"log"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// The layers of a model, each with the neck below it.
func ExampleBuild() {
	m, err := onnx.Open("../fixtures/vit-cifar100/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	n, err := graph.Build(m, graph.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s, %d classes\n", n.Family(), n.Classes)
	for _, l := range n.Layers(graph.ByBlock) {
		fmt.Println(l.Name, l.Parameters, "parameters, neck", l.Neck)
	}
	// Output:
	// ViT, 6 blocks, 100 classes
	// embed 20256 parameters, neck 0
	// blocks.0 111840 parameters, neck 3
	// blocks.1 111840 parameters, neck 5
	// blocks.2 111840 parameters, neck 7
	// blocks.3 111840 parameters, neck 9
	// blocks.4 111840 parameters, neck 11
	// blocks.5 111840 parameters, neck 13
	// head 9892 parameters, neck 15
}

// The losses of two examples, first from the image, then from the neck below the
// last layer, whose activations Advance computes.
func ExampleRunner_Evaluate() {
	m, err := onnx.Open("../fixtures/vit-cifar100/model.onnx")
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	n, err := graph.Build(m, graph.Options{Batch: 2})
	if err != nil {
		log.Fatal(err)
	}
	r := graph.NewRunner(n, graph.RunnerOptions{})
	images, labels := make([]float32, 2*r.NeckElements(0)), []int{3, 7}
	for i := range images {
		images[i] = float32(i%5) - 2
	}
	ctx := context.Background()
	losses, logits := make([]float64, 2), make([]float32, 2*r.Classes())
	if err := r.Evaluate(ctx, 0, images, labels, 1, losses, logits); err != nil {
		log.Fatal(err)
	}

	layers := n.Layers(graph.ByBlock)
	neck := layers[len(layers)-1].Neck
	activations := make([]float32, 2*r.NeckElements(neck))
	if err := r.Advance(ctx, 0, neck, images, activations, 2); err != nil {
		log.Fatal(err)
	}
	above := make([]float64, 2)
	if err := r.Evaluate(ctx, neck, activations, labels, 1, above, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println("positive:", losses[0] > 0 && losses[1] > 0)
	fmt.Println("the same from the neck:", above[0] == losses[0] && above[1] == losses[1])
	// Output:
	// positive: true
	// the same from the neck: true
}
