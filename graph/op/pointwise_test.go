package op_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestUnaryGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, shape := range [][]int{{7}, {2, 3, 4}, {}, {1, 1}} {
			for _, o := range []op.Op{
				op.Neg{}, op.Exp{}, op.Sin{}, op.Cos{}, op.Erf{}, op.Sigmoid{}, op.Tanh{}, op.Softplus{}, op.GELU{}, op.GELU{Tanh: true}, op.QuickGELU{Alpha: 1.702}, op.QuickGELU{Alpha: 1},
			} {
				t.Run(fmt.Sprint(o.Name(), shape), func(t *testing.T) { optest.Gradient(t, on, o, optest.Normal(r, shape...)) })
			}
			for _, o := range []op.Op{op.Sqrt{}, op.Log{}, op.Reciprocal{}} {
				t.Run(fmt.Sprint(o.Name(), shape), func(t *testing.T) { optest.Gradient(t, on, o, optest.Positive(r, shape...)) })
			}
			for _, o := range []op.Op{
				op.Abs{}, op.Sign{}, op.Round{To: op.Floor}, op.Round{To: op.Ceil}, op.Relu{}, op.LeakyRelu{Alpha: 0.2}, op.LeakyRelu{Alpha: -0.5}, op.Elu{Alpha: 1.3}, op.HardSigmoid{Alpha: 0.5, Beta: 0.5}, op.Clip{Min: -1, Max: 1},
				op.Clip{Min: 0, Max: math.Inf(1)},
			} {
				t.Run(fmt.Sprint(o.Name(), shape), func(t *testing.T) { optest.Gradient(t, on, o, optest.Away(optest.Normal(r, shape...), -1, 0, 1)) })
			}
		}
	})
}

func TestBinaryGradients(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		for _, s := range optest.Broadcasts {
			for _, o := range []op.Op{op.Add{}, op.Sub{}, op.Mul{}, op.Max{}, op.Min{}} {
				t.Run(fmt.Sprint(o.Name(), s), func(t *testing.T) { optest.Gradient(t, on, o, optest.Normal(r, s[0]...), optest.Normal(r, s[1]...)) })
			}
			for _, o := range []op.Op{op.Div{}, op.Pow{}} {
				t.Run(fmt.Sprint(o.Name(), s), func(t *testing.T) {
					optest.Gradient(t, on, o, optest.Positive(r, s[0]...), optest.Positive(r, s[1]...))
				})
			}
		}
	})
}

func TestSameInputTwice(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, o := range []op.Op{op.Add{}, op.Sub{}, op.Mul{}, op.Div{}, op.Pow{}} {
			t.Run(o.Name(), func(t *testing.T) {
				optest.ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) { return p.Emit(o, in[0], in[0]) }, optest.Positive(optest.Random(), 2, 3))
			})
		}
	})
}

func TestPowByConstant(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, exponent := range []float64{2, 0.5, 3, 1, 0, -1} {
			optest.ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) {
				return p.Emit(op.Pow{}, in[0], p.Constant(op.Array{Type: op.Type{DType: in[0].Type.DType, Shape: nil}, Data: floatData(in[0].Type.DType, exponent)}))
			}, optest.Positive(optest.Random(), 2, 3))
		}
		if got := op.PowByExponent(0., 2); got != 0 {
			t.Errorf("derivative of 0^b by b is %v, want 0", got)
		}
	})
}

// floatData is the backing of an array of one number.
func floatData(d onnx.DType, v float64) any {
	if d == onnx.Double {
		return []float64{v}
	}
	return []float32{float32(v)}
}

func TestWhereGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		condition := op.Array{Type: op.Type{DType: onnx.Bool, Shape: []int{3, 1}}, Data: []bool{true, false, true}}
		for _, s := range [][2][]int{{{2, 3, 4}, {2, 3, 4}}, {{}, {3, 4}}, {{4}, {2, 1, 1}}} {
			optest.Gradient(t, on, op.Where{}, condition, optest.Normal(r, s[0]...), optest.Normal(r, s[1]...))
		}
	})
}

func TestCastGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		optest.ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) {
			v, err := p.Emit(op.Cast{To: onnx.Double}, in[0])
			if err != nil {
				return nil, err
			}
			return p.Emit(op.Exp{}, v)
		}, optest.Normal(optest.Random(), 2, 3))
	})
}

func TestIntegers(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		narrow := func(d onnx.DType, v ...int64) op.Array {
			return op.Array{Type: op.Type{DType: d, Shape: []int{len(v)}}, Data: v}
		}
		for _, c := range []struct {
			o    op.Op
			in   []op.Array
			want []int64
		}{
			{op.Div{}, []op.Array{narrow(onnx.Int64, -7, 7, 7), narrow(onnx.Int64, 2, -2, 0)}, []int64{-3, -3, 0}},
			{op.Add{}, []op.Array{narrow(onnx.Uint8, 200), narrow(onnx.Uint8, 100)}, []int64{44}},
			{op.Mul{}, []op.Array{narrow(onnx.Int8, 100), narrow(onnx.Int8, 2)}, []int64{-56}},
			{op.Neg{}, []op.Array{narrow(onnx.Uint8, 1)}, []int64{255}},
			{op.Mod{}, []op.Array{narrow(onnx.Int64, -7, 7, -7, 7), narrow(onnx.Int64, 3, -3, -3, 0)}, []int64{2, -2, -1, 0}},
			{op.Mod{Fmod: true}, []op.Array{narrow(onnx.Int64, -7, 7), narrow(onnx.Int64, 3, -3)}, []int64{-1, 1}},
			{op.Pow{}, []op.Array{narrow(onnx.Int64, 2, -1, 5, -3), narrow(onnx.Int64, 10, -3, -1, 3)}, []int64{1024, -1, 0, -27}},
			{op.Reduce{By: op.ReduceMax, Axes: []int{0}}, []op.Array{narrow(onnx.Int8)}, []int64{-128}},
			{op.Reduce{By: op.ReduceMin, Axes: []int{0}}, []op.Array{narrow(onnx.Uint8)}, []int64{255}},
			{op.Reduce{By: op.ReduceProd, Axes: []int{0}, KeepDims: true}, []op.Array{narrow(onnx.Int64, 2, 3, 7)}, []int64{42}},
			{op.Reduce{By: op.ReduceMean, Axes: []int{0}, KeepDims: true}, []op.Array{narrow(onnx.Int64, 2, 3, 3)}, []int64{2}},
			{op.Cast{To: onnx.Int8}, []op.Array{op.Floats([]float32{-1.9, 200, float32(math.NaN())}, 3)}, []int64{-1, -56, 0}},
			{op.Cast{To: onnx.Int64}, []op.Array{op.Floats([]float32{1e30, -1e30}, 2)}, []int64{math.MaxInt64, math.MinInt64}},
			{op.Cast{To: onnx.Int64}, []op.Array{narrow(onnx.Int64, math.MaxInt64-1)}, []int64{math.MaxInt64 - 1}},
			{op.Cast{To: onnx.Int64}, []op.Array{{Type: op.Type{DType: onnx.Bool, Shape: []int{2}}, Data: []bool{true, false}}}, []int64{1, 0}},
		} {
			if got := op.Elem[int64](optest.Compute(t, on, c.o, c.in...)); !slices.Equal(got, c.want) {
				t.Errorf("%#v of %v is %v, want %v", c.o, c.in, got, c.want)
			}
		}
	})
}

