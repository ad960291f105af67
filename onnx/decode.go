package onnx

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"modeldoctor/onnx/internal/wire"
)

const (
	truncatedHint = "the file is cut short: copy or download it again"
	notONNXHint   = "give the .onnx file that the exporter wrote"
)

// decode reads the structure of m.data.
func (m *Model) decode() error {
	m.Size = int64(len(m.data))
	m.sha256 = m.digest()
	if len(m.data) == 0 {
		return m.fail(0, "the file is empty", "copy or download it again")
	}
	index, err := wire.New(m.data)
	if err != nil {
		return m.malformed(err)
	}
	m.index = index
	if err := m.header(); err != nil {
		return err
	}
	if err := m.values(); err != nil {
		return err
	}
	nodes, err := m.nodes()
	if err != nil {
		return err
	}
	if m.Nodes, err = m.sortNodes(nodes); err != nil {
		return err
	}
	if err := m.readGraph(); err != nil {
		return err
	}
	m.findQuantized()
	return nil
}

// malformed explains an error of the index, first by what the file is instead.
func (m *Model) malformed(err error) error {
	if msg, hint, ok := notAModel(m.data); ok {
		return m.fail(0, msg, hint)
	}
	var at *wire.Error
	if !errors.As(err, &at) {
		return m.fail(0, err.Error(), notONNXHint)
	}
	e := m.fail(at.Offset, "not a well-formed ONNX file: "+at.Message, notONNXHint)
	if at.Truncated {
		e.Advice = truncatedHint
	}
	return e
}

// header reads the fields of ModelProto and finds the graph.
func (m *Model) header() error {
	root := m.index.Root()
	m.IRVersion = int64(root.Uint(modelIRVersion))
	m.Producer = clean(root.Bytes(modelProducer))
	m.ProducerVersion = clean(root.Bytes(modelProducerVersion))
	m.Metadata = entries(root, modelMetadata)
	m.Opsets = map[string]int64{}
	for opset := range root.Each(modelOpset) {
		m.Opsets[canonicalDomain(clean(opset.Bytes(opsetDomain)))] = int64(opset.Uint(opsetVersion))
	}
	m.functions = map[functionKey]bool{}
	for f := range root.Each(modelFunction) {
		m.Functions++
		m.functions[functionKey{canonicalDomain(string(f.Bytes(functionDomain))), string(f.Bytes(functionName)), string(f.Bytes(functionOverload))}] = true
	}
	graphs := 0
	for g := range root.Each(modelGraph) {
		m.graph = g
		graphs++
	}
	switch {
	case graphs == 0:
		if msg, hint, ok := notAModel(m.data); ok {
			return m.fail(0, msg, hint)
		}
		return m.fail(0, "the file has no graph: it is not an ONNX model, or an empty one", notONNXHint)
	case graphs > 1:
		offset, _ := m.graph.Range()
		return m.fail(offset, fmt.Sprintf("the file has %d graphs, expected one", graphs), "export the model again")
	}
	m.GraphName = clean(m.graph.Bytes(graphName))
	return nil
}

