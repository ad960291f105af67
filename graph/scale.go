package graph

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// LogitScale returns the indices of weights whose joint multiplication by any
// s > 0 multiplies the logits by s, exactly but for rounding: in most networks
// the classifier's matrix and bias. A temperature is folded into a model by
// them. The error, an *Error, says which node stands in the way.
//
// The weights are found by walking back from the logits: a linear step passes
// on the demand that its result be multiplied by s, to its weight and bias, to
// both terms of a sum, or to what it rearranges. Then every step of the network
// is checked: those whose result is to be multiplied must read exactly the
// multiplied operands that this takes, all others none. By induction over the
// steps the logits are multiplied by s and nothing else changes.
func (n *Network) LogitScale() ([]int, error) {
	w := &scaleWalk{network: n, operands: map[*op.Step][]int{}, refusals: map[*op.Value]error{}, weighted: n.dependOnWeights()}
	logits := n.Necks[len(n.Necks)-1].value
	err := w.demand(logits)
	var weights []int
	if err == nil {
		weights, err = w.collect(logits)
	}
	if err != nil {
		return nil, &Error{Path: n.Model.Path, Msg: "a temperature cannot be folded into the weights", Err: err,
			Help: "divide the logits by the temperature where the model is used"}
	}
	return weights, nil
}

// dependOnWeights returns the values that a weight takes part in.
func (n *Network) dependOnWeights() map[*op.Value]bool {
	weighted := map[*op.Value]bool{}
	for _, s := range n.steps {
		for _, v := range s.In {
			if v.Kind == op.Weight || weighted[v] {
				weighted[v], weighted[s.Out] = true, true
			}
		}
	}
	return weighted
}

// scaleWalk is one search of [Network.LogitScale].
type scaleWalk struct {
	network  *Network
	weighted map[*op.Value]bool
	// operands holds, for the steps that were looked at, which inputs must be
	// multiplied for the result to be.
	operands map[*op.Step][]int
	refusals map[*op.Value]error // of the values that were looked at; nil if there is none
}

// demand finds out how v can be multiplied by s, or why it cannot.
func (w *scaleWalk) demand(v *op.Value) error {
	if err, known := w.refusals[v]; known {
		return err
	}
	err := w.look(v)
	w.refusals[v] = err
	return err
}

func (w *scaleWalk) look(v *op.Value) error {
	switch v.Kind {
	case op.Weight:
		return nil
	case op.Constant:
		return fmt.Errorf("a constant %v is part of the logits", v.Type)
	case op.Input:
		return fmt.Errorf("the image reaches the logits without a weight")
	}
	operands, err := w.choose(v.Step)
	if err != nil {
		return err
	}
	w.operands[v.Step] = operands
	for _, i := range operands {
		if err := w.demand(v.Step.In[i]); err != nil {
			if v.Step.In[i].Kind != op.Computed {
				err = fmt.Errorf("%s: %w", stepLabel(v.Step), err)
			}
			return err
		}
	}
	return nil
}

// choose returns the operands that have to be multiplied by s for a step's
// result to be. Terms that are constant zeros are left out.
func (w *scaleWalk) choose(s *op.Step) ([]int, error) {
	switch o := s.Op.(type) {
	case op.View, op.Transpose, op.Slice, op.Gather, op.GatherElements, op.GatherND, op.Expand, op.Neg, op.Trilu,
		op.CumSum, op.AveragePool, op.LinearMap:
		return []int{0}, nil
	case op.Reduce:
		if o.By == op.ReduceSum || o.By == op.ReduceMean {
			return []int{0}, nil
		}
	case op.Pad:
		if o.Mode != op.PadConstant || o.Value == 0 {
			return []int{0}, nil
		}
	case op.Cast:
		if op.ClassOf(s.In[0].Type.DType) == op.ClassOf(o.To) {
			return []int{0}, nil
		}
	case op.Add, op.Sub, op.Concat:
		return terms(s, 0), nil
	case op.Where:
		return terms(s, 1), nil
	case op.Div:
		return []int{0}, nil
	case op.Mul, op.MatMul, op.Linear, op.Conv, op.PatchEmbedding:
		factor, err := w.factor(s)
		return append([]int{factor}, terms(s, 2)...), err
	case op.BatchNormalization:
		return append([]int{1}, terms(&op.Step{In: s.In[:3]}, 2)...), nil
	case op.LayerNormalization, op.RMSNormalization:
		if len(s.In) > 1 {
			return append([]int{1}, terms(s, 2)...), nil
		}
	}
	return nil, fmt.Errorf("%s: %s does not pass a factor on", stepLabel(s), s.Op.Name())
}

// terms lists the operands from first on but for constant zeros, which are
// their own multiples.
func terms(s *op.Step, first int) []int {
	var list []int
	for i := first; i < len(s.In); i++ {
		if v := s.In[i]; v.Const == nil || !all(v, 0) {
			list = append(list, i)
		}
	}
	return list
}

// factor chooses which of the two factors of a product is multiplied: one that
// weights take part in, rather without than with the image, the second before
// the first (a classifier's matrix, the values of an attention).
func (w *scaleWalk) factor(s *op.Step) (int, error) {
	var first error
	for _, data := range []bool{false, true} {
		for _, i := range []int{1, 0} {
			if v := s.In[i]; v.OnDataPath == data && (v.Kind == op.Weight || w.weighted[v]) {
				err := w.demand(v)
				if err == nil {
					return i, nil
				}
				if first == nil {
					first = err
				}
			}
		}
	}
	if first == nil {
		first = fmt.Errorf("%s: no weight takes part in it", stepLabel(s))
	}
	return 0, first
}

// collect returns the weights that the walk reaches from the logits, once it
// has checked that multiplying them has no other effect.
func (w *scaleWalk) collect(logits *op.Value) ([]int, error) {
	multiplied := map[*op.Value]bool{}
	var weights []int
	for stack := []*op.Value{logits}; len(stack) > 0; {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if multiplied[v] {
			continue
		}
		multiplied[v] = true
		if v.Kind == op.Weight {
			weights = append(weights, w.network.weightOf[v])
			continue
		}
		for _, i := range w.operands[v.Step] {
			stack = append(stack, v.Step.In[i])
		}
	}
	for _, s := range w.network.steps {
		for i, v := range s.In {
			if multiplied[v] && !(multiplied[s.Out] && slices.Contains(w.operands[s], i)) {
				return nil, fmt.Errorf("%s: it reads %s, which also scales the logits elsewhere", stepLabel(s), w.describe(v))
			}
		}
	}
	slices.Sort(weights)
	return weights, nil
}

// describe names a value for an error: the weight that it is or is made of.
func (w *scaleWalk) describe(v *op.Value) string {
	for v.Kind == op.Computed && !v.OnDataPath && len(w.operands[v.Step]) > 0 {
		v = v.Step.In[w.operands[v.Step][0]]
	}
	if v.Kind == op.Weight {
		return fmt.Sprintf("weight %q", w.network.Weights[w.network.weightOf[v]].Name)
	}
	if v.Name != "" {
		return fmt.Sprintf("value %q", v.Name)
	}
	return "a value"
}

// stepLabel names a step by its node, or by its operation where a pass made it.
func stepLabel(s *op.Step) string {
	if s.Node != nil {
		return s.Node.Label()
	}
	return s.Op.Name()
}
