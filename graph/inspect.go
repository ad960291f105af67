package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// NewestExport is the newest opset among the exports whose logits and gradients
// are compared with those of the framework that they come from; see
// docs/supported.md. Operators of later opsets are checked one by one.
const NewestExport = 23

// Inspection is what can be said of a model without data.
type Inspection struct {
	Network     *Network // nil where the model cannot be run
	Unsupported []onnx.Unsupported
	Obstacles   []Obstacle // the same, grouped
	// Stopped says that reading stopped at the first obstacle: there may be more.
	Stopped bool
	Skipped []Skipped
	// Coverage is the share of the parameters that lie in layers; see
	// [Network.Coverage]. It is 0 where the model cannot be run.
	Coverage float64
}

// Inspect reads a model as [Build] does and reports instead of refusing: every
// node whose operator cannot be run is listed; a form of an operator that is not
// supported stops it at the first. An error means that not even that is
// possible.
func Inspect(m *onnx.Model, opt Options) (*Inspection, error) {
	n, err := build(m, opt)
	var refused *refusal
	if errors.As(err, &refused) {
		i := &Inspection{Unsupported: refused.nodes, Obstacles: obstacles(refused.nodes), Stopped: refused.first}
		for _, w := range m.Weights() {
			name := w.Path
			if name == "" {
				name = w.Tensor.Name
			}
			i.Skipped = append(i.Skipped, Skipped{Name: name, Elements: w.Tensor.Elements(), Reason: "the model cannot be run"})
		}
		return i, nil
	}
	if err != nil {
		return nil, err
	}
	return &Inspection{Network: n, Skipped: n.Skipped, Coverage: n.Coverage()}, nil
}

// Refusal is the error that [Build] gives for a model that cannot be run.
func (i *Inspection) Refusal(m *onnx.Model) error { return unsupportedError(m, i.Unsupported) }

// Coverage is the share of the parameters, in elements, that lie in layers.
// Tensors that are told not to be parameters (running statistics, constants,
// masks, scalars) do not count; parameters that nothing reads do, as uncovered.
func (n *Network) Coverage() float64 {
	covered := n.Parameters()
	total := covered
	for _, s := range n.Skipped {
		if s.Parameter {
			total += s.Elements
		}
	}
	if total == 0 {
		return 0
	}
	return float64(covered) / float64(total)
}

// QuantisesActivations reports whether activations are rounded to a grid on their
// way to the logits.
func (n *Network) QuantisesActivations() bool {
	return slices.ContainsFunc(n.steps, func(s *op.Step) bool {
		switch s.Op.(type) {
		case op.OnGrid, op.FakeDynamicQuantize:
			return s.In[0].OnDataPath
		}
		return false
	})
}

// LinearLogits reports whether the logits are the result of a linear map by weights,
// which small numbers may be, and probabilities are not.
func (n *Network) LinearLogits() bool {
	for s := n.Necks[len(n.Necks)-1].value.Step; s != nil; s = s.In[0].Step {
		_, view := s.Op.(op.View)
		switch s.Op.(type) {
		case op.Add, op.Mul: // a bias, or what makes one logit two
			view = s.In[0].OnDataPath && !s.In[1].OnDataPath
		}
		if !view {
			return kindOf(s) != loose
		}
	}
	return false
}

// Family describes the network in words, such as "ViT, 12 blocks".
func (n *Network) Family() string {
	attentions, convolutions := 0, 0
	for _, s := range n.steps {
		if s.Out.OnDataPath && isAttention(s) {
			attentions++
		} else if _, convolves := s.Op.(op.Conv); convolves {
			convolutions++
		}
	}
	family := "MLP"
	switch {
	case attentions > 0:
		family = "ViT"
	case convolutions > 1:
		family = "CNN"
	}
	if n.structured {
		if len(n.layers[ByBlock]) == 1 {
			return family + ", 1 layer"
		}
		return fmt.Sprintf("%s, %d layers", family, len(n.layers[ByBlock]))
	}
	blocks := 0
	for _, l := range n.layers[ByBlock] {
		if l.Name != embedLayer && l.Name != headLayer {
			blocks++
		}
	}
	if blocks == 0 {
		return family
	}
	return fmt.Sprintf("%s, %d blocks", family, blocks)
}
