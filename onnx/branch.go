package onnx

import "github.com/modeldoctor/modeldoctor/onnx/internal/wire"

// Guard says that a node stands in a branch of an If: it may be computed only
// where all conditions, from the innermost If outwards, have their values.
type Guard struct {
	Condition string // the value that the If tests
	Then      bool   // what it must be
	Outer     *Guard // of the If itself; nil in the graph
}

// branches appends the nodes of both branches of an If, and makes the outputs of
// the branches the inputs of the If, behind its condition: all of the first
// branch, then all of the second.
func (l *inliner) branches(n *Node, s *scope) error {
	if len(n.Inputs) != 1 || n.Inputs[0] == "" {
		return l.model.failAt(n, exportAgain, "%d inputs, expected the condition", len(n.Inputs))
	}
	condition := n.Inputs[0]
	for _, name := range []string{"then_branch", "else_branch"} {
		g, ok := n.branch(name)
		if !ok {
			return l.model.failAt(n, exportAgain, "it has no graph in its attribute %s", name)
		}
		for range g.Fields() {
			l.parts++
		}
		if err := l.checkLimits(n); err != nil {
			return err
		}
		inner := &scope{
			outer:  s,
			names:  map[string]string{},
			prefix: prefixOf(n) + name + "/",
			scopes: n.Scopes,
			opsets: s.opsets,
			given:  s.given,
			guard:  &Guard{Condition: condition, Then: name == "then_branch", Outer: s.guard},
			calls:  s.calls,
		}
		if err := l.initializers(n, g, inner); err != nil {
			return err
		}
		if err := l.declare(n, g, graphNode, inner); err != nil {
			return err
		}
		if err := l.nodesOf(g, graphNode, inner); err != nil {
			return err
		}
		outputs := 0
		for out := range g.Each(graphOutput) {
			n.Inputs = append(n.Inputs, inner.value(string(out.Bytes(valueName))))
			outputs++
		}
		if outputs != len(n.Outputs) {
			return l.model.failAt(n, exportAgain, "%s has %d outputs, expected %d", name, outputs, len(n.Outputs))
		}
	}
	n.subgraph = false
	return nil
}

// branch returns a graph among the node's own attributes. One that is given by
// the call of a function would see the values around that call.
func (n *Node) branch(name string) (g wire.Message, ok bool) {
	for attr := range n.message.Each(nodeAttribute) {
		if string(attr.Bytes(attributeName)) == name {
			for g = range attr.Each(attributeGraph) {
				ok = true
			}
		}
	}
	return g, ok
}

// initializers reads those of a branch of n.
func (l *inliner) initializers(n *Node, g wire.Message, s *scope) error {
	for range g.Each(graphSparse) {
		return l.model.failAt(n, exportPlain, "a branch has sparse initializers, which are not supported")
	}
	for message := range g.Each(graphInitializer) {
		offset, _ := message.Range()
		own := string(message.Bytes(tensorName))
		if name, ok := l.constants[offset]; ok {
			s.names[own] = name
			continue
		}
		t, err := l.model.initializer(message)
		if err != nil {
			return err
		}
		if _, twice := s.names[own]; twice {
			return t.fail("two initializers have this name", exportAgain)
		}
		t.Name = l.free(own, s)
		s.names[own], l.constants[offset] = t.Name, t.Name
		l.model.addTensor(t)
	}
	return nil
}
