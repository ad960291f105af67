package op

import (
	"fmt"
	"math"

	"modeldoctor/graph/kernel"
	"modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// CrossEntropy is the loss of each example, in nats:
//
//	losses[i] = log Σⱼ exp(β·z[i,j]) − β·z[i,label[i]]
//
// for logits z [B, C], labels [B] (INT64, below C) and the inverse temperature
// β, a single element. Sums are accumulated in float64. Only the logits have a
// gradient.
type CrossEntropy struct{}

// Name returns "CrossEntropy".
func (CrossEntropy) Name() string { return "CrossEntropy" }

// Infer checks the logits, labels and inverse temperature.
func (CrossEntropy) Infer(in []Type) (Type, error) {
	if err := checkLogits(in, 3); err != nil {
		return Type{}, err
	}
	return in[0].With(in[0].Shape[0]), nil
}

// checkLogits checks the types of the first three of n inputs.
func checkLogits(in []Type, n int) error {
	if len(in) != n {
		return fmt.Errorf("expected %d inputs, found %d", n, len(in))
	}
	z, labels, beta := in[0], in[1], in[2]
	if class := ClassOf(z.DType); z.Rank() != 2 || class != ClassFloat32 && class != ClassFloat64 {
		return fmt.Errorf("expected logits [examples, classes], found %v", z)
	}
	if want := (Type{onnx.Int64, z.Shape[:1]}); !labels.Equal(want) {
		return fmt.Errorf("expected labels %v, found %v", want, labels)
	}
	if beta.DType != z.DType || beta.Elements() != 1 {
		return fmt.Errorf("expected an inverse temperature of one element %v, found %v", z.DType, beta)
	}
	return nil
}

// Forward computes the losses. It panics on a label outside the classes.
func (CrossEntropy) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		crossEntropy[float32](c, out, in)
	} else {
		crossEntropy[float64](c, out, in)
	}
}

func crossEntropy[T kernel.Float](c *kernel.Context, out Array, in []Array) {
	z, losses := Elem[T](in[0]), Elem[T](out)
	classes, labels, beta := in[0].Shape[1], Elem[int64](in[1]), float64(Elem[T](in[2])[0])
	eachExample(c, len(losses), classes, func(i int) {
		row := z[i*classes : (i+1)*classes]
		losses[i] = T(rowLogSumExp(row, beta) - beta*float64(row[checkLabel(labels[i], i, classes)]))
	})
}

// lossGrain is the number of logits that one task of a loss handles.
const lossGrain = 1 << 11

func eachExample(c *kernel.Context, examples, classes int, f func(i int)) {
	c.Parallel(examples, max(1, lossGrain/max(classes, 1)), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			f(i)
		}
	})
}

func checkLabel(label int64, example, classes int) int {
	if label < 0 || label >= int64(classes) {
		panic(fmt.Sprintf("op: label %d of example %d is outside the %d classes", label, example, classes))
	}
	return int(label)
}

// rowLogSumExp is log Σ exp(β·z[j]).
func rowLogSumExp[T kernel.Float](z []T, beta float64) float64 {
	top := math.Inf(-1)
	for _, v := range z {
		top = max(top, beta*float64(v))
	}
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(beta*float64(v) - top)
	}
	return top + math.Log(sum)
}

// Gradient is dout[i]·β·(softmax(β·z[i]) − onehot(label[i])) for the logits.
func (CrossEntropy) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 3)
	if need[1] || need[2] {
		panic("op: CrossEntropy has a gradient for the logits only")
	}
	if need[0] {
		grads[0] = g.Do(crossEntropyGradient{}, in[0], in[1], in[2], dout)
	}
	return grads
}

// crossEntropyGradient is the cotangent of the logits, from the inputs of
// CrossEntropy and the cotangent of its result.
type crossEntropyGradient struct{}

func (crossEntropyGradient) Name() string { return "CrossEntropyGradient" }

func (crossEntropyGradient) Infer(in []Type) (Type, error) {
	if err := checkLogits(in, 4); err != nil {
		return Type{}, err
	}
	return in[0], nil
}

func (crossEntropyGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		crossEntropyBackward[float32](c, out, in)
	} else {
		crossEntropyBackward[float64](c, out, in)
	}
}

func crossEntropyBackward[T kernel.Float](c *kernel.Context, out Array, in []Array) {
	z, dz, dout := Elem[T](in[0]), Elem[T](out), Elem[T](in[3])
	classes, labels, beta := in[0].Shape[1], Elem[int64](in[1]), float64(Elem[T](in[2])[0])
	eachExample(c, len(dout), classes, func(i int) {
		row, grad := z[i*classes:(i+1)*classes], dz[i*classes:(i+1)*classes]
		scale, norm := float64(dout[i])*beta, rowLogSumExp(row, beta)
		label := checkLabel(labels[i], i, classes)
		for j, v := range row {
			p := math.Exp(beta*float64(v) - norm)
			if j == label {
				p--
			}
			grad[j] = T(scale * p)
		}
	})
}
