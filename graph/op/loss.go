package op

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Loss is a loss of each example:
//
//	losses[i] = Of(β·z[i], label[i])
//
// for logits z [B, C], labels [B] (INT64, below C) and the inverse temperature
// β, a single element. Everything between the logits and the result is computed
// in float64. Only the logits have a gradient.
type Loss struct {
	Of ExampleLoss
}

// ExampleLoss is a loss as a function of one example: what a [Loss] needs to
// know of it. Implementations are immutable, comparable values.
type ExampleLoss interface {
	// Name is the loss's name, such as CrossEntropy.
	Name() string
	// value is the loss for the scaled logits x = β·z [C], which it may
	// overwrite.
	value(x []float64, label int) float64
	// differentiate overwrites the scaled logits with the derivative of value
	// with respect to them.
	differentiate(x []float64, label int)
}

// Name returns the name of the example's loss.
func (o Loss) Name() string { return o.Of.Name() }

// Infer checks the logits, labels and inverse temperature.
func (Loss) Infer(in []Type) (Type, error) {
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
func (o Loss) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		lossForward[float32](c, o.Of, out, in)
	} else {
		lossForward[float64](c, o.Of, out, in)
	}
}

func lossForward[T kernel.Float](c *kernel.Context, of ExampleLoss, out Array, in []Array) {
	losses := Elem[T](out)
	eachExample[T](c, in, func(i int, x []float64, label int, _ float64) {
		losses[i] = T(of.value(x, label))
	})
}

// eachExample calls f for each example of a loss's inputs, with its scaled
// logits in float64, which are f's to overwrite, its label and β.
func eachExample[T kernel.Float](c *kernel.Context, in []Array, f func(i int, x []float64, label int, beta float64)) {
	examples, classes := in[0].Shape[0], in[0].Shape[1]
	z, labels, beta := Elem[T](in[0]), Elem[int64](in[1]), float64(Elem[T](in[2])[0])
	c.Parallel(examples, max(1, rowGrain/max(classes, 1)), func(lo, hi int) {
		x := kernel.Scratch[float64](c, classes)
		defer kernel.Release(c, x)
		for i := lo; i < hi; i++ {
			for j, v := range z[i*classes : (i+1)*classes] {
				x[j] = beta * float64(v)
			}
			f(i, x, checkLabel(labels[i], i, classes), beta)
		}
	})
}

func checkLabel(label int64, example, classes int) int {
	if label < 0 || label >= int64(classes) {
		panic(fmt.Sprintf("op: label %d of example %d is outside the %d classes", label, example, classes))
	}
	return int(label)
}

// Gradient is dout[i]·β·Of'(β·z[i], label[i]) for the logits.
func (o Loss) Gradient(g *Graph, in []*gorgonia.Node, _, dout *gorgonia.Node, need []bool) []*gorgonia.Node {
	grads := make([]*gorgonia.Node, 3)
	if need[1] || need[2] {
		panic("op: " + o.Name() + " has a gradient for the logits only")
	}
	if need[0] {
		grads[0] = g.Do(lossGradient{o.Of}, in[0], in[1], in[2], dout)
	}
	return grads
}

// lossGradient is the cotangent of the logits, from the inputs of a Loss and
// the cotangent of its result.
type lossGradient struct {
	of ExampleLoss
}

func (o lossGradient) Name() string { return o.of.Name() + "Gradient" }

func (lossGradient) Infer(in []Type) (Type, error) {
	if err := checkLogits(in, 4); err != nil {
		return Type{}, err
	}
	return in[0], nil
}

func (o lossGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		lossBackward[float32](c, o.of, out, in)
	} else {
		lossBackward[float64](c, o.of, out, in)
	}
}

func lossBackward[T kernel.Float](c *kernel.Context, of ExampleLoss, out Array, in []Array) {
	classes, dz, dout := in[0].Shape[1], Elem[T](out), Elem[T](in[3])
	eachExample[T](c, in, func(i int, x []float64, label int, beta float64) {
		of.differentiate(x, label)
		scale, grad := float64(dout[i])*beta, dz[i*classes:(i+1)*classes]
		for j, d := range x {
			grad[j] = T(scale * d)
		}
	})
}

// CrossEntropy is the negative log-likelihood of the label, in nats:
//
//	log Σⱼ exp(x[j]) − x[y]
type CrossEntropy struct{}

// Name returns "CrossEntropy".
func (CrossEntropy) Name() string { return "CrossEntropy" }

func (CrossEntropy) value(x []float64, label int) float64 { return rowLogSumExp(x) - x[label] }

// differentiate: softmax(x) − onehot(y).
func (CrossEntropy) differentiate(x []float64, label int) {
	rowSoftmax(x)
	x[label]--
}

// rowSoftmax overwrites x with exp(x[j]) / Σ exp(x) and returns log Σ exp(x).
func rowSoftmax(x []float64) float64 {
	norm := rowLogSumExp(x)
	for j, v := range x {
		x[j] = math.Exp(v - norm)
	}
	return norm
}
