package lowering

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

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

// lowerValues lowers one node of a model made for the purpose. Operators of
// ONNX Runtime's own domain are named with it.
func lowerValues(t *testing.T, p *op.Program, opset int64, operator string, outputs int, in []*op.Value, attrs ...onnxtest.Attr) ([]*op.Value, error) {
	t.Helper()
	domain := ""
	if name, ok := strings.CutPrefix(operator, microsoft+"."); ok {
		domain, operator = microsoft, name
	}
	b := onnxtest.New(opset)
	b.Domain(microsoft, 1)
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
			optest.CloseTo(t, "result", out[0].Const.AsFloats(), k.want, 1e-6)
		})
	}
}

func array(a op.Array) *op.Array { return &a }

func vector(v ...int64) *op.Array { return array(op.Ints(v, len(v))) }

func numbers(n ...float64) []float64 { return n }

func checkFails(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
}

func TestReshapeLowerings(t *testing.T) {
	x := array(optest.Counting(2, 3, 4))
	empty := array(optest.Counting(0, 3))
	all := op.Elem[float64](*x)
	checkLowerings(t, []lowering{
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(0, -1)}, shape: []int{2, 12}, want: all},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector()}, fails: "expected a shape of 24 elements"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(-1, -1)}, fails: "more than one -1"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(5, -1)}, fails: "does not divide"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(24, 1, 1, 0)}, fails: "copies dimension 3"},
		{operator: "Reshape", opset: 13, in: []*op.Array{x, vector(1<<30, 1<<30, 1<<30, -1)}, fails: "more than"},
		{operator: "Reshape", opset: 14, attrs: attributes(onnxtest.Int("allowzero", 1)), in: []*op.Array{empty, vector(3, 0)}, shape: []int{3, 0}},
		{operator: "Flatten", opset: 13, attrs: attributes(onnxtest.Int("axis", 3)), in: []*op.Array{x}, shape: []int{24, 1}, want: all},
		{operator: "Flatten", opset: 13, attrs: attributes(onnxtest.Int("axis", 4)), in: []*op.Array{x}, fails: "axis 4"},
		{operator: "Squeeze", opset: 11, in: []*op.Array{array(optest.Counting(1, 2, 1))}, shape: []int{2}, want: numbers(0, 1)},
		{operator: "Squeeze", opset: 11, attrs: attributes(onnxtest.Ints("axes", -1)), in: []*op.Array{array(optest.Counting(1, 2, 1))}, shape: []int{1, 2}, want: numbers(0, 1)},
		{operator: "Squeeze", opset: 13, in: []*op.Array{x, vector(1)}, fails: "has size 3, expected 1"},
		{operator: "Unsqueeze", opset: 11, attrs: attributes(onnxtest.Ints("axes", 0, 2)), in: []*op.Array{array(optest.Counting(2))}, shape: []int{1, 2, 1}, want: numbers(0, 1)},
		{operator: "Unsqueeze", opset: 13, in: []*op.Array{array(optest.Counting(2)), vector(-1, 3)}, fails: "axis 3"},
		{operator: "Unsqueeze", opset: 13, in: []*op.Array{array(optest.Counting(2)), vector(1, -2)}, fails: "twice"},
	})
}

