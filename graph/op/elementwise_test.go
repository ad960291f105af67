package op

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// away moves every element at least 0.1 from the given points, where a
// function has a kink that a finite difference would straddle.
func away(a Array, points ...float64) Array {
	x := Elem[float64](a)
	for i := range x {
		for _, p := range points {
			if math.Abs(x[i]-p) < 0.1 {
				x[i] = p + math.Copysign(0.1, x[i]-p)
			}
		}
	}
	return a
}

func TestUnaryGradients(t *testing.T) {
	r := random()
	for _, shape := range [][]int{{7}, {2, 3, 4}, {}, {1, 1}} {
		for _, o := range []Op{
			Neg{}, Exp{}, Sin{}, Cos{}, Erf{}, Sigmoid{}, Tanh{}, Softplus{}, GELU{}, GELU{Tanh: true}, QuickGELU{1.702}, QuickGELU{1},
		} {
			t.Run(fmt.Sprint(o.Name(), shape), func(t *testing.T) { checkGradient(t, o, normal(r, shape...)) })
		}
		for _, o := range []Op{Sqrt{}, Log{}, Reciprocal{}} {
			t.Run(fmt.Sprint(o.Name(), shape), func(t *testing.T) { checkGradient(t, o, positive(r, shape...)) })
		}
		for _, o := range []Op{
			Abs{}, Sign{}, Round{Floor}, Round{Ceil}, Relu{}, LeakyRelu{0.2}, LeakyRelu{-0.5}, Elu{1.3}, HardSigmoid{0.5, 0.5}, Clip{-1, 1},
			Clip{0, math.Inf(1)},
		} {
			t.Run(fmt.Sprint(o.Name(), shape), func(t *testing.T) { checkGradient(t, o, away(normal(r, shape...), -1, 0, 1)) })
		}
	}
}

// broadcasts are pairs of shapes that cover the loops of a broadcast: equal,
// one element, a repeated row or column, either operand repeated, both, and
// dimensions that do not merge.
var broadcasts = [][2][]int{
	{{2, 3}, {2, 3}},
	{{2, 3}, {}},
	{{}, {2, 3}},
	{{}, {}},
	{{4, 2, 3}, {3}},
	{{3}, {4, 2, 3}},
	{{2, 3}, {2, 1}},
	{{2, 1}, {2, 3}},
	{{2, 1}, {1, 3}},
	{{2, 3, 4}, {1, 3, 1}},
	{{2, 1, 4}, {3, 1}},
	{{1, 1}, {1}},
	{{2, 3, 2, 2}, {2, 1, 2, 1}},
}

func TestBinaryGradients(t *testing.T) {
	r := random()
	for _, s := range broadcasts {
		for _, o := range []Op{Add{}, Sub{}, Mul{}, Max{}, Min{}} {
			t.Run(fmt.Sprint(o.Name(), s), func(t *testing.T) { checkGradient(t, o, normal(r, s[0]...), normal(r, s[1]...)) })
		}
		for _, o := range []Op{Div{}, Pow{}} {
			t.Run(fmt.Sprint(o.Name(), s), func(t *testing.T) { checkGradient(t, o, positive(r, s[0]...), positive(r, s[1]...)) })
		}
	}
}

func TestSameInputTwice(t *testing.T) {
	for _, o := range []Op{Add{}, Sub{}, Mul{}, Div{}, Pow{}} {
		t.Run(o.Name(), func(t *testing.T) {
			checkProgram(t, func(p *Program, in []*Value) (*Value, error) { return p.Emit(o, in[0], in[0]) }, positive(random(), 2, 3))
		})
	}
}

func TestPowByConstant(t *testing.T) {
	for _, exponent := range []float64{2, 0.5, 3, 1, 0, -1} {
		checkProgram(t, func(p *Program, in []*Value) (*Value, error) {
			return p.Emit(Pow{}, in[0], p.Constant(Array{Type{in[0].Type.DType, nil}, floatData(in[0].Type.DType, exponent)}))
		}, positive(random(), 2, 3))
	}
	if got := powByExponent(0., 2); got != 0 {
		t.Errorf("derivative of 0^b by b is %v, want 0", got)
	}
}