func TestSpecialValues(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		nan, inf := math.NaN(), math.Inf(1)
		for _, c := range []struct {
			o    op.Op
			in   [][]float64
			want []float64
		}{
			{op.Max{}, [][]float64{{nan, 1}, {1, nan}}, []float64{nan, nan}},
			{op.Min{}, [][]float64{{nan, -inf}, {1, 1}}, []float64{nan, -inf}},
			{op.Relu{}, [][]float64{{nan, -inf, inf}}, []float64{nan, 0, inf}},
			{op.Clip{Min: 0, Max: 6}, [][]float64{{nan, -inf, inf}}, []float64{nan, 0, 6}},
			{op.Clip{Min: 2, Max: 1}, [][]float64{{0, 5}}, []float64{1, 1}},
			{op.Sign{}, [][]float64{{nan, -inf, 0, 3}}, []float64{nan, -1, 0, 1}},
			{op.Round{To: op.Nearest}, [][]float64{{0.5, 1.5, -2.5}}, []float64{0, 2, -2}},
			{op.Softplus{}, [][]float64{{1000, -1000}}, []float64{1000, 0}},
			{op.Elu{Alpha: 2}, [][]float64{{-inf, inf}}, []float64{-2, inf}},
			{op.Mod{Fmod: true}, [][]float64{{-4.3, 5}, {2.1, -8}}, []float64{-4.3 + 2*2.1, 5}},
			{op.Reduce{By: op.ReduceMax, Axes: []int{0}}, [][]float64{{}}, []float64{-inf}},
			{op.Reduce{By: op.ReduceMax, Axes: []int{0}}, [][]float64{{1, nan}}, []float64{nan}},
			{op.Reduce{By: op.ReduceSum, Axes: []int{0}}, [][]float64{{}}, []float64{0}},
			{op.Reduce{By: op.ReduceProd, Axes: []int{0}}, [][]float64{{}}, []float64{1}},
			{op.Cast{To: onnx.Float16}, [][]float64{{1 + 0x1p-12, 70000}}, []float64{1, inf}},
			{op.Cast{To: onnx.BFloat16}, [][]float64{{1 + 0x1p-9}}, []float64{1}},
		} {
			in := make([]op.Array, len(c.in))
			for i, v := range c.in {
				in[i] = optest.Float32(op.Array{Type: op.Type{DType: onnx.Double, Shape: []int{len(v)}}, Data: v})
			}
			testdevice.CloseTo(t, fmt.Sprintf("%#v", c.o), optest.Compute(t, on, c.o, in...).AsFloats(), c.want, testdevice.Operation)
		}
	})
}

func TestTruthValues(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		bools := func(v ...bool) op.Array {
			return op.Array{Type: op.Type{DType: onnx.Bool, Shape: []int{len(v)}}, Data: v}
		}
		a, b := bools(false, false, true, true), bools(false, true, false, true)
		x, y := op.Floats([]float32{1, 2, 3, float32(math.NaN())}, 4), op.Floats([]float32{2, 2, 2, 2}, 4)
		infs := op.Floats([]float32{float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.NaN())}, 4)
		for _, c := range []struct {
			o    op.Op
			in   []op.Array
			want []bool
		}{
			{op.And{}, []op.Array{a, b}, []bool{false, false, false, true}},
			{op.Or{}, []op.Array{a, b}, []bool{false, true, true, true}},
			{op.Xor{}, []op.Array{a, b}, []bool{false, true, true, false}},
			{op.Equal{}, []op.Array{a, b}, []bool{true, false, false, true}},
			{op.Not{}, []op.Array{a}, []bool{true, true, false, false}},
			{op.Equal{}, []op.Array{x, y}, []bool{false, true, false, false}},
			{op.Less{}, []op.Array{x, y}, []bool{true, false, false, false}},
			{op.LessOrEqual{}, []op.Array{x, y}, []bool{true, true, false, false}},
			{op.Greater{}, []op.Array{x, y}, []bool{false, false, true, false}},
			{op.GreaterOrEqual{}, []op.Array{x, y}, []bool{false, true, true, false}},
			{op.IsNaN{}, []op.Array{infs}, []bool{false, false, false, true}},
			{op.IsInf{Negative: true}, []op.Array{infs}, []bool{false, true, false, false}},
			{op.IsInf{Positive: true}, []op.Array{infs}, []bool{true, false, false, false}},
			{op.Cast{To: onnx.Bool}, []op.Array{infs}, []bool{true, true, false, true}},
		} {
			if got := op.Elem[bool](optest.Compute(t, on, c.o, c.in...)); !slices.Equal(got, c.want) {
				t.Errorf("%#v is %v, want %v", c.o, got, c.want)
			}
		}
	})
}
