package op

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// counting returns a DOUBLE array 0, 1, 2, …: every element tells where it came
// from.
func counting(shape ...int) Array {
	a := NewArray(Type{onnx.Double, shape})
	for i := range Elem[float64](a) {
		Elem[float64](a)[i] = float64(i)
	}
	return a
}

// lowerNode lowers one node whose inputs are constants (nil: absent).
func lowerNode(t *testing.T, opset int64, operator string, outputs int, inputs []*Array, attrs ...onnxtest.Attr) ([]*Value, error) {
	t.Helper()
	p := NewProgram(0)
	in := make([]*Value, len(inputs))
	for i, a := range inputs {
		if a != nil {
			in[i] = p.Constant(*a)
		}
	}
	return lowerValues(t, p, opset, operator, outputs, in, attrs...)
}

// lowerValues lowers one node of a model made for the purpose. Operators of
// ONNX Runtime's own domain are named with it.
func lowerValues(t *testing.T, p *Program, opset int64, operator string, outputs int, in []*Value, attrs ...onnxtest.Attr) ([]*Value, error) {
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
	in       []*Array
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
			closeTo(t, "result", out[0].Const.AsFloats(), k.want, 1e-6)
		})
	}
}

func array(a Array) *Array           { return &a }
func vector(v ...int64) *Array       { return array(Ints(v, len(v))) }
func numbers(n ...float64) []float64 { return n }

func checkFails(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want one with %q", err, part)
	}
}

func TestCopyStridedAgreesWithIndexing(t *testing.T) {
	// The plain definition, element by element, against the planned copy, for
	// shapes that meet every path: merged, one row, tiles with remainders,
	// repeated and reversed axes, several tasks.
	for _, k := range []struct {
		shape []int
		from  placement
		n     int
	}{
		{[]int{}, placement{0, []int{}}, 1},
		{[]int{5}, placement{4, []int{-1}}, 5},
		{[]int{3, 4, 5}, placement{0, []int{20, 5, 1}}, 60},
		{[]int{5, 4, 3}, placement{0, []int{1, 5, 20}}, 60},
		{[]int{33, 17}, placement{0, []int{1, 33}}, 33 * 17},
		{[]int{2, 50, 300}, placement{0, []int{15000, 1, 50}}, 30000},
		{[]int{700, 30}, placement{0, []int{1, 700}}, 21000},
		{[]int{3, 20000}, placement{0, []int{0, 1}}, 20000},
		{[]int{40000}, placement{7, []int{0}}, 8},
		{[]int{2, 3, 4, 5}, placement{119, []int{-60, -20, -5, -1}}, 120},
		{[]int{2, 3, 0}, placement{0, []int{0, 0, 1}}, 1},
	} {
		src := counting(k.n)
		want := make([]float64, elements(k.shape))
		for i := range want {
			at, rest := k.from.offset, i
			for d := len(k.shape) - 1; d >= 0; d-- {
				at += rest % k.shape[d] * k.from.strides[d]
				rest /= k.shape[d]
			}
			want[i] = float64(at)
		}
		for _, threads := range []int{1, 3} {
			dst := NewArray(Type{onnx.Double, k.shape})
			copyStrided(kernel.NewContext(threads), k.shape, dst, placement{strides: rowMajor(k.shape)}, src, k.from)
			if !slices.Equal(Elem[float64](dst), want) {
				t.Errorf("shape %v from %v: wrong with %d threads", k.shape, k.from, threads)
			}
		}
	}
}

