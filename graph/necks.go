package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// findNecks finds the values that every path from the image to the logits
// passes through. Every step on the data path lies on such a path (what does
// not was dropped), so in any topological order a value is a neck exactly when,
// right after it, it is the only value still to be used.
//
// A neck must hold one example after the other, so its first dimension is the
// batch.
func (n *Network) findNecks(image, logits *op.Value) {
	last := make(map[*op.Value]int, 2*len(n.steps))
	for i, s := range n.steps {
		for _, v := range s.In {
			last[v] = i
		}
	}
	last[logits] = len(n.steps)
	alive := 1                          // the image
	ends := make([]int, len(n.steps)+1) // how many values a step is the last to use
	ends[last[image]]++
	n.Necks = []Neck{n.neck(image, 0)}
	for i, s := range n.steps {
		if !s.Out.OnDataPath {
			continue
		}
		alive++
		ends[last[s.Out]]++
		alive -= ends[i]
		if alive == 1 && s.Out.Type.Rank() > 0 && s.Out.Type.Shape[0] == n.Batch && op.ClassOf(s.Out.Type.DType) == op.ClassFloat32 {
			n.Necks = append(n.Necks, n.neck(s.Out, i+1))
		}
	}
}

func (n *Network) neck(v *op.Value, position int) Neck {
	return Neck{
		Name:     v.Name,
		Shape:    slices.Clone(v.Type.Shape[1:]),
		Elements: v.Type.Elements() / n.Batch,
		value:    v,
		position: position,
	}
}

// keepBatchedNecks drops necks whose first dimension only happened to equal the
// batch: in other, the same network at another batch, it does not, or the rest
// of the shape changes with the batch.
func (n *Network) keepBatchedNecks(other *Network) {
	shapes := map[int][]int{}
	for _, k := range other.Necks {
		shapes[k.position] = k.Shape
	}
	first, last := 0, len(n.Necks)-1
	kept := n.Necks[:0]
	for i, k := range n.Necks {
		shape, ok := shapes[k.position]
		if i == first || i == last || ok && slices.Equal(shape, k.Shape) {
			kept = append(kept, k)
		}
	}
	n.Necks = kept
}
