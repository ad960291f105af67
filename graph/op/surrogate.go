package op

import "math"

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

// Name returns "LabelSmoothing".
func (LabelSmoothing) Name() string { return "LabelSmoothing" }

func (o LabelSmoothing) value(x []float64, label int) float64 {
	norm, sum := rowLogSumExp(x), 0.0
	for _, v := range x {
		sum += norm - v
	}
	return (1-o.Epsilon)*(norm-x[label]) + o.Epsilon*(sum/float64(len(x)))
}

// differentiate: softmax(x) − (1−ε)·onehot(y) − ε/C.
func (o LabelSmoothing) differentiate(x []float64, label int) {
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

// Name returns "Focal".
func (Focal) Name() string { return "Focal" }

func (o Focal) value(x []float64, label int) float64 {
	own := x[label]
	surprise := rowSoftmax(x) - own
	return math.Pow(others(x, label), o.Gamma) * surprise
}

// differentiate: with q = 1−p and the cross-entropy e = −log p,
//
//	(softmax(x) − onehot(y)) · q^γ · (1 + γ·p·e/q)
//
// in which every factor is finite: e/q tends to 1 as p tends to 1.
func (o Focal) differentiate(x []float64, label int) {
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

// Name returns "Margin".
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

// differentiate: 1/C for each class within the margin, minus their sum for the
// label.
func (Margin) differentiate(x []float64, label int) {
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
