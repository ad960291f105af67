package op_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// exampleLosses are the losses of this package, with parameters at their ends
// and between.
func exampleLosses() []op.ExampleLoss {
	return []op.ExampleLoss{
		op.CrossEntropy{},
		op.LabelSmoothing{Epsilon: 0}, op.LabelSmoothing{Epsilon: 0.3}, op.LabelSmoothing{Epsilon: 1},
		op.Focal{Gamma: 0}, op.Focal{Gamma: 0.5}, op.Focal{Gamma: 1}, op.Focal{Gamma: 2}, op.Focal{Gamma: 5},
		op.Margin{},
		op.SoftZeroOne{Weight: 0}, op.SoftZeroOne{Weight: 0.3}, op.SoftZeroOne{Weight: 1},
	}
}

func TestLossGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, of := range exampleLosses() {
			for _, beta := range []float64{1, 0.7, -2} {
				for _, shape := range [][]int{{3, 5}, {1, 2}, {4, 1}, {2, 130}} {
					t.Run(fmt.Sprintf("%s%v/β=%v/%v", of.Name(), of, beta, shape), func(t *testing.T) {
						checkLossGradient(t, on, of, beta, optest.Normal(optest.Random(), shape...))
					})
				}
			}
		}
	})
}

// TestLossGradientAtTies: equal logits, some of them the label's.
func TestLossGradientAtTies(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, of := range exampleLosses() {
			z := op.NewArray(op.Type{DType: onnx.Double, Shape: []int{3, 4}})
			copy(op.Elem[float64](z), []float64{2, 2, 2, 2, 0, 0.5, 0.5, 0, -3, 1, 1, 1})
			checkLossGradient(t, on, of, 1.5, z)
		}
	})
}

// checkLossGradient compares with finite differences for labels 0, 1, 2, … in
// turn.
func checkLossGradient(t *testing.T, on testdevice.Backend, of op.ExampleLoss, beta float64, z op.Array) {
	t.Helper()
	labels := make([]int64, z.Shape[0])
	for i := range labels {
		labels[i] = int64(i % z.Shape[1])
	}
	b := op.NewArray(op.Type{DType: onnx.Double, Shape: []int{1}})
	op.Elem[float64](b)[0] = beta
	optest.ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) {
		return p.Emit(op.Loss{Of: of}, in[0], p.Constant(op.Ints(labels, len(labels))), p.Constant(op.Array{Type: in[0].Type.With(1), Data: like(in[0], b)}))
	}, z)
}

// like returns the data of a in the element type of v.
func like(v *op.Value, a op.Array) any {
	if op.ClassOf(v.Type.DType) == op.ClassFloat32 {
		return optest.Float32(a).Data
	}
	return a.Data
}

// lossOf returns the losses and, for cotangents of one, the gradients in
// float64.
func lossOf(of op.ExampleLoss, beta float64, labels []int64, rows ...[]float64) (losses, gradient []float64) {
	z := op.NewArray(op.Type{DType: onnx.Double, Shape: []int{len(rows), len(rows[0])}})
	ones := op.NewArray(z.With(len(rows)))
	for i, row := range rows {
		copy(op.Elem[float64](z)[i*len(row):], row)
		op.Elem[float64](ones)[i] = 1
	}
	in := []op.Array{z, op.Ints(labels, len(labels)), {Type: z.With(1), Data: []float64{beta}}}
	out, dz := op.NewArray(ones.Type), op.NewArray(z.Type)
	c := kernel.NewContext(1)
	op.Loss{Of: of}.Forward(c, out, in)
	op.LossGradient{Of: of}.Forward(c, dz, append(in, ones))
	return op.Elem[float64](out), op.Elem[float64](dz)
}

