package graph

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// tiedModel has one matrix for three modules, a, b and c, two of which read it
// through the nodes that they are given.
func tiedModel(third string) *onnxtest.Builder {
	b := vectorModel()
	b.Float("val_1", []int{3, 3}, ramp(9))
	b.Node("MatMul", []string{"x", "val_1"}, []string{"p"}).Name("/a/MatMul")
	b.Node("Tanh", []string{"p"}, []string{"bent"}).Name("/Tanh")
	b.Node("MatMul", []string{"bent", "val_1"}, []string{"q"}).Name("/b/MatMul")
	b.Node("Tanh", []string{"q"}, []string{"again"}).Name("/Tanh_1")
	b.Node("MatMul", []string{"again", "val_1"}, []string{"r"}).Name(third)
	return finish(b, "r")
}

// weightNamed returns the index of a weight.
func weightNamed(t *testing.T, n *Network, name string) int {
	t.Helper()
	i := slices.IndexFunc(n.Weights, func(w *Weight) bool { return w.Name == name })
	if i < 0 {
		t.Fatalf("no weight is called %q", name)
	}
	return i
}

func TestUntied(t *testing.T) {
	n, err := Build(parse(t, tiedModel("/c/MatMul")), Options{Batch: 3, NoFuse: true})
	if err != nil {
		t.Fatal(err)
	}
	layers := []string{"tensor:a.weight"}
	err = n.CheckUnshared(layers)
	var refused *Error
	if !errors.As(err, &refused) || refused.Hint() == "" || !strings.Contains(err.Error(),
		`weight "a.weight" (tensor "val_1") of the layer to train is used at 3 places: a.weight in node "/a/MatMul" (MatMul), b.weight in`) {
		t.Errorf("a shared weight: %v", err)
	}
	untied, err := n.Untied(layers)
	if err != nil {
		t.Fatal(err)
	}
	if err := untied.CheckUnshared(layers); err != nil {
		t.Error(err)
	}
	if untied.Batch != 3 || untied.Model == n.Model || len(untied.Weights) != len(n.Weights)+2 {
		t.Errorf("batch %d, %d weights", untied.Batch, len(untied.Weights))
	}
	// The layer that was asked for keeps the tensor, the others have copies.
	for name, tensor := range map[string]string{"a.weight": "val_1", "b.weight": "val_1::untied", "c.weight": "val_1::untied_2", "head.weight": "head.weight"} {
		if w := untied.Weights[weightNamed(t, untied, name)]; w.Tensor.Name != tensor {
			t.Errorf("%s is tensor %s, expected %s", name, w.Tensor.Name, tensor)
		}
	}
	if n.Shared(weightNamed(t, n, "a.weight")) == nil {
		t.Error("the network itself has changed")
	}
	same, err := untied.Untied(layers)
	if err != nil || same != untied {
		t.Errorf("nothing is shared any more: %v", err)
	}
	// The bytes count from the first model on.
	w := untied.Weights[weightNamed(t, untied, "a.weight")]
	edits := onnx.Edits{Weights: map[*onnx.Tensor][]float32{w.Tensor: make([]float32, 9)}}
	draft, err := untied.Model.Draft(filepath.Join(t.TempDir(), "out.onnx"), edits)
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	if changed, err := draft.Verify(edits); err != nil || changed < 2*9*4 {
		t.Errorf("%d bytes, %v", changed, err)
	}
}

func TestUntiedRefuses(t *testing.T) {
	n, err := Build(parse(t, tiedModel("nameless")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"tensor:a.weight": `weight "a.weight" cannot be untied: node "nameless" (MatMul) does not tell what it is there`,
		"tensor:absent":   `no layer is called "tensor:absent"`,
	} {
		var refused *Error
		if _, err := n.Untied([]string{name}); !errors.As(err, &refused) || refused.Hint() == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if same, err := n.Untied([]string{"tensor:head.weight"}); err != nil || same != n {
		t.Errorf("a weight that is not shared: %v", err)
	}
}
