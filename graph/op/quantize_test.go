package op_test

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestFakeQuantize compares it with the two operators that it stands for, and
// its gradient with the straight-through rule.
func TestFakeQuantize(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, g := range []onnx.Grid{
			{DType: onnx.Uint8, Float: onnx.Float, Axis: -1, Scale: []float32{0.1}, Zero: []int64{3}},
			{DType: onnx.Int4, Float: onnx.Float, Axis: 1, Scale: []float32{0.1, 0.5, 3}},
			{DType: onnx.Int8, Float: onnx.Float, Axis: 1, BlockSize: 2, Scale: []float32{0.1, 0.5, 0.01, 0.02}, Zero: []int64{1, 2, 3, 4}},
		} {
			x := op.Floats([]float32{-0.35, 0.05, 0.15, -1e6, 1e6, float32(math.Inf(1))}, 2, 3)
			c := kernel.NewContext(1)
			q, want := op.NewArray(op.Type{DType: g.DType, Shape: x.Shape}), op.NewArray(x.Type)
			op.QuantizeLinear{Grid: g}.Forward(c, q, []op.Array{x})
			op.DequantizeLinear{Grid: g}.Forward(c, want, []op.Array{q})
			got := optest.Compute(t, on, op.FakeQuantize{Grid: g}, x)
			if !slices.Equal(op.Elem[float32](got), op.Elem[float32](want)) {
				t.Errorf("%v: %v, expected %v", g, got.Data, want.Data)
			}
			dy := op.Floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
			passed := optest.Compute(t, on, op.PointwiseGradient{Of: op.FakeQuantize{Grid: g}}, x, dy)
			lo, hi := g.Range()
			for i, k := range []int{0, 1, 2} { // within every grid but for the unsigned one's lower end
				group := g.Groups(x.Shape)(k)
				zero := 0.0
				if g.Zero != nil {
					zero = float64(g.Zero[group])
				}
				y := math.RoundToEven(float64(op.Elem[float32](x)[k]/g.Scale[group])) + zero
				pass := float32(0)
				if y >= float64(lo) && y <= float64(hi) {
					pass = op.Elem[float32](dy)[i]
				}
				if d := op.Elem[float32](passed)[k]; d != pass {
					t.Errorf("%v: the gradient at %v is %v, expected %v", g, op.Elem[float32](x)[k], d, pass)
				}
			}
			if d := op.Elem[float32](passed)[3:]; slices.Max(d) != 0 {
				t.Errorf("%v: the gradient beyond the range is %v", g, d)
			}
		}
	})
}

// TestFakeDynamicQuantize takes the examples of the ONNX operator specification, as
// integers, scale and zero point.
func TestFakeDynamicQuantize(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, c := range []struct {
			x, q  []float32
			scale float32
			zero  float32
		}{
			{[]float32{0, 2, -3, -2.5, 1.34, 0.5}, []float32{153, 255, 0, 26, 221, 179}, 0.0196078438, 153},
			{[]float32{-1, -2.1, -1.3, -2.5, -3.34, -4}, []float32{191, 121, 172, 96, 42, 0}, 0.0156862754, 255},
			{[]float32{1, 2.1, 1.3, 2.5, 3.34, 4}, []float32{64, 134, 83, 159, 213, 255}, 0.0156862754, 0},
			{[]float32{0, 0, 0, 0, 0, 0}, []float32{0, 0, 0, 0, 0, 0}, 1, 0},
		} {
			// Two groups, one of which is twice the other: each has a grid of its own.
			x := op.NewArray(op.Type{DType: onnx.Float, Shape: []int{2, 6}})
			for i, v := range c.x {
				op.Elem[float32](x)[i], op.Elem[float32](x)[6+i] = v, 2*v
			}
			got := optest.Compute(t, on, op.FakeDynamicQuantize{Groups: 2}, x)
			for i, q := range c.q {
				want := (q - c.zero) * c.scale
				for k, y := range []float32{op.Elem[float32](got)[i], op.Elem[float32](got)[6+i] / 2} {
					if math.Abs(float64(y-want)) > 1e-6 {
						t.Errorf("%v of group %d becomes %v, want %v", c.x[i], k, y, want)
					}
				}
			}
		}
	})
}
