package lowering

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// lowering is a literal case: shape and elements of the first result, or a part
// of the error.
type lowering struct {
	operator string
	opset    int64
	attrs    []onnxtest.Attr
	in       []*op.Array
	shape    []int
	want     []float64
	fails    string
}

func checkLowerings(t *testing.T, cases []lowering) {
	t.Helper()
	for i, k := range cases {
		t.Run(fmt.Sprintf("%d-%s-%d", i, k.operator, k.opset), func(t *testing.T) {
			out, err := lowerNode(t, k.opset, k.operator, 1, k.in, k.attrs...)
			if k.fails != "" {
				checkFails(t, err, k.fails)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(out[0].Type.Shape, k.shape) {
				t.Errorf("shape %v, want %v", out[0].Type.Shape, k.shape)
			}
			testdevice.CloseTo(t, "result", out[0].Const.AsFloats(), k.want, 1e-6)
		})
	}
}

// lowerNode lowers one node whose inputs are constants (nil: absent).
func lowerNode(t *testing.T, opset int64, operator string, outputs int, inputs []*op.Array, attrs ...onnxtest.Attr) ([]*op.Value, error) {
	t.Helper()
	p := op.NewProgram(0)
	in := make([]*op.Value, len(inputs))
	for i, a := range inputs {
		if a != nil {
			in[i] = p.Constant(*a)
		}
	}
	return lowerValues(t, p, opset, operator, outputs, in, attrs...)
}

// lowerValues lowers one node of a model made for the purpose. Operators of another
// domain than ai.onnx are named with it.
func lowerValues(t *testing.T, p *op.Program, opset int64, operator string, outputs int, in []*op.Value, attrs ...onnxtest.Attr) ([]*op.Value, error) {
	t.Helper()
	domain := ""
	b := onnxtest.New(opset)
	if dot := strings.LastIndex(operator, "."); dot >= 0 {
		domain, operator = operator[:dot], operator[dot+1:]
		b.Domain(domain, opset)
	}
	names, results := make([]string, len(in)), make([]string, outputs)
	for i, v := range in {
		if v != nil {
			names[i] = fmt.Sprint("x", i)
			b.Input(names[i], v.Type.DType)
		}
	}
	for i := range results {
		results[i] = fmt.Sprint("y", i)
		b.Output(results[i], onnx.Float)
	}
	b.Node(operator, names, results, attrs...).Domain(domain)
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := NewRegistry().Find(domain, operator, opset)
	if err != nil {
		t.Fatal(err)
	}
	return entry.Lower(&Call{Program: p, Node: m.Nodes[0], Opset: opset, In: in})
}

// lower runs one node over the inputs and returns its first output.
func lower(t *testing.T, opset int64, n *onnx.Node, in ...*op.Value) (*op.Value, error) {
	t.Helper()
	p := op.NewProgram(0)
	entry, err := NewRegistry().Find(n.Domain, n.OpType, opset)
	if err != nil {
		t.Fatal(err)
	}
	out, err := entry.Lower(&Call{Program: p, Node: n, Opset: opset, In: in})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func array(a op.Array) *op.Array     { return &a }
func vector(v ...int64) *op.Array    { return array(op.Ints(v, len(v))) }
func numbers(n ...float64) []float64 { return n }

// double returns a DOUBLE array.
func double(data []float64, shape ...int) *op.Array {
	return &op.Array{Type: op.Type{DType: onnx.Double, Shape: shape}, Data: data}
}

func attributes(a ...onnxtest.Attr) []onnxtest.Attr { return a }

func checkFails(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
}
