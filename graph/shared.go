package graph

import (
	"modeldoctor/onnx"
)

// Shared returns the uses of a weight, by its index, when its tensor serves
// more than one place of the network: tied modules, or different parameters
// that the exporter stored once because they were equal. Moving such a weight
// in one layer moves it in another. It returns nil for a weight that serves one
// place, and that includes one which a single module reads in several parts,
// such as a packed query, key and value matrix. Uses on which the logits do not
// depend count for nothing.
//
// Two uses are different places if they suggest different parameter paths; and
// if some suggest none, if there is a neck between them.
func (n *Network) Shared(weight int) []onnx.Use {
	var uses []onnx.Use
	nodes, paths, nameless := map[*onnx.Node]bool{}, map[string]bool{}, false
	for _, u := range n.Weights[weight].Uses {
		if !n.live[u.Node] || readsShapeOnly(u.Node) {
			continue
		}
		uses = append(uses, u)
		nodes[u.Node] = true
		if u.Path == "" {
			nameless = true
		} else {
			paths[u.Path] = true
		}
	}
	switch {
	case len(nodes) < 2:
		return nil
	case len(paths) > 1, nameless && n.stagesOf(weight) > 1:
		return uses
	}
	return nil
}

// readsShapeOnly reports whether a node ignores its input's elements.
func readsShapeOnly(node *onnx.Node) bool {
	return node.Domain == "" && (node.OpType == "Shape" || node.OpType == "Size")
}

// stagesOf counts the stages that use a weight.
func (n *Network) stagesOf(weight int) int {
	count := 0
	for k := range len(n.Necks) - 1 {
		if n.weightsBetween(k, k+1)[weight] {
			count++
		}
	}
	return count
}
