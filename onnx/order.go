package onnx

import (
	"container/heap"
	"fmt"
	"iter"
)

// sortNodes returns the nodes so that every value is made before it is used,
// in file order wherever that is so already, which ONNX demands and nearly all
// files obey. It refuses a value that is made twice or never, and cycles.
// Values that only the body of a loop refers to are not looked at.
func sortNodes(m *Model, nodes []*Node) ([]*Node, error) {
	maker, err := makersOf(m, nodes)
	if err != nil {
		return nil, err
	}
	waiting := make([]int, len(nodes)) // operands that are not made yet
	users := make([][]int, len(nodes))
	var ready intHeap
	for i, n := range nodes {
		for value := range n.needs() {
			from, ok := maker[value]
			if !ok {
				return nil, undefined(m, n, value)
			}
			if from >= 0 {
				waiting[i]++
				users[from] = append(users[from], i)
			}
		}
		if waiting[i] == 0 {
			ready = append(ready, i)
		}
	}
	for _, out := range m.Outputs {
		if _, ok := maker[out.Name]; !ok {
			offset, _ := m.graph.Range()
			return nil, m.fail(offset, fmt.Sprintf("the graph's output %q is made by no node", out.Name), exportAgain)
		}
	}
	sorted := make([]*Node, 0, len(nodes))
	for len(ready) > 0 { // increasing indices are a heap
		i := heap.Pop(&ready).(int)
		nodes[i].Index = len(sorted)
		sorted = append(sorted, nodes[i])
		for _, j := range users[i] {
			if waiting[j]--; waiting[j] == 0 {
				heap.Push(&ready, j)
			}
		}
	}
	if len(sorted) < len(nodes) {
		for i, n := range nodes {
			if waiting[i] > 0 {
				return nil, m.failAt(n, exportAgain, "the node depends on its own output")
			}
		}
	}
	return sorted, nil
}

// needs returns the values that must be known before the node is computed: its
// inputs and the conditions of the branches in which it stands.
func (n *Node) needs() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, value := range n.Inputs {
			if value != "" && !yield(value) {
				return
			}
		}
		for g := n.Guard; g != nil; g = g.Outer {
			if !yield(g.Condition) {
				return
			}
		}
	}
}

// given marks, among the makers, a value that no node makes.
const given = -1

// makersOf returns, for each value, the index of the node that makes it, or given.
func makersOf(m *Model, nodes []*Node) (map[string]int, error) {
	maker := make(map[string]int, len(nodes)+len(m.Tensors))
	for _, t := range m.Tensors {
		maker[t.Name] = given
	}
	for _, in := range m.Inputs {
		if _, twice := maker[in.Name]; twice {
			offset, _ := m.graph.Range()
			return nil, m.fail(offset, fmt.Sprintf("two inputs have the name %q", in.Name), exportAgain)
		}
		maker[in.Name] = given
	}
	for sparse := range m.graph.Each(graphSparse) {
		for values := range sparse.Each(sparseValues) {
			maker[string(values.Bytes(tensorName))] = given
		}
	}
	for i, n := range nodes {
		for _, value := range n.Outputs {
			if value == "" {
				continue
			}
			if _, twice := maker[value]; twice {
				return nil, m.failAt(n, exportAgain, "the value %q is made a second time", value)
			}
			maker[value] = i
		}
	}
	return maker, nil
}

func undefined(m *Model, n *Node, value string) error {
	return m.failAt(n, "the file may have been saved without its weights: export it again",
		"its input %q is neither an input of the graph, an initializer nor made by a node", value)
}

// intHeap is a min-heap.
type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
