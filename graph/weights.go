package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Weight is one tensor of the file that gradients are taken of, in the form in
// which it is stored: an operation on it (a Transpose, a Cast) is part of the
// network.
type Weight struct {
	Name     string          // recovered parameter path such as blocks.0.attn.qkv.weight
	Source   onnx.NameSource // what Name was recovered from
	Tensor   *onnx.Tensor
	Elements int
	Uses     []onnx.Use
	// Neck is the last neck before every use of the weight: the loss as a
	// function of it depends on the images only through the activations there.
	Neck int

	first  int  // the step on the data path that uses it first
	role   role // what it is to that step
	member membership
}

// Skipped is a floating-point tensor that is in no layer, and why.
type Skipped struct {
	Name      string
	Elements  int
	Reason    string
	Parameter bool // it is a parameter all the same, one that does nothing
}

// collectWeights lists the weights that the logits depend on, in order of first
// use, and everything else with the reason it is skipped. It returns the tensors
// that have been lowered as weights, but whose values show that they are none,
// with the reasons.
func (n *Network) collectWeights(c *candidates) (constants map[*onnx.Tensor]string) {
	byIndex := map[int]*Weight{}
	n.weightOf, constants = map[*op.Value]int{}, map[*onnx.Tensor]string{}
	walk := weightWalk{
		named:    func(weight int) bool { return c.all[weight].Path != "" },
		seen:     make(map[visit]bool, len(n.steps)),
		compared: map[int]bool{},
		angles:   map[int]bool{},
	}
	for i, s := range n.steps {
		if !s.Out.OnDataPath {
			continue
		}
		for operand, v := range s.In {
			if v.OnDataPath {
				continue
			}
			for _, leaf := range walk.leaves(v) {
				if byIndex[leaf.Index] == nil {
					file := c.all[leaf.Index]
					w := &Weight{
						Name:     file.Path,
						Source:   file.Source,
						Tensor:   file.Tensor,
						Elements: file.Tensor.Elements(),
						Uses:     file.Uses,
						first:    i,
						role:     roleOf(s.Op, operand),
					}
					byIndex[leaf.Index] = w
					n.weightOf[leaf] = len(n.Weights)
					n.Weights = append(n.Weights, w)
				}
			}
		}
	}
	for i, file := range c.all {
		if byIndex[i] != nil {
			continue
		}
		reason := c.reasons[file.Tensor]
		switch {
		case reason != "":
		case walk.compared[i]:
			constants[file.Tensor] = "mask: it is only compared"
		case walk.angles[i]:
			constants[file.Tensor] = "angles of a sinusoidal embedding"
		default:
			reason = "unused: the logits do not depend on it"
		}
		name := file.Path
		if name == "" {
			name = file.Tensor.Name
		}
		n.Skipped = append(n.Skipped, Skipped{name, file.Tensor.Elements(), reason, strings.HasPrefix(reason, "unused")})
	}
	return constants
}

// locateWeights finds each weight's first use among steps that have changed since
// the weights were collected. Neither their number nor their order changes.
func (n *Network) locateWeights() {
	seen := map[*op.Value]bool{}
	for i, s := range n.steps {
		if !s.Out.OnDataPath {
			continue
		}
		for stack := slices.Clone(s.In); len(stack) > 0; {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if v.OnDataPath || seen[v] {
				continue
			}
			seen[v] = true
			if w, ok := n.weightOf[v]; ok {
				n.Weights[w].first = i
			}
			if v.Step != nil {
				stack = append(stack, v.Step.In...)
			}
		}
	}
}

// setNecks finds the last neck before each weight's first use. It is called once
// the necks are final: a weight holds its neck's index.
func (n *Network) setNecks() {
	for _, w := range n.Weights {
		w.Neck = n.neckBefore(w.first)
	}
}

// neckBefore is the index of the last neck before a step.
func (n *Network) neckBefore(step int) int {
	// The image is at position 0, and the necks are in order.
	behind, found := slices.BinarySearchFunc(n.Necks, step, func(k Neck, step int) int { return k.position - step })
	if !found {
		behind--
	}
	return max(0, behind)
}

// role is what an operand is to an Op, for naming weights whose file gives no
// name.
type role string

const (
	roleWeight role = "weight" // the matrix of a linear map, or the scale of a normalisation
	roleBias   role = "bias"
	roleTensor role = "tensor" // anything else
)

// roleOf returns the role of one of an Op's operands.
func roleOf(o op.Op, operand int) role {
	switch o.(type) {
	case op.Linear, op.Conv, op.PatchEmbedding, op.MatMul, op.LayerNormalization, op.RMSNormalization, op.BatchNormalization:
		switch operand {
		case 1:
			return roleWeight
		case 2:
			return roleBias
		}
	}
	return roleTensor
}

// CheckFinite reads every weight and reports the first that holds NaN or an
// infinity.
func (n *Network) CheckFinite() error {
	for _, w := range n.Weights {
		data, err := w.Tensor.Float32s()
		if err != nil {
			return err
		}
		for j, x := range data {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				return &Error{Path: n.Model.Path,
					Msg:  fmt.Sprintf("weight %q (tensor %q) is %v at element %d", w.Name, w.Tensor.Name, x, j),
					Help: "the checkpoint is broken: training has diverged or the file is damaged"}
			}
		}
	}
	return nil
}
