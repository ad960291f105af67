package onnx

import "slices"

// Weight is a floating-point constant of the file, or an integer one that is
// only read dequantised (see [Quantization]): a parameter, or one of the
// buffers, tables and scalars that exporters store in the same way. Which of
// them it is shows in what reads it.
type Weight struct {
	Tensor *Tensor
	// Path is the name of the parameter in the program that was exported, such
	// as "blocks.0.attn.qkv.weight"; "" if it cannot be recovered. It is the same
	// in every export of one model, and unique within a file.
	Path   string
	Source NameSource // where Path comes from
	Uses   []Use      // empty if nothing reads it
}

// Use is one place at which a weight is read.
type Use struct {
	Node  *Node
	Input int // which of the node's inputs
	// Chain holds the nodes that only rearrange, convert or select what the
	// tensor holds (Identity, Transpose, Reshape, Cast, DequantizeLinear, Slice,
	// …) between it and Node, nearest to the tensor first.
	Chain []*Node
	// Path is the name that this use suggests, "" if it suggests none. It
	// differs from the weight's own where one tensor serves several modules,
	// because they are tied or because the exporter merged equal values.
	Path string
}

// Reader returns the node that reads the tensor itself, and which of its inputs
// does: the first of the chain, or Node where there is none.
func (u Use) Reader() (node *Node, input int) {
	if len(u.Chain) > 0 {
		return u.Chain[0], 0
	}
	return u.Node, u.Input
}

// maxChain bounds the length of a chain. What exporters write has three or four
// nodes; the nodes beyond the bound count as readers.
const maxChain = 32

// rearranges reports whether the node's first output has the elements of its
// first input, or a selection of them, in some order and type.
func rearranges(n *Node) bool {
	if n.Dequantizes() {
		return true
	}
	if n.Domain != "" {
		return false
	}
	switch n.OpType {
	case "Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "CastLike", "Slice", "Split":
		return true
	}
	return false
}

// reader is a node's input.
type reader struct {
	node  *Node
	input int
}

// uses lists who reads which value.
type uses map[string][]reader

func usesOf(m *Model) uses {
	u := make(uses, len(m.Nodes)+len(m.Tensors))
	for _, n := range m.Nodes {
		for i, value := range n.Inputs {
			if value != "" {
				u[value] = append(u[value], reader{n, i})
			}
		}
	}
	return u
}

// of returns the uses of a value, through the nodes that rearrange it.
func (u uses) of(value string, chain []*Node) []Use {
	var found []Use
	for _, r := range u[value] {
		if r.input == 0 && rearranges(r.node) && len(chain) < maxChain {
			longer := append(slices.Clone(chain), r.node)
			for _, out := range r.node.Outputs {
				if out != "" {
					found = append(found, u.of(out, longer)...)
				}
			}
			continue
		}
		found = append(found, Use{Node: r.node, Input: r.input, Chain: chain})
	}
	return found
}

// Weights returns every constant that has elements and for which
// [Tensor.HoldsFloats] holds, used or not: the initializers in file order, then
// the values of Constant nodes. Their names are recovered from what the exporter
// left: see [NameSource].
func (m *Model) Weights() []Weight {
	u := usesOf(m)
	var weights []Weight
	add := func(t *Tensor) {
		if t != nil && t.HoldsFloats() && t.Elements() > 0 {
			weights = append(weights, Weight{Tensor: t, Uses: u.of(t.Name, nil)})
		}
	}
	for _, t := range m.Tensors {
		add(t)
	}
	for _, n := range m.Nodes {
		if n.isConstant() {
			add(m.constants[n.Outputs[0]])
		}
	}
	nameWeights(m, weights, u)
	return weights
}
