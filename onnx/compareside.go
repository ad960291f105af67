package onnx

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// side is one of the two models of a comparison.
type side struct {
	*Model
	nodes   map[int64]*Node   // by offset
	tensors map[int64]*Tensor // likewise
}

func sideOf(m *Model) side {
	s := side{m, make(map[int64]*Node, len(m.Nodes)), make(map[int64]*Tensor, len(m.constants))}
	for _, n := range m.Nodes {
		s.nodes[n.Offset] = n
	}
	for _, t := range m.constants {
		s.tensors[t.offset] = t
	}
	return s
}

func (s side) summary() (FileSummary, error) {
	sum, err := s.SHA256()
	return FileSummary{s.Path, s.Size, sum}, err
}

// label names a node in a message. One that has been replaced by what it calls is
// not in the list of nodes.
func (s side) label(message wire.Message) string {
	offset, _ := message.Range()
	if n := s.nodes[offset]; n != nil {
		return n.Label()
	}
	return (&Node{Index: -1, Name: clean(message.Bytes(nodeName)), OpType: clean(message.Bytes(nodeOpType)), Outputs: []string{clean(message.Bytes(nodeOutput))}}).Label()
}

// constantAt returns the tensor of a Constant node in a field, nil for others.
func (s side) constantAt(f wire.Field) *Tensor {
	offset, _ := f.Range()
	if n := s.nodes[offset]; n != nil {
		return s.constantOf(n)
	}
	return nil
}

// constantOf returns the tensor of a Constant node, nil for other nodes.
func (s side) constantOf(n *Node) *Tensor {
	if !n.isConstant() {
		return nil
	}
	if t := s.constants[n.Outputs[0]]; t != nil && t.Node == n {
		return t
	}
	return nil
}

// allConstants returns initializers and values of Constant nodes, each once.
func (s side) allConstants() []*Tensor {
	all := slices.Clone(s.Tensors)
	for _, n := range s.Nodes {
		if t := s.constantOf(n); t != nil {
			all = append(all, t)
		}
	}
	return all
}

// paths returns the recovered paths of the weights by tensor name.
func (s side) paths() map[string]string {
	paths := map[string]string{}
	for _, w := range s.Weights() {
		paths[w.Tensor.Name] = w.Path
	}
	return paths
}
