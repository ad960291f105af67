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
	// grad overwrites the scaled logits with the derivative of value
	// with respect to them.
	grad(x []float64, label int)
}

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
	e := examplesOf[T](in)
	kernel.Run(c, e.count, e.grain(), losing[T]{e, of, Elem[T](out)})
}

type losing[T kernel.Float] struct {
	examples[T]
	of     ExampleLoss
	losses []T
}

func (t *losing[T]) Chunk(c *kernel.Context, lo, hi int) {
	x := kernel.Scratch[float64](c, t.classes)
	defer kernel.Release(c, x)
	for i := lo; i < hi; i++ {
		label := t.scaled(i, x)
		t.losses[i] = T(t.of.value(x, label))
	}
}

// examples are the first three inputs of a loss.
type examples[T kernel.Float] struct {
	count, classes int
	z              []T
	labels         []int64
	beta           float64
}

func examplesOf[T kernel.Float](in []Array) examples[T] {
	return examples[T]{in[0].Shape[0], in[0].Shape[1], Elem[T](in[0]), Elem[int64](in[1]), float64(Elem[T](in[2])[0])}
}

// grain is the number of examples of one task.
func (e *examples[T]) grain() int { return rowGrain / max(e.classes, 1) }

// scaled writes β·z of an example to x and returns its label.
func (e *examples[T]) scaled(i int, x []float64) (label int) {
	for j, v := range e.z[i*e.classes : (i+1)*e.classes] {
		x[j] = e.beta * float64(v)
	}
	return checkLabel(e.labels[i], i, e.classes)
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
		grads[0] = g.Do(LossGradient(o), in[0], in[1], in[2], dout)
	}
	return grads
}

// LossGradient is the cotangent of the logits, from the inputs of a Loss and
// the cotangent of its result.
type LossGradient struct {
	Of ExampleLoss
}

func (o LossGradient) Name() string { return o.Of.Name() + "Gradient" }

func (LossGradient) Infer(in []Type) (Type, error) {
	if err := checkLogits(in, 4); err != nil {
		return Type{}, err
	}
	return in[0], nil
}

func (o LossGradient) Forward(c *kernel.Context, out Array, in []Array) {
	if _, ok := out.Data.([]float32); ok {
		lossGrad[float32](c, o.Of, out, in)
	} else {
		lossGrad[float64](c, o.Of, out, in)
	}
}

func lossGrad[T kernel.Float](c *kernel.Context, of ExampleLoss, out Array, in []Array) {
	e := examplesOf[T](in)
	kernel.Run(c, e.count, e.grain(), lossGradient[T]{e, of, Elem[T](in[3]), Elem[T](out)})
}

type lossGradient[T kernel.Float] struct {
	examples[T]
	of       ExampleLoss
	dout, dz []T
}

func (t *lossGradient[T]) Chunk(c *kernel.Context, lo, hi int) {
	x := kernel.Scratch[float64](c, t.classes)
	defer kernel.Release(c, x)
	for i := lo; i < hi; i++ {
		t.of.grad(x, t.scaled(i, x))
		scale, grad := float64(t.dout[i])*t.beta, t.dz[i*t.classes:(i+1)*t.classes]
		for j, d := range x {
			grad[j] = T(scale * d)
		}
	}
}

// CrossEntropy is the negative log-likelihood of the label, in nats:
//
//	log Σⱼ exp(x[j]) − x[y]
type CrossEntropy struct{}

func (CrossEntropy) Name() string                         { return "CrossEntropy" }
func (CrossEntropy) value(x []float64, label int) float64 { return rowLogSumExp(x) - x[label] }