// TestLossValues: figures by hand, and that of the documentation of
// torch.nn.MultiMarginLoss.
func TestLossValues(t *testing.T) {
	ln := math.Log
	for _, test := range []struct {
		of    op.ExampleLoss
		beta  float64
		x     []float64
		label int64
		want  float64
	}{
		{op.CrossEntropy{}, 1, []float64{0, ln(3)}, 1, ln(4. / 3)},
		{op.CrossEntropy{}, 2, []float64{0, ln(3)}, 0, ln(10)},
		{op.LabelSmoothing{Epsilon: 0.1}, 1, []float64{0, ln(3)}, 1, 0.95*ln(4./3) + 0.05*ln(4)},
		{op.LabelSmoothing{Epsilon: 0.3}, 1, []float64{0, ln(3), ln(4)}, 0, 0.8*ln(8) + 0.1*ln(8./3) + 0.1*ln(2)},
		{op.Focal{Gamma: 2}, 1, []float64{0, ln(3)}, 1, ln(4./3) / 16},
		{op.Focal{Gamma: 1}, 2, []float64{0, ln(3)}, 1, ln(10./9) / 10},
		{op.SoftZeroOne{Weight: 1}, 1, []float64{0, ln(3)}, 1, 0.25},
		{op.SoftZeroOne{Weight: 0.3}, 2, []float64{0, ln(3)}, 1, 0.7*ln(10./9) + 0.03},
		{op.Margin{}, 1, []float64{0.1, 0.2, 0.4, 0.8}, 3, 0.325},
		{op.Margin{}, 2, []float64{0.1, 0.2, 0.4, 0.8}, 0, (1.2 + 1.6 + 2.4) / 4},
	} {
		got, _ := lossOf(test.of, test.beta, []int64{test.label}, test.x)
		testdevice.CloseTo(t, fmt.Sprint(test), got, []float64{test.want}, 1e-15)
	}
}

// TestLossesForLargeLogits: losses and gradients where the label's probability
// is 1 or 0 to the last digit.
func TestLossesForLargeLogits(t *testing.T) {
	right, wrong := []float64{1e4, 0, -1e4}, []float64{-1e4, 1e4, 0}
	for _, test := range []struct {
		of                op.ExampleLoss
		losses            []float64 // of right and wrong
		rightGrad, wrongs []float64
	}{
		{op.CrossEntropy{}, []float64{0, 2e4}, []float64{0, 0, 0}, []float64{-1, 1, 0}},
		{op.LabelSmoothing{Epsilon: 0.3}, []float64{3000, 0.7*2e4 + 3000}, []float64{0.2, -0.1, -0.1}, []float64{-0.8, 0.9, -0.1}},
		{op.Focal{Gamma: 0.5}, []float64{0, 2e4}, []float64{0, 0, 0}, []float64{-1, 1, 0}},
		{op.Focal{Gamma: 2}, []float64{0, 2e4}, []float64{0, 0, 0}, []float64{-1, 1, 0}},
		{op.SoftZeroOne{Weight: 0.3}, []float64{0, 0.7*2e4 + 0.3}, []float64{0, 0, 0}, []float64{-0.7, 0.7, 0}},
		{op.Margin{}, []float64{0, 30002. / 3}, []float64{0, 0, 0}, []float64{-2. / 3, 1. / 3, 1. / 3}},
	} {
		losses, gradient := lossOf(test.of, 1, []int64{0, 0}, right, wrong)
		testdevice.CloseTo(t, test.of.Name(), losses, test.losses, 1e-15)
		testdevice.CloseTo(t, test.of.Name()+" gradient", gradient, append(test.rightGrad, test.wrongs...), 1e-15)
	}
}

// TestFocalNearCertainty: where 1−p is far below the rounding of p, the loss is
// (1−p)^γ·(1−p), and its gradient for the label −(1+γ)(1−p)^(1+γ).
func TestFocalNearCertainty(t *testing.T) {
	for _, gap := range []float64{5, 20, 30, 100, 800} {
		q := math.Exp(-gap) / (1 + math.Exp(-gap))
		_, gradient := lossOf(op.Focal{Gamma: 0.5}, 1, []int64{0}, []float64{gap, 0})
		if want := 1.5 * math.Pow(q, 1.5); math.Abs(gradient[1]-want) > 0.01*want {
			t.Errorf("gap %v: gradient %g of the other class, expected %g", gap, gradient[1], want)
		}
	}
}

