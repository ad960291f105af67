package op

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// exampleLosses are the losses of this package, with parameters at their ends
// and between.
func exampleLosses() []ExampleLoss {
	return []ExampleLoss{
		CrossEntropy{},
		LabelSmoothing{0}, LabelSmoothing{0.3}, LabelSmoothing{1},
		Focal{0}, Focal{0.5}, Focal{1}, Focal{2}, Focal{5},
		Margin{},
	}
}

func TestLossGradient(t *testing.T) {
	for _, of := range exampleLosses() {
		for _, beta := range []float64{1, 0.7, -2} {
			for _, shape := range [][]int{{3, 5}, {1, 2}, {4, 1}, {2, 130}} {
				t.Run(fmt.Sprintf("%s%v/β=%v/%v", of.Name(), of, beta, shape), func(t *testing.T) {
					checkLossGradient(t, of, beta, normal(random(), shape...))
				})
			}
		}
	}
}

// TestLossGradientAtTies: equal logits, some of them the label's.
func TestLossGradientAtTies(t *testing.T) {
	for _, of := range exampleLosses() {
		z := NewArray(Type{onnx.Double, []int{3, 4}})
		copy(Elem[float64](z), []float64{2, 2, 2, 2, 0, 0.5, 0.5, 0, -3, 1, 1, 1})
		checkLossGradient(t, of, 1.5, z)
	}
}

// checkLossGradient compares with finite differences for labels 0, 1, 2, … in
// turn.
func checkLossGradient(t *testing.T, of ExampleLoss, beta float64, z Array) {
	t.Helper()
	labels := make([]int64, z.Shape[0])
	for i := range labels {
		labels[i] = int64(i % z.Shape[1])
	}
	b := NewArray(Type{onnx.Double, []int{1}})
	Elem[float64](b)[0] = beta
	checkProgram(t, func(p *Program, in []*Value) (*Value, error) {
		return p.Emit(Loss{of}, in[0], p.Constant(Ints(labels, len(labels))), p.Constant(Array{in[0].Type.With(1), like(in[0], b)}))
	}, z)
}

// like returns the data of a in the element type of v.
func like(v *Value, a Array) any {
	if ClassOf(v.Type.DType) == ClassFloat32 {
		return toFloat32(a).Data
	}
	return a.Data
}

// lossOf returns the losses and, for cotangents of one, the gradients in
// float64.
func lossOf(of ExampleLoss, beta float64, labels []int64, rows ...[]float64) (losses, gradient []float64) {
	z := NewArray(Type{onnx.Double, []int{len(rows), len(rows[0])}})
	ones := NewArray(z.With(len(rows)))
	for i, row := range rows {
		copy(Elem[float64](z)[i*len(row):], row)
		Elem[float64](ones)[i] = 1
	}
	in := []Array{z, Ints(labels, len(labels)), {z.With(1), []float64{beta}}}
	out, dz := NewArray(ones.Type), NewArray(z.Type)
	c := kernel.NewContext(1)
	Loss{of}.Forward(c, out, in)
	lossGradient{of}.Forward(c, dz, append(in, ones))
	return Elem[float64](out), Elem[float64](dz)
}

// TestLossValues: figures by hand, and that of the documentation of
// torch.nn.MultiMarginLoss.
func TestLossValues(t *testing.T) {
	ln := math.Log
	for _, test := range []struct {
		of    ExampleLoss
		beta  float64
		x     []float64
		label int64
		want  float64
	}{
		{CrossEntropy{}, 1, []float64{0, ln(3)}, 1, ln(4. / 3)},
		{CrossEntropy{}, 2, []float64{0, ln(3)}, 0, ln(10)},
		{LabelSmoothing{0.1}, 1, []float64{0, ln(3)}, 1, 0.95*ln(4./3) + 0.05*ln(4)},
		{LabelSmoothing{0.3}, 1, []float64{0, ln(3), ln(4)}, 0, 0.8*ln(8) + 0.1*ln(8./3) + 0.1*ln(2)},
		{Focal{2}, 1, []float64{0, ln(3)}, 1, ln(4./3) / 16},
		{Focal{1}, 2, []float64{0, ln(3)}, 1, ln(10./9) / 10},
		{Margin{}, 1, []float64{0.1, 0.2, 0.4, 0.8}, 3, 0.325},
		{Margin{}, 2, []float64{0.1, 0.2, 0.4, 0.8}, 0, (1.2 + 1.6 + 2.4) / 4},
	} {
		got, _ := lossOf(test.of, test.beta, []int64{test.label}, test.x)
		closeTo(t, fmt.Sprint(test), got, []float64{test.want}, 1e-15)
	}
}