func TestLayoutGradients(t *testing.T) {
	r := random()
	for _, k := range []struct {
		op    Op
		shape []int
	}{
		{Reshape{[]int{3, 4}}, []int{2, 6}},
		{Reshape{[]int{}}, []int{1, 1}},
		{Transpose{[]int{1, 0}}, []int{3, 5}},
		{Transpose{[]int{0, 2, 1, 3}}, []int{2, 3, 4, 5}},
		{Transpose{[]int{2, 0, 3, 1, 4}}, []int{2, 3, 2, 2, 3}},
		{Slice{[]int{1, 4}, []int{1, 2}, []int{1, -3}}, []int{3, 5}},
		{Slice{[]int{0, 1, 0}, []int{2, 1, 4}, []int{1, 1, 1}}, []int{2, 3, 4}},
		{Slice{[]int{0}, []int{0}, []int{1}}, []int{3}},
		{Expand{[]int{2, 3, 4}}, []int{3, 1}},
		{Expand{[]int{5}}, []int{}},
	} {
		t.Run(fmt.Sprint(k.op.Name(), k.op, k.shape), func(t *testing.T) { checkGradient(t, k.op, normal(r, k.shape...)) })
	}
	t.Run("Concat", func(t *testing.T) {
		checkGradient(t, Concat{1}, normal(r, 2, 1, 3), normal(r, 2, 4, 3), normal(r, 2, 2, 3))
		checkGradient(t, Concat{0}, normal(r, 2), normal(r, 3))
	})
}

func TestReshapeLowerings(t *testing.T) {
	x := array(counting(2, 3, 4))
	empty := array(counting(0, 3))
	all := Elem[float64](*x)
	checkLowerings(t, []lowering{
		{operator: "Reshape", opset: 13, in: []*Array{x, vector(0, -1)}, shape: []int{2, 12}, want: all},
		{operator: "Reshape", opset: 13, in: []*Array{x, vector()}, fails: "expected a shape of 24 elements"},
		{operator: "Reshape", opset: 13, in: []*Array{x, vector(-1, -1)}, fails: "more than one -1"},
		{operator: "Reshape", opset: 13, in: []*Array{x, vector(5, -1)}, fails: "does not divide"},
		{operator: "Reshape", opset: 13, in: []*Array{x, vector(24, 1, 1, 0)}, fails: "copies dimension 3"},
		{operator: "Reshape", opset: 13, in: []*Array{x, vector(1<<30, 1<<30, 1<<30, -1)}, fails: "more than"},
		{operator: "Reshape", opset: 14, attrs: attributes(onnxtest.Int("allowzero", 1)), in: []*Array{empty, vector(3, 0)}, shape: []int{3, 0}},
		{operator: "Flatten", opset: 13, attrs: attributes(onnxtest.Int("axis", 3)), in: []*Array{x}, shape: []int{24, 1}, want: all},
		{operator: "Flatten", opset: 13, attrs: attributes(onnxtest.Int("axis", 4)), in: []*Array{x}, fails: "axis 4"},
		{operator: "Squeeze", opset: 11, in: []*Array{array(counting(1, 2, 1))}, shape: []int{2}, want: numbers(0, 1)},
		{operator: "Squeeze", opset: 11, attrs: attributes(onnxtest.Ints("axes", -1)), in: []*Array{array(counting(1, 2, 1))}, shape: []int{1, 2}, want: numbers(0, 1)},
		{operator: "Squeeze", opset: 13, in: []*Array{x, vector(1)}, fails: "has size 3, expected 1"},
		{operator: "Unsqueeze", opset: 11, attrs: attributes(onnxtest.Ints("axes", 0, 2)), in: []*Array{array(counting(2))}, shape: []int{1, 2, 1}, want: numbers(0, 1)},
		{operator: "Unsqueeze", opset: 13, in: []*Array{array(counting(2)), vector(-1, 3)}, fails: "axis 3"},
		{operator: "Unsqueeze", opset: 13, in: []*Array{array(counting(2)), vector(1, -2)}, fails: "twice"},
	})
}

