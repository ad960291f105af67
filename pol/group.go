package pol

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/internal/vec"
)

// A group is the weights of some layers, taken together.
type group struct {
	weights []int
	neck    int // the highest neck below every use of them
}

// newGroup joins layers; a weight that is in two is taken once. Without weights
// the neck is none: that of the logits.
func newGroup(m Model, layers ...diag.Layer) group {
	g := group{neck: m.Necks() - 1}
	for _, l := range layers {
		if len(l.Weights) > 0 {
			g.weights = append(g.weights, l.Weights...)
			g.neck = min(g.neck, l.Neck)
		}
	}
	slices.Sort(g.weights)
	g.weights = slices.Compact(g.weights)
	return g
}

func (g group) empty() bool { return len(g.weights) == 0 }

// elements is the number of scalars.
func (g group) elements(m Model) int {
	n := 0
	for _, w := range g.weights {
		n += len(m.Weight(w))
	}
	return n
}

// like returns room for a value of each weight, by index in the group.
func (g group) like(m Model) [][]float32 {
	room := make([][]float32, len(g.weights))
	for i, w := range g.weights {
		room[i] = make([]float32, len(m.Weight(w)))
	}
	return room
}

// adder returns a sink that adds gradients to sums, by index in the group.
func (g group) adder(sums [][]float32) func(weight int, gradient []float32) error {
	index := make(map[int]int, len(g.weights))
	for i, w := range g.weights {
		index[w] = i
	}
	return func(weight int, gradient []float32) error {
		vec.Add(sums[index[weight]], gradient)
		return nil
	}
}

// Names lists the names of layers.
func Names(layers []diag.Layer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return names
}
