package lowering

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// Tolerance of the ONNX backend test suite on float outputs.
const (
	suiteRelative = 1e-3
	suiteAbsolute = 1e-7
)

// excluded lists the cases of the ONNX node tests that are not expected to
// pass, with the reason. A case that passes must not be on it.
var excluded = map[string]string{
	// Half floats are computed in float32; the reference rounds the scores.
	"attention_4d_gqa_with_past_and_present_fp16":          "the reference rounds intermediate results to float16",
	"attention_4d_gqa_with_past_and_present_fp16_expanded": "the reference rounds intermediate results to float16",
}

// TestONNXNodes runs the node tests of the ONNX project: each model is lowered
// with its inputs as constants, so that everything folds, and its outputs are
// compared with the recorded ones.
func TestONNXNodes(t *testing.T) {
	root := shareddata.Path(t, "onnx-node-tests")
	models, err := filepath.Glob(filepath.Join(root, "*", "model.onnx"))
	if err != nil || len(models) == 0 {
		t.Fatalf("no cases in %s (%v)", root, err)
	}
	registry := NewRegistry()
	passed, listed := 0, 0
	for _, path := range models {
		name := filepath.Base(filepath.Dir(path))
		err := runNodeCase(registry, path)
		reason, isListed := excluded[name]
		switch {
		case err == nil && isListed:
			t.Errorf("%s passes, but is on the list of excluded cases (%s): take it off", name, reason)
		case err != nil && !isListed:
			t.Errorf("%s: %v", name, err)
		case isListed:
			listed++
		default:
			passed++
		}
	}
	for name := range excluded {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("excluded case %s: %v", name, err)
		}
	}
	t.Logf("%d passed, %d on the list", passed, listed)
}

// runNodeCase folds the model at path over its recorded inputs and compares the
// outputs.
func runNodeCase(registry *Registry, path string) (err error) {
	defer func() { // a panic is this case's failure, not the end of the others
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	m, err := onnx.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	data := filepath.Join(filepath.Dir(path), "test_data_set_0")
	p := op.NewProgram(0)
	values := map[string]*op.Value{}
	for i, input := range m.Inputs {
		a, err := readTensorProto(filepath.Join(data, fmt.Sprintf("input_%d.pb", i)))
		if err != nil {
			return fmt.Errorf("input %q: %w", input.Name, err)
		}
		values[input.Name] = p.Constant(a)
	}
	for _, tensor := range m.Tensors {
		a, err := tensorArray(tensor)
		if err != nil {
			return err
		}
		values[tensor.Name] = p.Constant(a)
	}
	for _, n := range m.Nodes {
		if err := lowerInto(registry, p, n, values); err != nil {
			return fmt.Errorf("%s: %w", n.Label(), err)
		}
	}
	for i, output := range m.Outputs {
		want, err := readTensorProto(filepath.Join(data, fmt.Sprintf("output_%d.pb", i)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // an optional output that the case does not record
		}
		if err != nil {
			return fmt.Errorf("output %q: %w", output.Name, err)
		}
		got := values[output.Name]
		if got == nil || got.Const == nil {
			return fmt.Errorf("output %q was not computed", output.Name)
		}
		if err := sameArray(*got.Const, want); err != nil {
			return fmt.Errorf("output %q: %w", output.Name, err)
		}
	}
	return nil
}

func lowerInto(registry *Registry, p *op.Program, n *onnx.Node, values map[string]*op.Value) error {
	in := make([]*op.Value, len(n.Inputs))
	for i, name := range n.Inputs {
		if in[i] = values[name]; in[i] == nil && name != "" {
			return fmt.Errorf("input %q was not computed", name)
		}
	}
	entry, err := registry.Find(n.Domain, n.OpType, n.Opset)
	if err != nil {
		return err
	}
	p.At(n)
	out, err := entry.Lower(&Call{Program: p, Node: n, Opset: n.Opset, In: in})
	if err != nil {
		return err
	}
	for i, name := range n.Outputs {
		if name != "" && i < len(out) && out[i] != nil {
			values[name] = out[i]
		}
	}
	return nil
}

// readTensorProto reads a file that holds one serialized TensorProto, by
// wrapping it as the initializer of a model.
func readTensorProto(path string) (op.Array, error) {
	tensor, err := os.ReadFile(path)
	if err != nil {
		return op.Array{}, err
	}
	const graphInitializer = 5 // field number of onnx.proto
	b := onnxtest.New(20)
	b.GraphField(graphInitializer, tensor)
	b.Node("Constant", nil, []string{"no output of the case"}, onnxtest.Int("value_int", 0))
	b.Output("no output of the case", onnx.Int64)
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		return op.Array{}, err
	}
	if len(m.Tensors) != 1 {
		return op.Array{}, fmt.Errorf("%s: %d tensors, want 1", path, len(m.Tensors))
	}
	return tensorArray(m.Tensors[0])
}

// sameArray compares as the suite does: type and shape, integers and truth
// values exactly, floats within its tolerance.
func sameArray(got, want op.Array) error {
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("type %v, want %v", got.Type, want.Type)
	}
	exact := !want.DType.IsFloat()
	x, y := got.AsFloats(), want.AsFloats()
	for i := range y {
		same := x[i] == y[i] || math.IsNaN(x[i]) && math.IsNaN(y[i])
		if !same && (exact || !(math.Abs(x[i]-y[i]) <= suiteAbsolute+suiteRelative*math.Abs(y[i]))) {
			return fmt.Errorf("element %d is %v, want %v", i, x[i], y[i])
		}
	}
	return nil
}