func TestSliceLowerings(t *testing.T) {
	x := array(counting(5))
	checkLowerings(t, []lowering{
		{operator: "Slice", opset: 9, attrs: attributes(onnxtest.Ints("starts", 1), onnxtest.Ints("ends", math.MaxInt64)), in: []*Array{x}, shape: []int{4}, want: numbers(1, 2, 3, 4)},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(-1), vector(math.MinInt64), vector(0), vector(-2)}, shape: []int{3}, want: numbers(4, 2, 0)},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(math.MaxInt64), vector(math.MinInt64), nil, vector(math.MinInt64)}, shape: []int{1}, want: numbers(4)},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(3), vector(1)}, shape: []int{0}},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(0), vector(9), vector(-1), vector(2)}, shape: []int{3}, want: numbers(0, 2, 4)},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(0), vector(9), vector(0), vector(0)}, fails: "step 0"},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(0, 0), vector(9)}, fails: "as many starts"},
		{operator: "Slice", opset: 13, in: []*Array{x, vector(0), vector(9), vector(1)}, fails: "axis 1"},
		{operator: "Concat", opset: 13, attrs: attributes(onnxtest.Int("axis", -1)), in: []*Array{x, array(counting(2))}, shape: []int{7}, want: numbers(0, 1, 2, 3, 4, 0, 1)},
		{operator: "Concat", opset: 13, attrs: attributes(onnxtest.Int("axis", 0)), in: []*Array{x, array(counting(2, 2))}, fails: "differ along axis 0 only"},
		{operator: "Expand", opset: 13, in: []*Array{array(counting(2, 1)), vector(3, 1, 2)}, shape: []int{3, 2, 2}, want: numbers(0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1)},
		{operator: "Expand", opset: 13, in: []*Array{x, vector(3)}, fails: "do not broadcast"},
		{operator: "Tile", opset: 13, in: []*Array{array(counting(1, 2)), vector(2, 2)}, shape: []int{2, 4}, want: numbers(0, 1, 0, 1, 0, 1, 0, 1)},
		{operator: "Tile", opset: 13, in: []*Array{x, vector(1 << 30)}, fails: "over the limit"},
		{operator: "Transpose", opset: 13, in: []*Array{array(counting(2, 2))}, shape: []int{2, 2}, want: numbers(0, 2, 1, 3)},
		{operator: "Transpose", opset: 13, attrs: attributes(onnxtest.Ints("perm", 0, 0)), in: []*Array{array(counting(2, 2))}, fails: "expected a permutation"},
		{operator: "DepthToSpace", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2)), in: []*Array{array(counting(1, 8, 1, 1))}, shape: []int{1, 2, 2, 2}, want: numbers(0, 2, 4, 6, 1, 3, 5, 7)},
		{operator: "DepthToSpace", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2), onnxtest.String("mode", "CRD")), in: []*Array{array(counting(1, 8, 1, 1))}, shape: []int{1, 2, 2, 2}, want: numbers(0, 1, 2, 3, 4, 5, 6, 7)},
		{operator: "SpaceToDepth", opset: 13, attrs: attributes(onnxtest.Int("blocksize", 2)), in: []*Array{array(counting(1, 1, 2, 2))}, shape: []int{1, 4, 1, 1}, want: numbers(0, 1, 2, 3)},
	})
}

func TestSplit(t *testing.T) {
	x := array(counting(1, 5))
	for _, k := range []struct {
		opset   int64
		attrs   []onnxtest.Attr
		in      []*Array
		outputs int
		want    []int // the sizes
		fails   string
	}{
		{11, attributes(onnxtest.Int("axis", 1), onnxtest.Ints("split", 2, 3)), []*Array{x}, 2, []int{2, 3}, ""},
		{13, attributes(onnxtest.Int("axis", -1)), []*Array{x, vector(1, 0, 4)}, 3, []int{1, 0, 4}, ""},
		{18, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 3)), []*Array{x}, 3, []int{2, 2, 1}, ""},
		{18, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 4)), []*Array{x}, 4, []int{2, 2, 1, 0}, ""},
		{13, attributes(onnxtest.Int("axis", 1)), []*Array{x, vector(2, 2)}, 2, nil, "add up to the 5 of axis 1"},
		{13, attributes(onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 1<<40)), []*Array{x}, 2, nil, "cannot be split"},
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
