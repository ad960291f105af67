package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx"
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
	case len(paths) > 1, nameless && len(n.Stages(weight)) > 1:
		return uses
	}
	return nil
}

// readsShapeOnly reports whether a node ignores its input's elements.
func readsShapeOnly(node *onnx.Node) bool {
	return node.Domain == "" && (node.OpType == "Shape" || node.OpType == "Size")
}

// Stages returns the stages that use a weight, by its index: those whose output
// changes with it, in ascending order. Stage k lies between the necks k and k+1.
// The slice is shared.
func (n *Network) Stages(weight int) []int { return n.stages()[weight] }

// weightStages finds the stages of every weight.
func (n *Network) weightStages() [][]int {
	stages := make([][]int, len(n.Weights))
	for k := range len(n.Necks) - 1 {
		for w := range n.weightsBetween(k, k+1) {
			stages[w] = append(stages[w], k)
		}
	}
	return stages
}

// LayerStages returns the stages that use any weight of a layer, in ascending
// order.
func (n *Network) LayerStages(l Layer) []int {
	var stages []int
	for _, w := range l.Weights {
		stages = append(stages, n.Stages(w)...)
	}
	slices.Sort(stages)
	return slices.Compact(stages)
}

// StoredTogether returns, for each weight of which that is true, the others whose
// data are the same bytes of an external file; all are indices in Weights. A
// patched model has a new value for one of them and the old for the others.
func (n *Network) StoredTogether() map[int][]int {
	type location struct {
		file string
		data onnx.ByteRange
	}
	at := map[location][]int{}
	for i, w := range n.Weights {
		if t := w.Tensor; t.Storage == onnx.StorageExternal {
			p := location{t.File, t.Range}
			at[p] = append(at[p], i)
		}
	}
	together := map[int][]int{}
	for _, list := range at {
		for k, i := range list {
			if len(list) > 1 {
				together[i] = slices.Delete(slices.Clone(list), k, k+1)
			}
		}
	}
	return together
}
