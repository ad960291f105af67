package onnx

import "github.com/modeldoctor/modeldoctor/onnx/internal/wire"

// nodeDecoder reads nodes.
type nodeDecoder struct{ *decoder }

// nodes reads the NodeProtos in file order, with everything but the values of
// their plain attributes. Calls of functions and branches are inlined.
func (d nodeDecoder) nodes() ([]*Node, error) {
	l := inliner{decoder: d, constants: map[int64]string{}}
	if err := l.nodesOf(d.graph, graphNode, &scope{opsets: d.Opsets}); err != nil {
		return nil, err
	}
	if len(l.nodes) == 0 {
		offset, _ := d.graph.Range()
		return nil, d.fail(offset, "the graph has no nodes", exportAgain)
	}
	for _, n := range l.nodes {
		if !n.isConstant() {
			continue
		}
		t, err := d.constant(n)
		if err != nil {
			return nil, err
		}
		if t != nil && d.constants[t.Name] == nil { // a second maker is sortNodes' error
			d.constants[t.Name] = t
		}
	}
	return l.nodes, nil
}

// node reads a NodeProto that stands in s.
func (d nodeDecoder) node(message wire.Message, s *scope) (*Node, error) {
	n := &Node{message: message, given: s.given, inlined: s.names != nil, Guard: s.guard}
	n.Offset, _ = message.Range()
	for f := range message.Fields() {
		var err error
		switch f.Number() {
		case nodeInput:
			err = d.appendName(&n.Inputs, f)
		case nodeOutput:
			err = d.appendName(&n.Outputs, f)
		case nodeName:
			n.Name, err = d.name(f)
		case nodeOpType:
			n.OpType, err = d.name(f)
		case nodeDomain:
			n.Domain, err = d.name(f)
			n.Domain = canonicalDomain(n.Domain)
		case nodeOverload:
			n.Overload, err = d.name(f)
		}
		if err != nil {
			return nil, err
		}
	}
	if n.OpType == "" || len(n.Outputs) == 0 {
		return nil, d.failAt(n, exportAgain, "a node needs an operator and an output, it has none")
	}
	n.Opset = s.opsets[n.Domain]
	n.Scopes = parseScopes(n.Metadata(scopesKey))
	if n.inlined {
		s.adopt(n)
	}
	return n, d.readAttributes(n)
}