// floatData is the backing of an array of one number.
func floatData(d onnx.DType, v float64) any {
	if d == onnx.Double {
		return []float64{v}
	}
	return []float32{float32(v)}
}

func TestWhereGradient(t *testing.T) {
	r := random()
	condition := Array{Type{onnx.Bool, []int{3, 1}}, []bool{true, false, true}}
	for _, s := range [][2][]int{{{2, 3, 4}, {2, 3, 4}}, {{}, {3, 4}}, {{4}, {2, 1, 1}}} {
		checkGradient(t, Where{}, condition, normal(r, s[0]...), normal(r, s[1]...))
	}
}

func TestCastGradient(t *testing.T) {
	checkProgram(t, func(p *Program, in []*Value) (*Value, error) {
		v, err := p.Emit(Cast{onnx.Double}, in[0])
		if err != nil {
			return nil, err
		}
		return p.Emit(Exp{}, v)
	}, normal(random(), 2, 3))
}

func TestReduceGradients(t *testing.T) {
	r := random()
	for _, c := range []struct {
		shape []int
		axes  []int
	}{
		{[]int{5}, []int{0}},
		{[]int{3, 4}, []int{1}},
		{[]int{3, 4}, []int{0}},
		{[]int{2, 3, 4}, []int{1}},
		{[]int{2, 3, 4}, []int{0, 2}},
		{[]int{2, 3, 4, 2}, []int{1, 2}},
		{[]int{2, 3, 2, 2, 3}, []int{0, 2, 4}},
		{[]int{2, 3, 4}, nil},
		{[]int{1, 3, 1}, []int{0, 2}},
		{[]int{}, nil},
	} {
		for _, keep := range []bool{false, true} {
			for _, o := range []Op{
				ReduceSum{c.axes, keep}, ReduceMean{c.axes, keep}, ReduceL2{c.axes, keep}, ReduceMax{c.axes, keep}, ReduceMin{c.axes, keep},
			} {
				t.Run(fmt.Sprint(o, c.shape), func(t *testing.T) { checkGradient(t, o, normal(r, c.shape...)) })
			}
		}
	}
}

