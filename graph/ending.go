package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Ending is what a graph does with its logits before it gives them out. It is
// undone: losses are measured on the logits, and none of it has a weight.
type Ending struct {
	// Op makes scores of the logits: Softmax, LogSoftmax, or Sigmoid; "" where the
	// output holds the logits.
	Op string
	// Then lists what the scores go through, such as Mul or Clip, in order.
	Then []string
	// Binary says that the output is one value per image, the logit of the second
	// of two classes: the first has 0, so that the softmax of the two is the sigmoid.
	Binary bool
}

// Softmax reports whether the scores are those of a softmax, or their logarithms.
func (e Ending) Softmax() bool { return e.Op == "Softmax" || e.Op == "LogSoftmax" }

// Note says in words what was undone, "" where nothing was or a Softmax alone.
func (e Ending) Note() string {
	then := ""
	if len(e.Then) > 0 {
		then = " and " + strings.Join(e.Then, ", ")
	}
	switch {
	case e.Binary && e.Op != "":
		return fmt.Sprintf("the graph ends in a %s%s of one number per image: what enters it is taken for the logit of the second of two classes, and 0 for that of the first", e.Op, then)
	case e.Binary:
		return "the output is one number per image: it is taken for the logit of the second of two classes, and 0 for that of the first"
	case e.Op == "Sigmoid":
		return fmt.Sprintf("the graph ends in a Sigmoid%s, which scores each class by itself: losses are measured on what enters it, as if a Softmax stood in its place", then)
	case e.Op == "LogSoftmax" || e.Op == "Softmax" && len(e.Then) > 0:
		return fmt.Sprintf("the graph ends in a %s%s; losses are measured on what enters the %s", e.Op, then, e.Op)
	}
	return ""
}

const exportLogits = "export the model with its logits, one number per class, as an output"

// endingError says why the logits behind an output cannot be told.
type endingError struct {
	msg, help string
	oneRow    bool // for more images than one
}

func (e *endingError) Error() string { return e.msg }

func undoable(format string, args ...any) error {
	return &endingError{msg: fmt.Sprintf(format, args...), help: exportLogits}
}

// undo follows the output of a program of so many images back to the logits: over
// steps that leave the order of the elements as it is, and over those that make
// scores of logits. Nothing else is passed over in silence: a step between the
// output and a softmax that can be no part of an ending is an error.
func undo(output *op.Value, batch int) (logits *op.Value, e Ending, err error) {
	obstacle := "" // the first step behind the scores that changes more than their scale
	for v := output; ; {
		s := v.Step
		if class := op.ClassOf(v.Type.DType); class != op.ClassFloat32 && class != op.ClassFloat64 {
			if s != nil {
				if _, grid := s.Op.(op.QuantizeLinear); grid {
					return output, Ending{}, nil // refused with the others of its kind
				}
			}
			return nil, e, notScores(v)
		}
		if s == nil {
			return output, Ending{}, nil
		}
		inner, found := scoresOf(s)
		switch {
		case found:
			if obstacle != "" {
				return nil, e, undoable("is computed from a %s by %s, which cannot be undone", inner.op, obstacle)
			}
			if err := inner.check(batch); err != nil {
				return nil, e, err
			}
			e.Op = inner.op
			slices.Reverse(e.Then)
			return inner.logits, e, nil
		case keepsOrder(s):
			v = s.In[0]
			continue
		}
		from, change := alters(s)
		switch change {
		case reorders:
			return nil, e, undoable("is made by %s: its values are sorted, or chosen, and not one for each class in their order", stepLabel(s))
		case distorts:
			if obstacle == "" {
				obstacle = stepLabel(s)
			}
		case rescales:
			e.Then = append(e.Then, s.Op.Name())
		default:
			return output, Ending{}, nil
		}
		v = from
	}
}

// notScores is the error that a value holds integers or truth values.
func notScores(v *op.Value) error {
	if v.Step == nil {
		return undoable("holds %v, no scores", v.Type.DType)
	}
	return undoable("holds %v, no scores: it is made by %s", v.Type.DType, stepLabel(v.Step))
}

// keepsOrder reports whether a step gives the elements of its first input again, in
// their order, in a type that holds them.
func keepsOrder(s *op.Step) bool {
	switch o := s.Op.(type) {
	case op.View:
		return true
	case op.Cast:
		return true // an integer's is seen at its input
	case op.Transpose:
		var kept []int // the places of the dimensions that matter
		for _, p := range o.Perm {
			if s.In[0].Type.Shape[p] != 1 {
				kept = append(kept, p)
			}
		}
		return slices.IsSorted(kept)
	case op.Reduce:
		return o.By != op.ReduceL2 && s.Out.Type.Elements() == s.In[0].Type.Elements()
	}
	return false
}

// alteration is what a step between scores and an output does to them.
type alteration int

