package graph

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// operatorKind is what a person calls an operator that has weights.
type operatorKind string

const (
	convolution operatorKind = "conv"
	depthwise   operatorKind = "depthwise" // one filter per channel
	pointwise   operatorKind = "pointwise" // filters of one pixel
	dense       operatorKind = "fc"
	loose       operatorKind = "scale" // weights that no linear map has: tables, scales
)

// operator is a linear map by weights, with all that belongs to it: its bias, be it
// added by another step, the normalisation and the scales of its result, and the
// normalisation of its input where nothing else could own that.
type operator struct {
	kind    operatorKind
	step    int   // of the map
	weights []int // in Network.Weights
}

// operators divides the weights, each into the operator that uses it first, in order
// of the steps.
func (n *Network) operators() []*operator {
	f := operatorFinder{owner: map[*op.Value]*operator{}, readers: map[*op.Value]int{}}
	used := map[int][]int{} // weights by the step that uses them first
	for i, w := range n.Weights {
		used[w.first] = append(used[w.first], i)
	}
	for _, s := range n.steps {
		for _, v := range s.Operands() {
			f.readers[v]++
		}
	}
	for i, s := range n.steps {
		if s.Out.OnDataPath {
			f.step(i, s, used[i])
		}
	}
	return f.kept()
}

// operatorFinder follows the data path, and remembers whose result a value is.
type operatorFinder struct {
	all     []*operator
	owner   map[*op.Value]*operator // none where values of several meet
	readers map[*op.Value]int
}

// step looks at one step, which is the first to use some weights.
func (f *operatorFinder) step(i int, s *op.Step, weights []int) {
	from := f.ownerOf(s)
	if kind := kindOf(s); kind != loose && len(weights) > 0 {
		o := &operator{kind: kind, step: i, weights: weights}
		if from != nil && from.kind == loose && len(from.weights) > 0 { // it waited for what it normalises
			o.weights = append(slices.Clone(from.weights), weights...)
			from.weights = nil
		}
		f.all = append(f.all, o)
		from = o
	} else if len(weights) > 0 {
		if from == nil || len(from.weights) == 0 || f.branches(s) {
			from = &operator{kind: loose, step: i}
			f.all = append(f.all, from)
		}
		from.weights = append(from.weights, weights...)
	}
	f.owner[s.Out] = from
}

// branches reports whether a step reads what others read, too: it is the beginning of
// a branch, and not the end of what made it.
func (f *operatorFinder) branches(s *op.Step) bool {
	return slices.ContainsFunc(s.Operands(), func(v *op.Value) bool { return v.OnDataPath && f.readers[v] > 1 })
}

// ownerOf returns the operator that alone makes the data that a step reads.
func (f *operatorFinder) ownerOf(s *op.Step) *operator {
	var from *operator
	seen := false
	for _, v := range s.Operands() {
		if !v.OnDataPath {
			continue
		}
		if seen && f.owner[v] != from {
			return nil
		}
		from, seen = f.owner[v], true
	}
	return from
}

// kept returns the operators; what nothing linear took up belongs to the one before.
func (f *operatorFinder) kept() []*operator {
	var kept []*operator
	for _, o := range f.all {
		switch {
		case len(o.weights) == 0:
		case o.kind == loose && len(kept) > 0:
			last := kept[len(kept)-1]
			last.weights = append(last.weights, o.weights...)
		default:
			kept = append(kept, o)
		}
	}
	return kept
}

// kindOf is the kind of a step that maps data linearly by what is no data, else loose.
func kindOf(s *op.Step) operatorKind {
	if len(s.In) < 2 || s.In[0].OnDataPath == s.In[1].OnDataPath {
		return loose
	}
	switch o := s.Op.(type) {
	case op.Linear, op.MatMul:
		return dense
	case op.PatchEmbedding:
		return convolution
	case op.Conv:
		one := !slices.ContainsFunc(o.Kernel, func(k int) bool { return k != 1 })
		switch channels := s.In[1].Type.Shape[1]; {
		case o.Group > 1 && channels == 1:
			return depthwise
		case one && o.Group == 1:
			return pointwise
		}
		return convolution
	}
	return loose
}

// label is how an operator of a kind is numbered: conv1, fc2.
func (o *operator) label() string {
	switch o.kind {
	case depthwise, pointwise:
		return string(convolution)
	}
	return string(o.kind)
}

// parametersOf is the number of elements of the operators' weights.
func (n *Network) parametersOf(operators []*operator) int {
	total := 0
	for _, o := range operators {
		for _, w := range o.weights {
			total += n.Weights[w].Elements
		}
	}
	return total
}

// roleIn names what a weight is to its operator: weight, bias, norm.weight, scale.
func (n *Network) roleIn(o *operator, w *Weight) string {
	if w.first == o.step {
		if w.role == roleTensor { // the first factor of a product
			return string(roleWeight)
		}
		return string(w.role)
	}
	switch s := n.steps[w.first]; s.Op.(type) {
	case op.LayerNormalization, op.RMSNormalization, op.BatchNormalization:
		return fmt.Sprintf("norm.%s", w.role)
	case op.Add, op.QLinearAdd, op.Sub:
		return string(roleBias)
	case op.Mul, op.Div:
		return "scale"
	}
	return string(roleTensor)
}