// grad: softmax(x) − onehot(y).
func (CrossEntropy) grad(x []float64, label int) {
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

// LabelSmoothing is the cross-entropy with a label that is given away in part,
// in nats:
//
//	(1−ε)·CE(y) + ε·mean over all C classes c of CE(c)
//
// with CE(c) = log Σⱼ exp(x[j]) − x[c], as torch.nn.CrossEntropyLoss computes it
// for label_smoothing=ε; Szegedy et al., Rethinking the Inception Architecture
// for Computer Vision, https://arxiv.org/abs/1512.00567, section 7. ε = 0 is
// CrossEntropy, bit for bit.
type LabelSmoothing struct {
	Epsilon float64 // from 0 to 1
}

func (LabelSmoothing) Name() string { return "LabelSmoothing" }

func (o LabelSmoothing) value(x []float64, label int) float64 {
	norm, sum := rowLogSumExp(x), 0.0
	for _, v := range x {
		sum += norm - v
	}
	return (1-o.Epsilon)*(norm-x[label]) + o.Epsilon*(sum/float64(len(x)))
}

// grad: softmax(x) − (1−ε)·onehot(y) − ε/C.
func (o LabelSmoothing) grad(x []float64, label int) {
	rowSoftmax(x)
	share := o.Epsilon / float64(len(x))
	for j := range x {
		x[j] -= share
	}
	x[label] -= 1 - o.Epsilon
}

// Focal is the cross-entropy weighted by how far the label is from certain, in
// nats:
//
//	−(1−p)^γ · log p,   p = softmax(x)[y]
//
// of Lin et al., Focal Loss for Dense Object Detection,
// https://arxiv.org/abs/1708.02002, equation 4, without its class weights.
// γ = 0 is CrossEntropy, bit for bit.
type Focal struct {
	Gamma float64 // 0 or more
}

func (Focal) Name() string { return "Focal" }

func (o Focal) value(x []float64, label int) float64 {
	own := x[label]
	surprise := rowSoftmax(x) - own
	return math.Pow(others(x, label), o.Gamma) * surprise
}

// grad: with q = 1−p and the cross-entropy e = −log p,
//
//	(softmax(x) − onehot(y)) · q^γ · (1 + γ·p·e/q)
//
// in which every factor is finite: e/q tends to 1 as p tends to 1.
func (o Focal) grad(x []float64, label int) {
	own := x[label]
	surprise := rowSoftmax(x) - own
	p, q := x[label], others(x, label)
	ratio := 1.0
	switch {
	case q >= 0.5:
		ratio = surprise / q
	case q > 0:
		// The difference of two large numbers would be all rounding here.
		ratio = -math.Log1p(-q) / q
	}
	factor := math.Pow(q, o.Gamma) * (1 + o.Gamma*p*ratio)
	x[label]--
	for j := range x {
		x[j] *= factor
	}
}

// others is 1 − p[label], summed from the other classes' probabilities so that
// a small one keeps its digits.
func others(p []float64, label int) float64 {
	q := 0.0
	for j, v := range p {
		if j != label {
			q += v
		}
	}
	return min(q, 1)
}

// Margin is the multi-class hinge
//
//	(1/C) · Σ over j ≠ y of max(0, 1 − x[y] + x[j])
//
// as torch.nn.MultiMarginLoss(p=1, margin=1) computes it; Crammer and Singer,
// On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines,
// JMLR 2 (2001), with the sum in place of the maximum. At a kink its derivative
// is 0.
type Margin struct{}

func (Margin) Name() string { return "Margin" }

func (Margin) value(x []float64, label int) float64 {
	sum := 0.0
	for j, v := range x {
		if j != label {
			sum += max(0, 1-x[label]+v)
		}
	}
	return sum / float64(len(x))
}

// grad: 1/C for each class within the margin, minus their sum for the
// label.
func (Margin) grad(x []float64, label int) {
	own, share, within := x[label], 1/float64(len(x)), 0
	for j, v := range x {
		x[j] = 0
		if j != label && 1-own+v > 0 {
			x[j] = share
			within++
		}
	}
	x[label] = -float64(within) * share
}

// SoftZeroOne is the cross-entropy mixed with the probability of a wrong answer:
//
//	(1−w)·CE(y) + w·(1−p),   p = softmax(x)[y]
//
// The second term is the share of wrong answers of a classifier that draws its
// answer from the softmax: half the mean absolute error of Ghosh et al., Robust Loss
// Functions under Label Noise for Deep Neural Networks,
// https://arxiv.org/abs/1712.09482. w = 0 is CrossEntropy, bit for bit.
type SoftZeroOne struct {
	Weight float64 // w, from 0 to 1
}

func (SoftZeroOne) Name() string { return "SoftZeroOne" }

func (o SoftZeroOne) value(x []float64, label int) float64 {
	own := x[label]
	surprise := rowSoftmax(x) - own
	return (1-o.Weight)*surprise + o.Weight*others(x, label)
}

// grad: (softmax(x) − onehot(y)) · (1 − w + w·p), with p as softmax gives it.
func (o SoftZeroOne) grad(x []float64, label int) {
	rowSoftmax(x)
	factor := 1 - o.Weight + o.Weight*x[label]
	x[label]--
	for j := range x {
		x[j] *= factor
	}
}