func TestSumToGradient(t *testing.T) {
	r := random()
	for _, s := range broadcasts {
		full, err := broadcastShape(s[0], s[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, shape := range s {
			t.Run(fmt.Sprint(full, shape), func(t *testing.T) { checkGradient(t, SumTo{shape}, normal(r, full...)) })
		}
	}
}

func TestMaximumIsShared(t *testing.T) {
	g := NewGraph()
	x := g.Input("x", Type{onnx.Float, []int{2, 3}}, true)
	y, err := g.Apply(ReduceMax{[]int{1}, false}, x)
	if err != nil {
		t.Fatal(err)
	}
	dy := g.Input("dy", g.TypeOf(y), false)
	dx, err := g.Backpropagate(y, dy, []*gorgonia.Node{x})
	if err != nil {
		t.Fatal(err)
	}
	got := evaluate(t, g, map[*gorgonia.Node]Array{
		x:  Floats([]float32{1, 2, 2, 3, 0, 1}, 2, 3),
		dy: Floats([]float32{4, 5}, 2),
	}, dx[0])[0]
	if want := []float32{0, 2, 2, 5, 0, 0}; !slices.Equal(Elem[float32](got), want) {
		t.Errorf("gradient %v, want %v", got.Data, want)
	}
}

// lower runs one node over the inputs and returns its first output.
func lower(t *testing.T, opset int64, n *onnx.Node, in ...*Value) (*Value, error) {
	t.Helper()
	p := NewProgram(0)
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

func TestIntegers(t *testing.T) {
	narrow := func(d onnx.DType, v ...int64) Array { return Array{Type{d, []int{len(v)}}, v} }
	for _, c := range []struct {
		o    Op
		in   []Array
		want []int64
	}{
		{Div{}, []Array{narrow(onnx.Int64, -7, 7, 7), narrow(onnx.Int64, 2, -2, 0)}, []int64{-3, -3, 0}},
		{Add{}, []Array{narrow(onnx.Uint8, 200), narrow(onnx.Uint8, 100)}, []int64{44}},
		{Mul{}, []Array{narrow(onnx.Int8, 100), narrow(onnx.Int8, 2)}, []int64{-56}},
		{Neg{}, []Array{narrow(onnx.Uint8, 1)}, []int64{255}},
		{Mod{}, []Array{narrow(onnx.Int64, -7, 7, -7, 7), narrow(onnx.Int64, 3, -3, -3, 0)}, []int64{2, -2, -1, 0}},
		{Mod{Fmod: true}, []Array{narrow(onnx.Int64, -7, 7), narrow(onnx.Int64, 3, -3)}, []int64{-1, 1}},
		{Pow{}, []Array{narrow(onnx.Int64, 2, -1, 5, -3), narrow(onnx.Int64, 10, -3, -1, 3)}, []int64{1024, -1, 0, -27}},
		{ReduceMax{[]int{0}, false}, []Array{narrow(onnx.Int8)}, []int64{-128}},
		{ReduceMin{[]int{0}, false}, []Array{narrow(onnx.Uint8)}, []int64{255}},
		{ReduceProd{[]int{0}, true}, []Array{narrow(onnx.Int64, 2, 3, 7)}, []int64{42}},
		{ReduceMean{[]int{0}, true}, []Array{narrow(onnx.Int64, 2, 3, 3)}, []int64{2}},
		{Cast{onnx.Int8}, []Array{Floats([]float32{-1.9, 200, float32(math.NaN())}, 3)}, []int64{-1, -56, 0}},
		{Cast{onnx.Int64}, []Array{Floats([]float32{1e30, -1e30}, 2)}, []int64{math.MaxInt64, math.MinInt64}},
		{Cast{onnx.Int64}, []Array{narrow(onnx.Int64, math.MaxInt64-1)}, []int64{math.MaxInt64 - 1}},
		{Cast{onnx.Int64}, []Array{{Type{onnx.Bool, []int{2}}, []bool{true, false}}}, []int64{1, 0}},
	} {
		p := NewProgram(0)
		in := make([]*Value, len(c.in))
		for i, a := range c.in {
			in[i] = p.Constant(a)
		}
		v, err := p.Emit(c.o, in...)
		if err != nil {
			t.Errorf("%#v: %v", c.o, err)
		} else if got := Elem[int64](*v.Const); !slices.Equal(got, c.want) {
			t.Errorf("%#v of %v is %v, want %v", c.o, c.in, got, c.want)
		}
	}
}

func TestSpecialValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		o    Op
		in   [][]float64
		want []float64
	}{
		{Max{}, [][]float64{{nan, 1}, {1, nan}}, []float64{nan, nan}},
		{Min{}, [][]float64{{nan, -inf}, {1, 1}}, []float64{nan, -inf}},
		{Relu{}, [][]float64{{nan, -inf, inf}}, []float64{nan, 0, inf}},
		{Clip{0, 6}, [][]float64{{nan, -inf, inf}}, []float64{nan, 0, 6}},
		{Clip{2, 1}, [][]float64{{0, 5}}, []float64{1, 1}},
		{Sign{}, [][]float64{{nan, -inf, 0, 3}}, []float64{nan, -1, 0, 1}},
		{Round{Nearest}, [][]float64{{0.5, 1.5, -2.5}}, []float64{0, 2, -2}},
		{Softplus{}, [][]float64{{1000, -1000}}, []float64{1000, 0}},
		{Elu{2}, [][]float64{{-inf, inf}}, []float64{-2, inf}},
		{Mod{Fmod: true}, [][]float64{{-4.3, 5}, {2.1, -8}}, []float64{-4.3 + 2*2.1, 5}},
		{ReduceMax{[]int{0}, false}, [][]float64{{}}, []float64{-inf}},
		{ReduceMax{[]int{0}, false}, [][]float64{{1, nan}}, []float64{nan}},
		{ReduceSum{[]int{0}, false}, [][]float64{{}}, []float64{0}},
		{ReduceProd{[]int{0}, false}, [][]float64{{}}, []float64{1}},
		{Cast{onnx.Float16}, [][]float64{{1 + 0x1p-12, 70000}}, []float64{1, inf}},
		{Cast{onnx.BFloat16}, [][]float64{{1 + 0x1p-9}}, []float64{1}},
	} {
		p := NewProgram(0)
		in := make([]*Value, len(c.in))
		for i, v := range c.in {
			in[i] = p.Constant(toFloat32(Array{Type{onnx.Double, []int{len(v)}}, v}))
		}
		v, err := p.Emit(c.o, in...)
		if err != nil {
			t.Errorf("%#v: %v", c.o, err)
			continue
		}
		closeTo(t, fmt.Sprintf("%#v", c.o), v.Const.AsFloats(), c.want, float32Tolerance)
	}
}

func TestTruthValues(t *testing.T) {
	bools := func(v ...bool) Array { return Array{Type{onnx.Bool, []int{len(v)}}, v} }
	a, b := bools(false, false, true, true), bools(false, true, false, true)
	x, y := Floats([]float32{1, 2, 3, float32(math.NaN())}, 4), Floats([]float32{2, 2, 2, 2}, 4)
	infs := Floats([]float32{float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.NaN())}, 4)
	for _, c := range []struct {
		o    Op
		in   []Array
		want []bool
	}{
		{And{}, []Array{a, b}, []bool{false, false, false, true}},
		{Or{}, []Array{a, b}, []bool{false, true, true, true}},
		{Xor{}, []Array{a, b}, []bool{false, true, true, false}},
		{Equal{}, []Array{a, b}, []bool{true, false, false, true}},
		{Not{}, []Array{a}, []bool{true, true, false, false}},
		{Equal{}, []Array{x, y}, []bool{false, true, false, false}},
		{Less{}, []Array{x, y}, []bool{true, false, false, false}},
		{LessOrEqual{}, []Array{x, y}, []bool{true, true, false, false}},
		{Greater{}, []Array{x, y}, []bool{false, false, true, false}},
		{GreaterOrEqual{}, []Array{x, y}, []bool{false, true, true, false}},
		{IsNaN{}, []Array{infs}, []bool{false, false, false, true}},
		{IsInf{Negative: true}, []Array{infs}, []bool{false, true, false, false}},
		{IsInf{Positive: true}, []Array{infs}, []bool{true, false, false, false}},
		{Cast{onnx.Bool}, []Array{infs}, []bool{true, true, false, true}},
	} {
		out := NewArray(Type{onnx.Bool, []int{4}})
		c.o.Forward(kernel.NewContext(1), out, c.in)
		if got := Elem[bool](out); !slices.Equal(got, c.want) {
			t.Errorf("%#v is %v, want %v", c.o, got, c.want)
		}
	}
}