const (
	computes alteration = iota // it is no part of an ending
	rescales                   // a greater score stays the greater, whatever the class
	distorts
	reorders
)

// alters says what a step does to its only input that is no constant, if it is an
// ending's. Scores may be clipped, shifted, multiplied by a positive number that
// all classes share, and their logarithm be taken.
func alters(s *op.Step) (from *op.Value, change alteration) {
	switch o := s.Op.(type) {
	case op.Clip, op.Log:
		return s.In[0], rescales
	case op.Neg, op.Sqrt, op.Reciprocal, op.Slice, op.Gather:
		return s.In[0], distorts
	case op.GatherElements:
		if places := s.In[1].Step; places != nil {
			if _, sorts := places.Op.(op.TopK); sorts {
				return s.In[0], reorders
			}
		}
	case op.Where:
		if !s.In[1].OnDataPath && !s.In[2].OnDataPath && s.In[0].OnDataPath {
			return s.In[0], reorders
		}
	case op.Add, op.Sub, op.Mul, op.Div, op.Pow, op.Max, op.Min:
		data := 0
		if s.In[1].OnDataPath {
			data = 1
		}
		other := s.In[1-data]
		if other.OnDataPath {
			return nil, computes
		}
		if other.Const == nil || !sameEverywhere(other) || !increasing(o, data, other) {
			return s.In[data], distorts
		}
		return s.In[data], rescales
	}
	return nil, computes
}

// sameEverywhere reports whether all elements of a constant are equal.
func sameEverywhere(v *op.Value) bool {
	values := v.Const.AsFloats()
	return len(values) > 0 && all(v, values[0])
}

// increasing reports whether an operation on its operand data and a constant, the
// same for all elements, is an increasing function.
func increasing(o op.Op, data int, constant *op.Value) bool {
	c := constant.Const.AsFloats()[0]
	switch o.(type) {
	case op.Add, op.Max, op.Min:
		return true
	case op.Sub:
		return data == 0
	case op.Mul:
		return c > 0
	case op.Div:
		return data == 0 && c > 0
	}
	return false
}

// scores are what an operation, or several, make of logits.
type scores struct {
	op     string
	axis   int // of a softmax
	logits *op.Value
}

// scoresOf recognises the last step of what makes scores of logits: an operator, or
// a softmax that is written out.
func scoresOf(s *op.Step) (scores, bool) {
	switch o := s.Op.(type) {
	case op.Softmax:
		return scores{"Softmax", o.Axis, s.In[0]}, true
	case op.LogSoftmax:
		return scores{"LogSoftmax", o.Axis, s.In[0]}, true
	case op.Sigmoid:
		return scores{"Sigmoid", -1, s.In[0]}, true
	case op.HardSigmoid:
		return scores{"HardSigmoid", -1, s.In[0]}, true
	case op.Exp:
		if in := s.In[0].Step; in != nil {
			if o, ok := in.Op.(op.LogSoftmax); ok {
				return scores{"Softmax", o.Axis, in.In[0]}, true
			}
		}
	case op.Concat:
		return bothClasses(s)
	case op.Div:
		if s.In[0].Const != nil && all(s.In[0], 1) {
			return sigmoidBelow(s.In[1])
		}
		return writtenOut(s.In[0], s.In[1])
	case op.Reciprocal:
		return sigmoidBelow(s.In[0])
	case op.Mul: // by the reciprocal of the sum
		for i, v := range s.In {
			if v.Step == nil {
				continue
			}
			if _, ok := v.Step.Op.(op.Reciprocal); ok {
				return writtenOut(s.In[1-i], v.Step.In[0])
			}
		}
	}
	return scores{}, false
}

// sigmoidBelow recognises the denominator of a sigmoid that is written out,
// 1 + exp(-x).
func sigmoidBelow(v *op.Value) (scores, bool) {
	if v.Step == nil {
		return scores{}, false
	}
	if _, adds := v.Step.Op.(op.Add); !adds {
		return scores{}, false
	}
	for i, one := range v.Step.In {
		exp := v.Step.In[1-i].Step
		if one.Const == nil || !all(one, 1) || exp == nil {
			continue
		}
		if _, ok := exp.Op.(op.Exp); !ok || exp.In[0].Step == nil {
			continue
		}
		if _, negates := exp.In[0].Step.Op.(op.Neg); negates {
			return scores{"Sigmoid", -1, exp.In[0].Step.In[0]}, true
		}
	}
	return scores{}, false
}