// TestMarginAtTheKink: a class exactly at the margin does not count.
func TestMarginAtTheKink(t *testing.T) {
	losses, gradient := lossOf(op.Margin{}, 1, []int64{0}, []float64{2, 1, 1.5, 0})
	testdevice.CloseTo(t, "loss", losses, []float64{0.125}, 0)
	testdevice.CloseTo(t, "gradient", gradient, []float64{-0.25, 0, 0.25, 0}, 0)
}

// TestCrossEntropyBits: the loss and its gradient are the formula written out,
// and so are the surrogates that come down to it, to the last bit.
func TestCrossEntropyBits(t *testing.T) {
	const examples, classes, beta = 50, 70, 0.37
	r := optest.Random()
	z, dout := optest.Float32(optest.Normal(r, examples, classes)), optest.Float32(optest.Normal(r, examples))
	labels := make([]int64, examples)
	for i := range labels {
		labels[i] = int64(r.IntN(classes))
	}
	in := []op.Array{z, op.Ints(labels, examples), op.Floats([]float32{beta}, 1)}
	for _, of := range []op.ExampleLoss{op.CrossEntropy{}, op.LabelSmoothing{Epsilon: 0}, op.Focal{Gamma: 0}, op.SoftZeroOne{Weight: 0}} {
		losses, dz := op.NewArray(z.With(examples)), op.NewArray(z.Type)
		c := kernel.NewContext(2)
		op.Loss{Of: of}.Forward(c, losses, in)
		op.LossGradient{Of: of}.Forward(c, dz, append(in[:3:3], dout))
		beta := float64(float32(beta))
		for i := range examples {
			row := op.Elem[float32](z)[i*classes : (i+1)*classes]
			top, sum := math.Inf(-1), 0.0
			for _, v := range row {
				top = max(top, beta*float64(v))
			}
			for _, v := range row {
				sum += math.Exp(float64(beta*float64(v)) - top)
			}
			norm := top + math.Log(sum)
			if got, want := op.Elem[float32](losses)[i], float32(norm-float64(beta*float64(row[labels[i]]))); got != want {
				t.Fatalf("%s: loss %v of example %d, want %v", of.Name(), got, i, want)
			}
			for j, v := range row {
				p := math.Exp(float64(beta*float64(v)) - norm)
				if j == int(labels[i]) {
					p--
				}
				if got, want := op.Elem[float32](dz)[i*classes+j], float32(float64(op.Elem[float32](dout)[i])*beta*p); got != want {
					t.Fatalf("%s: gradient %v of example %d, class %d, want %v", of.Name(), got, i, j, want)
				}
			}
		}
	}
}

func TestLossRefusesForeignLabels(t *testing.T) {
	for _, of := range exampleLosses() {
		for _, label := range []int64{-1, 2} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: label %d of 2 classes was accepted", of.Name(), label)
					}
				}()
				lossOf(of, 1, []int64{label}, []float64{1, 0})
			}()
		}
	}
}

func BenchmarkLoss(b *testing.B) {
	for _, of := range []op.ExampleLoss{op.CrossEntropy{}, op.LabelSmoothing{Epsilon: 0.1}, op.Focal{Gamma: 2}, op.Margin{}, op.SoftZeroOne{Weight: 0.5}} {
		const examples, classes = 64, 100
		in := []op.Array{optest.Float32(optest.Normal(optest.Random(), examples, classes)), op.NewArray(op.Type{DType: onnx.Int64, Shape: []int{examples}}), op.Floats([]float32{1}, 1)}
		out, dz := op.NewArray(in[0].With(examples)), op.NewArray(in[0].Type)
		c := kernel.NewContext(1)
		b.Run(of.Name(), func(b *testing.B) {
			for b.Loop() {
				op.Loss{Of: of}.Forward(c, out, in)
			}
		})
		b.Run(of.Name()+"Gradient", func(b *testing.B) {
			for b.Loop() {
				op.LossGradient{Of: of}.Forward(c, dz, append(in[:3:3], out))
			}
		})
	}
}