// TestThreads compares one thread with four, over arrays of several tasks whose
// boundaries fall inside rows.
func TestThreads(t *testing.T) {
	r := random()
	big, row, column := toFloat32(normal(r, 50, 17, 96)), toFloat32(normal(r, 96)), toFloat32(normal(r, 50, 17, 1))
	for _, c := range []struct {
		o  Op
		in []Array
	}{
		{Add{}, []Array{big, row}}, {Mul{}, []Array{column, big}}, {Div{}, []Array{big, column}}, {Max{}, []Array{row, big}},
		{GELU{}, []Array{big}}, {Relu{}, []Array{big}}, {QuickGELU{1.702}, []Array{big}}, {Slope{QuickGELU{1.702}}, []Array{big, big}},
		{ReduceMean{[]int{2}, true}, []Array{big}}, {ReduceSum{[]int{1}, false}, []Array{big}}, {ReduceMax{[]int{0, 2}, true}, []Array{big}},
		{SumTo{[]int{96}}, []Array{big}}, {SumTo{[]int{}}, []Array{big}}, {Spread{[]int{50, 17, 96}, []int{2}, 0.5}, []Array{column}},
	} {
		types := make([]Type, len(c.in))
		for i, a := range c.in {
			types[i] = a.Type
		}
		want, err := c.o.Infer(types)
		if err != nil {
			t.Fatal(err)
		}
		one, four := NewArray(want), NewArray(want)
		c.o.Forward(kernel.NewContext(1), one, c.in)
		c.o.Forward(kernel.NewContext(4), four, c.in)
		if !slices.Equal(Elem[float32](one), Elem[float32](four)) {
			t.Errorf("%#v: the result depends on the number of threads", c.o)
		}
	}
}

