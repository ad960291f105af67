package onnx

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

const (
	truncatedHint = "the file is cut short: copy or download it again"
	notONNXHint   = "give the .onnx file that the exporter wrote"
	exportAgain   = "export the model again"
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
	if err := m.checkLimits(); err != nil {
		return err
	}
	if err := m.readFunctions(); err != nil {
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
	if err := m.checkEntries(root, modelMetadata); err != nil {
		return err
	}
	m.IRVersion = int64(root.Uint(modelIRVersion))
	m.Producer = clean(root.Bytes(modelProducer))
	m.ProducerVersion = clean(root.Bytes(modelProducerVersion))
	m.Metadata = entries(root, modelMetadata)
	m.Opsets = opsets(root, modelOpset)
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
		return m.fail(offset, fmt.Sprintf("the file has %d graphs, expected one", graphs), exportAgain)
	}
	m.GraphName = clean(m.graph.Bytes(graphName))
	return nil
}

// opsets returns the versions that a model or a function imports, by domain.
func opsets(message wire.Message, field protowire.Number) map[string]int64 {
	versions := map[string]int64{}
	for opset := range message.Each(field) {
		versions[canonicalDomain(clean(opset.Bytes(opsetDomain)))] = int64(opset.Uint(opsetVersion))
	}
	return versions
}

// clean returns text for people: what is not UTF-8 in it is replaced.
func clean(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

// name returns text that identifies something, which must be UTF-8.
func (m *Model) name(f wire.Field) (string, error) {
	b := f.Bytes()
	offset, _ := f.Range()
	if err := m.checkName(b, offset); err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
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
		t, err := m.initializer(f.Message())
		if err != nil {
			return err
		}
		if m.constants[t.Name] != nil {
			return t.fail("two initializers have this name", exportAgain)
		}
		m.addTensor(t)
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
		return m.fail(offset, "the graph has no outputs", exportAgain)
	}
	return nil
}

// initializer reads an initializer, without its data.
func (m *Model) initializer(message wire.Message) (*Tensor, error) {
	t, err := m.tensor(message, nil, "")
	switch {
	case err != nil:
		return nil, err
	case t.Name == "":
		return nil, t.fail("an initializer without a name", "")
	case !utf8.ValidString(t.Name):
		return nil, t.fail("the name is not UTF-8", notONNXHint)
	}
	return t, nil
}

func (m *Model) addTensor(t *Tensor) {
	m.constants[t.Name] = t
	m.Tensors = append(m.Tensors, t)
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
						if len(v.Shape) == maxRank {
							offset, _ := shape.Range()
							return v, m.fail(offset, fmt.Sprintf("value %q has a rank of more than %d", v.Name, maxRank), "")
						}
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
// their plain attributes. Calls of functions and branches are inlined.
func (m *Model) nodes() ([]*Node, error) {
	l := inliner{model: m, constants: map[int64]string{}}
	if err := l.nodesOf(m.graph, graphNode, &scope{opsets: m.Opsets}); err != nil {
		return nil, err
	}
	if len(l.nodes) == 0 {
		offset, _ := m.graph.Range()
		return nil, m.fail(offset, "the graph has no nodes", exportAgain)
	}
	for _, n := range l.nodes {
		if !n.isConstant() {
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
	return l.nodes, nil
}

// node reads a NodeProto that stands in s.
func (m *Model) node(message wire.Message, s *scope) (*Node, error) {
	n := &Node{message: message, given: s.given, inlined: s.names != nil, Guard: s.guard}
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
		return nil, m.failAt(n, exportAgain, "a node needs an operator and an output, it has none")
	}
	n.Opset = s.opsets[n.Domain]
	n.Scopes = parseScopes(n.Metadata(scopesKey))
	if n.inlined {
		s.adopt(n)
	}
	return n, m.readAttributes(n)
}

func (m *Model) appendName(names *[]string, f wire.Field) error {
	name, err := m.name(f)
	*names = append(*names, name)
	return err
}