// clean returns text for people: what is not UTF-8 in it is replaced.
func clean(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

// name returns text that identifies something, which must be UTF-8.
func (m *Model) name(f wire.Field) (string, error) {
	b := f.Bytes()
	if !utf8.Valid(b) {
		offset, _ := f.Range()
		return "", m.fail(offset, fmt.Sprintf("the name %q is not UTF-8", b), notONNXHint)
	}
	return string(b), nil
}

// values reads initializers, inputs and outputs.
func (m *Model) values() error {
	m.constants = map[string]*Tensor{}
	for f := range m.graph.Fields() {
		if f.Number() != graphInitializer {
			continue
		}
		t, err := m.tensor(f.Message(), nil, "")
		if err != nil {
			return err
		}
		if t.Name == "" {
			return t.fail("an initializer without a name", "")
		}
		if !utf8.ValidString(t.Name) {
			return t.fail("the name is not UTF-8", notONNXHint)
		}
		if m.constants[t.Name] != nil {
			return t.fail("two initializers have this name", "export the model again")
		}
		m.constants[t.Name] = t
		m.Tensors = append(m.Tensors, t)
	}
	for range m.graph.Each(graphSparse) {
		m.SparseInitializers++
	}
	for f := range m.graph.Fields() {
		num := f.Number()
		if num != graphInput && num != graphOutput {
			continue
		}
		v, err := m.valueInfo(f.Message())
		if err != nil {
			return err
		}
		switch {
		case num == graphOutput:
			m.Outputs = append(m.Outputs, v)
		case m.constants[v.Name] == nil:
			m.Inputs = append(m.Inputs, v)
		}
	}
	if len(m.Outputs) == 0 {
		offset, _ := m.graph.Range()
		return m.fail(offset, "the graph has no outputs", "export the model again")
	}
	return nil
}

func (m *Model) valueInfo(message wire.Message) (v ValueInfo, err error) {
	for f := range message.Fields() {
		switch f.Number() {
		case valueName:
			if v.Name, err = m.name(f); err != nil {
				return v, err
			}
		case valueType:
			for tensor := range f.Message().Each(typeTensor) {
				v.DType = DType(tensor.Uint(elemType))
				for shape := range tensor.Each(elemShape) {
					v.Shape = []Dim{}
					for dim := range shape.Each(shapeDim) {
						v.Shape = append(v.Shape, dimension(dim))
					}
				}
			}
		}
	}
	return v, nil
}

func dimension(message wire.Message) Dim {
	// Old exporters write -1 (and 0 never is the size of a real input) for a
	// size that is not known.
	if message.Has(dimValue) {
		if n := int64(message.Uint(dimValue)); n >= 0 {
			return Dim{Value: n}
		}
	}
	return Dim{Value: -1, Param: clean(message.Bytes(dimParam))}
}

// nodes reads the NodeProtos in file order, with everything but the values of
// their plain attributes.
func (m *Model) nodes() ([]*Node, error) {
	var nodes []*Node
	for message := range m.graph.Each(graphNode) {
		n := &Node{Index: len(nodes), message: message}
		n.Offset, _ = message.Range()
		for f := range message.Fields() {
			var err error
			switch f.Number() {
			case nodeInput:
				err = m.appendName(&n.Inputs, f)
			case nodeOutput:
				err = m.appendName(&n.Outputs, f)
			case nodeName:
				n.Name, err = m.name(f)
			case nodeOpType:
				n.OpType, err = m.name(f)
			case nodeDomain:
				n.Domain, err = m.name(f)
				n.Domain = canonicalDomain(n.Domain)
			case nodeOverload:
				n.Overload, err = m.name(f)
			}
			if err != nil {
				return nil, err
			}
		}
		if n.OpType == "" || len(n.Outputs) == 0 {
			e := m.fail(n.Offset, "a node needs an operator and an output, it has none", "export the model again")
			e.Node = n.Label()
			return nil, e
		}
		n.Scopes = parseScopes(n.Metadata(scopesKey))
		if err := m.readAttributes(n); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	if len(nodes) == 0 {
		offset, _ := m.graph.Range()
		return nil, m.fail(offset, "the graph has no nodes", "export the model again")
	}
	for _, n := range nodes {
		if n.OpType != "Constant" || n.Domain != "" || n.Outputs[0] == "" {
			continue
		}
		t, err := m.constant(n)
		if err != nil {
			return nil, err
		}
		if t != nil && m.constants[t.Name] == nil { // a second maker is sortNodes' error
			m.constants[t.Name] = t
		}
	}
	return nodes, nil
}

func (m *Model) appendName(names *[]string, f wire.Field) error {
	name, err := m.name(f)
	*names = append(*names, name)
	return err
}
