package metric

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// LossKind is the formula of a [Loss]. In what follows z are an example's
// logits, divided by the temperature, y is its label, C the number of classes
// and p = softmax(z).
type LossKind uint8

const (
	// CrossEntropy is −log p[y], in nats.
	CrossEntropy LossKind = iota
	// LabelSmoothing is (1−ε)·CE(y) + ε·mean over all classes c of CE(c), with
	// CE(c) = −log p[c], in nats: Szegedy et al., Rethinking the Inception
	// Architecture for Computer Vision, https://arxiv.org/abs/1512.00567, section
	// 7. Its parameter is ε, from 0 to 1.
	LabelSmoothing
	// Focal is −(1−p[y])^γ · log p[y], in nats: Lin et al., Focal Loss for Dense
	// Object Detection, https://arxiv.org/abs/1708.02002, equation 4, without its
	// class weights. Its parameter is γ, 0 or more.
	Focal
	// Margin is the multi-class hinge (1/C)·Σ over j ≠ y of max(0, 1 − z[y] + z[j]):
	// Crammer and Singer, On the Algorithmic Implementation of Multiclass
	// Kernel-based Vector Machines, JMLR 2 (2001), with the sum in place of the
	// maximum.
	Margin
	// SoftZeroOne is (1−w)·CE(y) + w·(1 − p[y]): the cross-entropy, in nats, mixed
	// with the share of wrong answers that a classifier has that draws its answer from
	// p, which is the mean absolute error of Ghosh et al., Robust Loss Functions under
	// Label Noise for Deep Neural Networks, https://arxiv.org/abs/1712.09482, halved.
	// Its parameter is w, from 0 to 1.
	SoftZeroOne
)

// Loss describes what training lowers: the cross-entropy or one of its
// surrogates. The zero value is the cross-entropy. Losses can be compared with
// == and used as keys.
type Loss struct {
	kind      LossKind
	parameter float64
}

// Kind is the loss's formula.
func (l Loss) Kind() LossKind { return l.kind }

// Parameter is ε, γ or w; 0 for a loss without one.
func (l Loss) Parameter() float64 { return l.parameter }

// lossForm is how a loss is written: its name, and for those with a parameter
// what that may be.
type lossForm struct {
	kind      LossKind
	name      string
	parameter string  // "" where there is none
	standard  float64 // where the text does not say
	largest   float64
}

// lossForms lists the losses by kind.
func lossForms() []lossForm {
	return []lossForm{
		{kind: CrossEntropy, name: "ce"},
		{kind: LabelSmoothing, name: "smooth", parameter: "EPSILON", standard: 0.1, largest: 1},
		{kind: Focal, name: "focal", parameter: "GAMMA", standard: 2, largest: math.MaxFloat64},
		{kind: Margin, name: "margin"},
		{kind: SoftZeroOne, name: "soft01", parameter: "WEIGHT", standard: 0.5, largest: 1},
	}
}

// usage writes the form that ParseLoss takes.
func (f lossForm) usage() string {
	switch {
	case f.parameter == "":
		return f.name
	case f.largest < math.MaxFloat64:
		return fmt.Sprintf("%s[:%s] (0 to %v, default %v)", f.name, f.parameter, f.largest, f.standard)
	}
	return fmt.Sprintf("%s[:%s] (0 or more, default %v)", f.name, f.parameter, f.standard)
}

// ParseLoss reads a loss as it is written on a command line:
//
//	ce              cross-entropy
//	smooth:0.3      label smoothing with ε = 0.3, from 0 to 1; smooth is smooth:0.1
//	focal:2         focal loss with γ = 2, 0 or more; focal is focal:2
//	margin          multi-class hinge
//	soft01:0.5      soft 0-1 loss with weight 0.5, from 0 to 1, the rest cross-entropy; soft01 is soft01:0.5
//
// The error says what is allowed.
func ParseLoss(text string) (Loss, error) {
	name, parameter, given := strings.Cut(text, ":")
	usages := make([]string, 0, 5)
	for _, f := range lossForms() {
		if f.name != name {
			usages = append(usages, f.usage())
			continue
		}
		switch {
		case !given:
			return Loss{f.kind, f.standard}, nil
		case f.parameter == "":
			return Loss{}, fmt.Errorf("loss %q: %s takes no parameter", text, f.name)
		}
		x, err := strconv.ParseFloat(parameter, 64)
		if err != nil || !(x >= 0 && x <= f.largest) {
			return Loss{}, fmt.Errorf("loss %q: expected %s", text, f.usage())
		}
		return Loss{f.kind, x + 0}, nil // + 0 makes -0 the same loss as 0
	}
	return Loss{}, fmt.Errorf("unknown loss %q: expected %s", text, strings.Join(usages, ", "))
}

// String writes the loss as [ParseLoss] reads it, its parameter included.
func (l Loss) String() string {
	f := lossForms()[l.kind]
	if f.parameter == "" {
		return f.name
	}
	return f.name + ":" + strconv.FormatFloat(l.parameter, 'g', -1, 64)
}