// TestLossesForLargeLogits: losses and gradients where the label's probability
// is 1 or 0 to the last digit.
func TestLossesForLargeLogits(t *testing.T) {
	right, wrong := []float64{1e4, 0, -1e4}, []float64{-1e4, 1e4, 0}
	for _, test := range []struct {
		of                 ExampleLoss
		losses             []float64 // of right and wrong
		rightSlope, wrongs []float64
	}{
		{CrossEntropy{}, []float64{0, 2e4}, []float64{0, 0, 0}, []float64{-1, 1, 0}},
		{LabelSmoothing{0.3}, []float64{3000, 0.7*2e4 + 3000}, []float64{0.2, -0.1, -0.1}, []float64{-0.8, 0.9, -0.1}},
		{Focal{0.5}, []float64{0, 2e4}, []float64{0, 0, 0}, []float64{-1, 1, 0}},
		{Focal{2}, []float64{0, 2e4}, []float64{0, 0, 0}, []float64{-1, 1, 0}},
		{Margin{}, []float64{0, 30002. / 3}, []float64{0, 0, 0}, []float64{-2. / 3, 1. / 3, 1. / 3}},
	} {
		losses, gradient := lossOf(test.of, 1, []int64{0, 0}, right, wrong)
		closeTo(t, test.of.Name(), losses, test.losses, 1e-15)
		closeTo(t, test.of.Name()+" gradient", gradient, append(test.rightSlope, test.wrongs...), 1e-15)
	}
}

// TestFocalNearCertainty: where 1−p is far below the rounding of p, the loss is
// (1−p)^γ·(1−p), and its gradient for the label −(1+γ)(1−p)^(1+γ).
func TestFocalNearCertainty(t *testing.T) {
	for _, gap := range []float64{5, 20, 30, 100, 800} {
		q := math.Exp(-gap) / (1 + math.Exp(-gap))
		_, gradient := lossOf(Focal{0.5}, 1, []int64{0}, []float64{gap, 0})
		if want := 1.5 * math.Pow(q, 1.5); math.Abs(gradient[1]-want) > 0.01*want {
			t.Errorf("gap %v: gradient %g of the other class, expected %g", gap, gradient[1], want)
		}
	}
}

// TestMarginAtTheKink: a class exactly at the margin does not count.
func TestMarginAtTheKink(t *testing.T) {
	losses, gradient := lossOf(Margin{}, 1, []int64{0}, []float64{2, 1, 1.5, 0})
	closeTo(t, "loss", losses, []float64{0.125}, 0)
	closeTo(t, "gradient", gradient, []float64{-0.25, 0, 0.25, 0}, 0)
}

// TestCrossEntropyBits: the loss and its gradient are the formula written out,
// and so are the surrogates that come down to it, to the last bit.
func TestCrossEntropyBits(t *testing.T) {
	const examples, classes, beta = 50, 70, 0.37
	r := random()
	z, dout := toFloat32(normal(r, examples, classes)), toFloat32(normal(r, examples))
	labels := make([]int64, examples)
	for i := range labels {
		labels[i] = int64(r.IntN(classes))
	}
	in := []Array{z, Ints(labels, examples), Floats([]float32{beta}, 1)}
	for _, of := range []ExampleLoss{CrossEntropy{}, LabelSmoothing{0}, Focal{0}} {
		losses, dz := NewArray(z.With(examples)), NewArray(z.Type)
		c := kernel.NewContext(2)
		Loss{of}.Forward(c, losses, in)
		lossGradient{of}.Forward(c, dz, append(in[:3:3], dout))
		beta := float64(float32(beta))
		for i := range examples {
			row := Elem[float32](z)[i*classes : (i+1)*classes]
			top, sum := math.Inf(-1), 0.0
			for _, v := range row {
				top = max(top, beta*float64(v))
			}
			for _, v := range row {
				sum += math.Exp(float64(beta*float64(v)) - top)
			}
			norm := top + math.Log(sum)
			if got, want := Elem[float32](losses)[i], float32(norm-float64(beta*float64(row[labels[i]]))); got != want {
				t.Fatalf("%s: loss %v of example %d, want %v", of.Name(), got, i, want)
			}
			for j, v := range row {
				p := math.Exp(float64(beta*float64(v)) - norm)
				if j == int(labels[i]) {
					p--
				}
				if got, want := Elem[float32](dz)[i*classes+j], float32(float64(Elem[float32](dout)[i])*beta*p); got != want {
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
	for _, of := range []ExampleLoss{CrossEntropy{}, LabelSmoothing{0.1}, Focal{2}, Margin{}} {
		const examples, classes = 64, 100
		in := []Array{toFloat32(normal(random(), examples, classes)), NewArray(Type{onnx.Int64, []int{examples}}), Floats([]float32{1}, 1)}
		out, dz := NewArray(in[0].With(examples)), NewArray(in[0].Type)
		c := kernel.NewContext(1)
		b.Run(of.Name(), func(b *testing.B) {
			for b.Loop() {
				Loss{of}.Forward(c, out, in)
			}
		})
		b.Run(of.Name()+"Gradient", func(b *testing.B) {
			for b.Loop() {
				lossGradient{of}.Forward(c, dz, append(in[:3:3], out))
			}
		})
	}
}