func TestLoweringDecides(t *testing.T) {
	p := NewProgram(0)
	image := p.Input("image", Type{onnx.Float, []int{2, 3}}, 0)
	half := p.Weight("w", Type{onnx.Float16, []int{3}}, 0)
	same := func(v *Value) bool { return v == image }
	is := func(o Op) func(v *Value) bool {
		return func(v *Value) bool { return v.Step != nil && fmt.Sprintf("%#v", v.Step.Op) == fmt.Sprintf("%#v", o) }
	}
	number := func(v float32) *Value { return p.Constant(Floats([]float32{v})) }
	for _, c := range []struct {
		what  string
		opset int64
		node  *onnx.Node
		in    []*Value
		ok    func(v *Value) bool
	}{
		{"Identity", 13, &onnx.Node{OpType: "Identity"}, []*Value{image}, same},
		{"Dropout", 13, &onnx.Node{OpType: "Dropout"}, []*Value{image}, same},
		{"Clip without bounds", 13, &onnx.Node{OpType: "Clip"}, []*Value{image}, same},
		{"Clip with inputs", 13, &onnx.Node{OpType: "Clip"}, []*Value{image, nil, number(6)}, is(Clip{math.Inf(-1), 6})},
		{"Clip with computed bound", 13, &onnx.Node{OpType: "Clip"}, []*Value{image, p.Input("b", Type{onnx.Float, []int{}}, 1)}, is(Max{})},
		{"CastLike to the same", 19, &onnx.Node{OpType: "CastLike"}, []*Value{image, number(1)}, same},
		{"CastLike to FLOAT", 19, &onnx.Node{OpType: "CastLike"}, []*Value{half, number(1)}, is(Relabel{onnx.Float})},
		{"axes from input", 18, &onnx.Node{OpType: "ReduceMean"}, []*Value{image, p.Ints(-1)}, is(ReduceMean{[]int{1}, true})},
		{"all axes", 18, &onnx.Node{OpType: "ReduceMean"}, []*Value{image}, is(ReduceMean{[]int{0, 1}, true})},
	} {
		v, err := lower(t, c.opset, c.node, c.in...)
		if err != nil || !c.ok(v) {
			t.Errorf("%s: lowered to %+v (%v)", c.what, v, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	p := NewProgram(0)
	image := p.Input("image", Type{onnx.Float, []int{2, 3}}, 0)
	truth := p.Constant(Array{Type{onnx.Bool, []int{}}, []bool{true}})
	for _, c := range []struct {
		node *onnx.Node
		in   []*Value
		want string
	}{
		{&onnx.Node{OpType: "Add"}, []*Value{image, p.Input("b", Type{onnx.Float, []int{2}}, 1)}, "[2 3] [2]"},
		{&onnx.Node{OpType: "Add"}, []*Value{image, p.Ints(1)}, "one element type"},
		{&onnx.Node{OpType: "Add"}, []*Value{image}, "input 1 is missing"},
		{&onnx.Node{OpType: "Sqrt"}, []*Value{p.Ints(4)}, "INT64"},
		{&onnx.Node{OpType: "Where"}, []*Value{image, image, image}, "BOOL"},
		{&onnx.Node{OpType: "Dropout"}, []*Value{image, nil, truth}, "evaluation mode"},
		{&onnx.Node{OpType: "ReduceSum"}, []*Value{image, p.Ints(2)}, "axis 2"},
		{&onnx.Node{OpType: "ReduceSum"}, []*Value{image, image}, "must be known"},
		{&onnx.Node{OpType: "Cast"}, []*Value{image}, "UNDEFINED"},
	} {
		if _, err := lower(t, 18, c.node, c.in...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that contains %q", c.node.OpType, err, c.want)
		}
	}
}