func TestSliceLowerings(t *testing.T) {
	x := array(optest.Counting(5))
	checkLowerings(t, []lowering{
		{operator: "Slice", opset: 9, attrs: attributes(onnxtest.Ints("starts", 1), onnxtest.Ints("ends", math.MaxInt64)), in: []*op.Array{x}, shape: []int{4}, want: numbers(1, 2, 3, 4)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(-1), vector(math.MinInt64), vector(0), vector(-2)}, shape: []int{3}, want: numbers(4, 2, 0)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(math.MaxInt64), vector(math.MinInt64), nil, vector(math.MinInt64)}, shape: []int{1}, want: numbers(4)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(3), vector(1)}, shape: []int{0}},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0), vector(9), vector(-1), vector(2)}, shape: []int{3}, want: numbers(0, 2, 4)},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0), vector(9), vector(0), vector(0)}, fails: "step 0"},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0, 0), vector(9)}, fails: "as many starts"},
		{operator: "Slice", opset: 13, in: []*op.Array{x, vector(0), vector(9), vector(1)}, fails: "axis 1"},
		{operator: "Concat", opset: 13, attrs: attributes(onnxtest.Int("axis", -1)), in: []*op.Array{x, array(optest.Counting(2))}, shape: []int{7}, want: numbers(0, 1, 2, 3, 4, 0, 1)},
		{operator: "Concat", opset: 13, attrs: attributes(onnxtest.Int("axis", 0)), in: []*op.Array{x, array(optest.Counting(2, 2))}, fails: "differ along axis 0 only"},
		{operator: "Expand", opset: 13, in: []*op.Array{array(optest.Counting(2, 1)), vector(3, 1, 2)}, shape: []int{3, 2, 2}, want: numbers(0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1)},
		{operator: "Expand", opset: 13, in: []*op.Array{x, vector(3)}, fails: "do not broadcast"},
		{operator: "Tile", opset: 13, in: []*op.Array{array(optest.Counting(1, 2)), vector(2, 2)}, shape: []int{2, 4}, want: numbers(0, 1, 0, 1, 0, 1, 0, 1)},
		{operator: "Tile", opset: 13, in: []*op.Array{x, vector(1 << 30)}, fails: "over the limit"},
		{operator: "Transpose", opset: 13, in: []*op.Array{array(optest.Counting(2, 2))}, shape: []int{2, 2}, want: numbers(0, 2, 1, 3)},
		{operator: "Transpose", opset: 13, attrs: attributes(onnxtest.Ints("perm", 0, 0)), in: []*op.Array{array(optest.Counting(2, 2))}, fails: "expected a permutation"},
		{operator: "DepthToSpace", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2)), in: []*op.Array{array(optest.Counting(1, 8, 1, 1))}, shape: []int{1, 2, 2, 2}, want: numbers(0, 2, 4, 6, 1, 3, 5, 7)},
		{operator: "DepthToSpace", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2), onnxtest.String("mode", "CRD")), in: []*op.Array{array(optest.Counting(1, 8, 1, 1))}, shape: []int{1, 2, 2, 2}, want: numbers(0, 1, 2, 3, 4, 5, 6, 7)},
		{operator: "SpaceToDepth", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2)), in: []*op.Array{array(optest.Counting(1, 1, 2, 2))}, shape: []int{1, 4, 1, 1}, want: numbers(0, 1, 2, 3)},
	})
}

func TestSplit(t *testing.T) {
	x := array(optest.Counting(1, 5))
	for _, k := range []struct {
		opset   int64
		attrs   []onnxtest.Attr
		in      []*op.Array
		outputs int
		want    []int // the sizes
		fails   string
	}{
		{11, attributes(onnxtest.Int("axis", 1), onnxtest.Ints("split", 2, 3)), []*op.Array{x}, 2, []int{2, 3}, ""},
		{13, attributes(onnxtest.Int("axis", -1)), []*op.Array{x, vector(1, 0, 4)}, 3, []int{1, 0, 4}, ""},
		{18, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 3)), []*op.Array{x}, 3, []int{2, 2, 1}, ""},
		{18, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 4)), []*op.Array{x}, 4, []int{2, 2, 1, 0}, ""},
		{13, attributes(onnxtest.Int("axis", 1)), []*op.Array{x, vector(2, 2)}, 2, nil, "add up to the 5 of axis 1"},
		{13, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 1<<40)), []*op.Array{x}, 2, nil, "cannot be split"},
	} {
		out, err := lowerNode(t, k.opset, "Split", k.outputs, k.in, k.attrs...)
		if k.fails != "" {
			checkFails(t, err, k.fails)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		at := 0.0
		for i, v := range out {
			if v.Type.Shape[1] != k.want[i] {
				t.Errorf("split %v: part %d has size %d", k.want, i, v.Type.Shape[1])
			}
			for _, x := range v.Const.AsFloats() {
				if x != at {
					t.Errorf("split %v: part %d holds %g, want %g", k.want, i, x, at)
				}
				at++
			}
		}
	}
}

func attributes(a ...onnxtest.Attr) []onnxtest.Attr { return a }