// bothClasses recognises 1-p beside p, where p is the sigmoid of one logit per image.
func bothClasses(s *op.Step) (scores, bool) {
	if len(s.In) != 2 || s.In[0].Step == nil || s.In[1].Step == nil {
		return scores{}, false
	}
	first, p := s.In[0].Step, s.In[1]
	_, minus := first.Op.(op.Sub)
	_, sigmoid := p.Step.Op.(op.Sigmoid)
	if !minus || !sigmoid || first.In[1] != p || first.In[0].Const == nil || !all(first.In[0], 1) || p.Type.Elements() != p.Type.Shape[0] {
		return scores{}, false
	}
	return scores{"Sigmoid", -1, p.Step.In[0]}, true
}

// writtenOut recognises exp(x) / Σ exp(x), with or without the maximum subtracted
// from x first, which the quotient does not depend on.
func writtenOut(numerator, denominator *op.Value) (scores, bool) {
	for denominator.Step != nil {
		if _, ok := denominator.Step.Op.(op.View); !ok {
			break
		}
		denominator = denominator.Step.In[0]
	}
	if numerator.Step == nil || denominator.Step == nil || len(denominator.Step.In) != 1 || denominator.Step.In[0] != numerator {
		return scores{}, false
	}
	_, exp := numerator.Step.Op.(op.Exp)
	sum, ok := denominator.Step.Op.(op.Reduce)
	if !exp || !ok || sum.By != op.ReduceSum {
		return scores{}, false
	}
	x := numerator.Step.In[0]
	axis := slices.IndexFunc(sum.Axes, func(a int) bool { return x.Type.Shape[a] != 1 })
	if axis < 0 || slices.ContainsFunc(sum.Axes[axis+1:], func(a int) bool { return x.Type.Shape[a] != 1 }) {
		return scores{}, false
	}
	if s := x.Step; s != nil {
		if _, ok := s.Op.(op.Sub); ok && isMaximumOf(s.In[1], s.In[0]) {
			x = s.In[0]
		}
	}
	return scores{"Softmax", sum.Axes[axis], x}, true
}

// isMaximumOf reports whether v is the maximum of x along some axes.
func isMaximumOf(v, x *op.Value) bool {
	for v.Step != nil {
		switch o := v.Step.Op.(type) {
		case op.View:
			v = v.Step.In[0]
			continue
		case op.Reduce:
			return o.By == op.ReduceMax && v.Step.In[0] == x
		}
		break
	}
	return false
}

// check reports scores from which the logits cannot be had: they must be of
// [N, classes], dimensions of size 1 aside.
func (s scores) check(batch int) error {
	shape := s.logits.Type.Shape
	if s.op == "HardSigmoid" {
		return undoable("ends in a HardSigmoid, which loses the logits beyond its ends")
	}
	if s.axis < 0 {
		return nil
	}
	classes := shape[s.axis]
	switch {
	case classes == 1:
		return undoable("ends in a %s over one class, which is the same for every image", s.op)
	case s.axis == 0 && (batch > 1 || len(shape) > 1):
		return undoable("ends in a %s over the images of a batch (axis 0 of %v), not over the classes", s.op, shape)
	case shapes.Elements(shape) != batch*classes:
		return undoable("ends in a %s along axis %d of %v, which is not over all classes", s.op, s.axis, shape)
	}
	return nil
}

// asLogits brings a value into the shape [batch, classes], in float32. One value per
// image is the logit of the second of two classes.
func asLogits(p *op.Program, v *op.Value, batch int, e *Ending) (*op.Value, error) {
	shape := v.Type.Shape
	per := shape // dimensions of one image
	if len(shape) > 0 && shape[0] == batch && (len(shape) > 1 || batch > 1) {
		per = shape[1:]
	} else if batch > 1 || len(shape) != 1 {
		return nil, shapeError(shape, batch)
	}
	classes := shapes.Elements(per)
	if slices.ContainsFunc(per, func(d int) bool { return d != 1 && d != classes }) || classes == 0 {
		return nil, shapeError(shape, batch)
	}
	var err error
	emit := func(o op.Op, in ...*op.Value) {
		if err == nil {
			v, err = p.Emit(o, in...)
		}
	}
	if op.ClassOf(v.Type.DType) == op.ClassFloat64 {
		emit(op.Cast{To: onnx.Float}, v)
	}
	if !slices.Equal(shape, []int{batch, classes}) {
		emit(op.Reshape{Shape: []int{batch, classes}}, v)
	}
	if classes == 1 {
		e.Binary = true
		second := op.NewArray(op.Type{DType: v.Type.DType, Shape: []int{1, 2}})
		op.Elem[float32](second)[1] = 1
		emit(op.Mul{}, v, p.Constant(second))
	}
	return v, err
}

func shapeError(shape []int, batch int) error {
	return &endingError{
		msg:    fmt.Sprintf("has shape %v for a batch of %d, expected class scores [N, classes]", shape, batch),
		help:   "export the classifier, with its head, rather than its features",
		oneRow: batch > 1 && len(shape) == 2 && shape[0] == 1,
	}
}
