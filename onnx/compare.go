package onnx

import (
	"bytes"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// Comparison says what differs between two model files, the first, a, and the
// second, b. Whatever differs is in one of its lists, unless Same is true.
type Comparison struct {
	// Same says that the model files are identical to the byte, and so are the
	// external data files that they refer to.
	Same bool
	A, B FileSummary
	// BytesChanged counts the bytes of the second model file that have no equal
	// at the corresponding place of the first, BytesRemoved those of the first
	// that have none in the second. Places correspond field by field: messages
	// with a name or key (tensors, attributes, metadata) to those of the same
	// name, nodes to those that make the same value, other fields by their
	// order. Of a field that has no partner every byte counts; of two with
	// contents of the same length the bytes that differ; of contents of other
	// lengths, all but what they begin and end with in common; and where a tag or
	// a length differs, both. That fields come in another order counts nothing.
	BytesChanged, BytesRemoved int64
	Tensors                    []TensorChange // in the order of b, then those only in a
	Nodes                      []NodeChange   // likewise
	Metadata                   []MetadataChange
	// Fields says in words what else differs: the path of the field, before and
	// after, and the places in both files.
	Fields []string
	// DataFiles lists the external data files that the models refer to, those
	// that are identical too.
	DataFiles []DataFileComparison
}

// FileSummary identifies a model file.
type FileSummary struct {
	Path   string
	Size   int64  // bytes, without external data
	SHA256 string // hexadecimal
}

// Presence says in which of two files something is.
type Presence string

// What can be in one file or in both.
const (
	InBoth  Presence = "changed"
	OnlyInA Presence = "removed"
	OnlyInB Presence = "added"
)

// NodeChange is a node that differs.
type NodeChange struct {
	Label    string // of the node, in b unless it was removed
	Presence Presence
	Changes  []string // in words, empty unless the node is in both files
}

// MetadataChange is an entry of the model's metadata_props that differs.
type MetadataChange struct {
	Key           string
	Presence      Presence
	Before, After string // "" where there is none
}

// comparer is the state of one comparison.
type comparer struct {
	differ
	a, b         side
	result       *Comparison
	partners     map[*Tensor]*Tensor      // of Constant nodes, from b to a
	inTensor     map[*Tensor][]difference // by the tensor of b
	sameDataFile map[string]bool          // by location, of those that both refer to
}

// Compare says what differs between two models. It reads both files, and data
// files that are not the same file, through the map: of what is equal nothing is
// copied. A data file that cannot be read is an error of type [*FormatError].
func Compare(a, b *Model) (*Comparison, error) {
	c := &comparer{a: sideOf(a), b: sideOf(b), result: &Comparison{},
		partners: map[*Tensor]*Tensor{}, inTensor: map[*Tensor][]difference{}, sameDataFile: map[string]bool{}}
	c.claim = c.claimTensor
	var err error
	if c.result.A, err = c.a.summary(); err != nil {
		return nil, err
	}
	if c.result.B, err = c.b.summary(); err != nil {
		return nil, err
	}
	if err := c.dataFiles(); err != nil {
		return nil, err
	}
	equal := bytes.Equal(a.data, b.data)
	if !equal {
		c.root()
	}
	c.tensors()
	c.result.Same = equal && !slices.ContainsFunc(c.result.DataFiles, func(f DataFileComparison) bool { return !f.Same })
	c.result.BytesChanged, c.result.BytesRemoved = c.changed, c.removed
	return c.result, nil
}

// claimTensor takes what differs in a constant that both files have, wherever it
// stands: in the graph, in a function or in a branch.
func (c *comparer) claimTensor(a, b wire.Message) func([]difference) {
	switch b.Kind() {
	case wire.Tensor, wire.Attribute:
	default:
		return nil
	}
	offsetA, _ := a.Range()
	offsetB, _ := b.Range()
	tensorA, tensorB := c.a.tensors[offsetA], c.b.tensors[offsetB]
	if tensorA == nil || tensorB == nil {
		return nil
	}
	if tensorB.Node != nil {
		c.partners[tensorB] = tensorA
	}
	return func(found []difference) { c.inTensor[tensorB] = append(c.inTensor[tensorB], found...) }
}

// report adds differences to Fields.
func (c *comparer) report(prefix string, found ...difference) {
	for _, d := range found {
		if prefix != "" {
			d.path = prefix + "." + d.path
			if d.path == prefix+"." {
				d.path = prefix
			}
		}
		c.result.Fields = append(c.result.Fields, d.String())
	}
}

// root compares the fields of ModelProto.
func (c *comparer) root() {
	m := match(c.a.index.Root(), c.b.index.Root())
	for _, p := range m.pairs {
		switch {
		case bytes.Equal(p.a.Verbatim(), p.b.Verbatim()):
		case p.b.Number() == modelGraph:
			c.report("", c.header(p)...)
			c.graph(p)
		case p.b.Number() == modelMetadata:
			c.metadata(p)
		default:
			c.report("", c.pair(p)...)
		}
	}
	c.unpaired(m, wire.Model, func(f wire.Field, presence Presence) bool {
		if f.Number() != modelMetadata {
			return false
		}
		change := MetadataChange{Key: clean(f.Message().Bytes(entryKey)), Presence: presence}
		value := clean(f.Message().Bytes(entryValue))
		if presence == OnlyInA {
			change.Before = value
		} else {
			change.After = value
		}
		c.result.Metadata = append(c.result.Metadata, change)
		return true
	})
}

// unpaired reports the fields without partners, but for those that take reports
// itself, and the order.
func (c *comparer) unpaired(m matching, kind wire.Kind, take func(f wire.Field, presence Presence) bool) {
	prefix := ""
	if kind == wire.Graph {
		prefix = "graph"
	}
	for _, f := range m.onlyA {
		if d := c.onlyA(f, kind); !take(f, OnlyInA) {
			c.report(prefix, d)
		}
	}
	for _, f := range m.onlyB {
		if d := c.onlyB(f, kind); !take(f, OnlyInB) {
			c.report(prefix, d)
		}
	}
	if !m.ordered {
		c.report(prefix, difference{"", inEncoding, "the fields are in another order"})
	}
}

// metadata compares two entries of one key.
func (c *comparer) metadata(p pair) {
	before, after := p.a.Message().Bytes(entryValue), p.b.Message().Bytes(entryValue)
	found := c.pair(p)
	if !bytes.Equal(before, after) {
		c.result.Metadata = append(c.result.Metadata, MetadataChange{clean(p.b.Message().Bytes(entryKey)), InBoth, clean(before), clean(after)})
		value := p.name + "." + wire.Entry.FieldName(entryValue)
		found = slices.DeleteFunc(found, func(d difference) bool { return d.form == inContent && d.path == value })
	}
	c.report("", found...)
}

// graph compares the graphs.
func (c *comparer) graph(p pair) {
	m := match(p.a.Message(), p.b.Message())
	for _, p := range m.pairs {
		switch {
		case bytes.Equal(p.a.Verbatim(), p.b.Verbatim()):
		case p.b.Number() == graphNode:
			c.node(p)
		default:
			c.report("graph", c.pair(p)...)
		}
	}
	c.unpaired(m, wire.Graph, func(f wire.Field, presence Presence) bool {
		switch f.Number() {
		case graphInitializer:
			// Where the other file has a Constant node of that name the tensors are
			// compared, else the tensor is reported as such.
			return true
		case graphNode:
			of := c.a
			if presence == OnlyInB {
				of = c.b
			}
			c.result.Nodes = append(c.result.Nodes, NodeChange{Label: of.label(f.Message()), Presence: presence})
			return true
		}
		return false
	})
}

// node compares two nodes. What differs in the value of a Constant node is the
// tensor's.
func (c *comparer) node(p pair) {
	if a, b := c.a.constantAt(p.a), c.b.constantAt(p.b); a != nil && b != nil {
		c.partners[b] = a
	}
	found := c.header(p)
	for i := range found {
		found[i].path = ""
	}
	found = append(found, c.message(p.a.Message(), p.b.Message())...)
	if len(found) == 0 {
		return
	}
	change := NodeChange{Label: c.b.label(p.b.Message()), Presence: InBoth}
	for _, d := range found {
		change.Changes = append(change.Changes, d.String())
	}
	c.result.Nodes = append(c.result.Nodes, change)
}
