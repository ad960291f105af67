package onnx

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	truncatedHint = "the file is cut short: copy or download it again"
	notONNXHint   = "give the .onnx file that the exporter wrote"
	exportAgain   = "export the model again"
)

// decode reads the structure of m.data.
func decode(m *Model) error {
	m.Size = int64(len(m.data))
	m.sha256 = digest(m.data)
	if len(m.data) == 0 {
		return m.fail(0, "the file is empty", "copy or download it again")
	}
	d := &decoder{m, map[functionKey]*function{}}
	index, err := wire.New(m.data)
	if err != nil {
		return d.malformed(err)
	}
	m.index = index
	if err := d.header(); err != nil {
		return err
	}
	if err := checkLimits(m); err != nil {
		return err
	}
	if err := d.readFunctions(); err != nil {
		return err
	}
	if err := d.values(); err != nil {
		return err
	}
	nodes, err := nodeDecoder{d}.nodes()
	if err != nil {
		return err
	}
	if m.Nodes, err = sortNodes(m, nodes); err != nil {
		return err
	}
	if err := readGraph(m); err != nil {
		return err
	}
	findQuantized(m)
	return nil
}

// decoder fills a model with what its file holds.
type decoder struct {
	*Model
	functions map[functionKey]*function
}

// malformed explains an error of the index, first by what the file is instead.
func (d *decoder) malformed(err error) error {
	if msg, hint, ok := notAModel(d.data); ok {
		return d.fail(0, msg, strings.ReplaceAll(hint, "FILE", d.Path))
	}
	var at *wire.Error
	if !errors.As(err, &at) {
		return d.fail(0, err.Error(), notONNXHint)
	}
	e := d.fail(at.Offset, "not a well-formed ONNX file: "+at.Message, notONNXHint)
	if at.Truncated {
		e.Advice = truncatedHint
	}
	return e
}

// header reads the fields of ModelProto and finds the graph.
func (d *decoder) header() error {
	root := d.index.Root()
	if err := checkEntries(d.Model, root, modelMetadata); err != nil {
		return err
	}
	d.IRVersion = int64(root.Uint(modelIRVersion))
	d.Producer = clean(root.Bytes(modelProducer))
	d.ProducerVersion = clean(root.Bytes(modelProducerVersion))
	d.Metadata = entries(root, modelMetadata)
	d.Opsets = opsets(root, modelOpset)
	graphs := 0
	for g := range root.Each(modelGraph) {
		d.graph = g
		graphs++
	}
	switch {
	case graphs == 0:
		if msg, hint, ok := notAModel(d.data); ok {
			return d.fail(0, msg, strings.ReplaceAll(hint, "FILE", d.Path))
		}
		return d.fail(0, "the file has no graph: it is not an ONNX model, or an empty one", notONNXHint)
	case graphs > 1:
		offset, _ := d.graph.Range()
		return d.fail(offset, fmt.Sprintf("the file has %d graphs, expected one", graphs), exportAgain)
	}
	d.GraphName = clean(d.graph.Bytes(graphName))
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
func (d *decoder) name(f wire.Field) (string, error) {
	b := f.Bytes()
	offset, _ := f.Range()
	if err := checkName(d.Model, b, offset); err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", d.fail(offset, fmt.Sprintf("the name %q is not UTF-8", b), notONNXHint)
	}
	return string(b), nil
}

func (d *decoder) appendName(names *[]string, f wire.Field) error {
	name, err := d.name(f)
	*names = append(*names, name)
	return err
}

// values reads initializers, inputs and outputs.
func (d *decoder) values() error {
	d.constants = map[string]*Tensor{}
	for f := range d.graph.Fields() {
		if f.Number() != graphInitializer {
			continue
		}
		t, err := d.initializer(f.Message())
		if err != nil {
			return err
		}
		if d.constants[t.Name] != nil {
			return t.fail("two initializers have this name", exportAgain)
		}
		d.addTensor(t)
	}
	for range d.graph.Each(graphSparse) {
		d.SparseInitializers++
	}
	for f := range d.graph.Fields() {
		num := f.Number()
		if num != graphInput && num != graphOutput {
			continue
		}
		v, err := d.valueInfo(f.Message())
		if err != nil {
			return err
		}
		switch {
		case num == graphOutput:
			d.Outputs = append(d.Outputs, v)
		case d.constants[v.Name] == nil:
			d.Inputs = append(d.Inputs, v)
		}
	}
	if len(d.Outputs) == 0 {
		offset, _ := d.graph.Range()
		return d.fail(offset, "the graph has no outputs", exportAgain)
	}
	return nil
}

// initializer reads an initializer, without its data.
func (d *decoder) initializer(message wire.Message) (*Tensor, error) {
	t, err := d.tensor(message, nil, "")
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

func (d *decoder) addTensor(t *Tensor) {
	d.constants[t.Name] = t
	d.Tensors = append(d.Tensors, t)
}

func (d *decoder) valueInfo(message wire.Message) (v ValueInfo, err error) {
	for f := range message.Fields() {
		switch f.Number() {
		case valueName:
			if v.Name, err = d.name(f); err != nil {
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
							return v, d.fail(offset, fmt.Sprintf("value %q has a rank of more than %d", v.Name, maxRank), "")
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
