package report

import (
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Verify is the result of the command verify. [NewVerify] fills it with a
// comparison of two files.
type Verify struct {
	Document
	A            File             `json:"a"`
	B            File             `json:"b"`
	Same         bool             `json:"same"`
	BytesChanged int64            `json:"bytes_changed"`
	BytesRemoved int64            `json:"bytes_removed"`
	Tensors      []TensorChange   `json:"tensors"`
	Nodes        []NodeChange     `json:"nodes"`
	Metadata     []EntryChange    `json:"metadata"`
	Fields       []string         `json:"fields"`
	DataFiles    []DataFileChange `json:"data_files"`
	Layers       []LayerChange    `json:"layers"`
	Measured     *Measured        `json:"metrics"` // nil without data
	Verdict      Verdict          `json:"verdict"` // SAME or DIFFERENT
	ExitCode     int              `json:"exit_code"`
	Provenance   Provenance       `json:"provenance"`
}

// File identifies a model file.
type File struct {
	Path   string `json:"path"` // as it was given
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// TensorChange is a tensor that differs; see [onnx.TensorChange].
type TensorChange struct {
	Name            string        `json:"name"`
	Path            Optional      `json:"path"`
	Presence        onnx.Presence `json:"presence"`
	A               *TensorState  `json:"a"`
	B               *TensorState  `json:"b"`
	Changes         []string      `json:"changes"`
	Compared        bool          `json:"compared"`
	ElementsChanged int           `json:"elements_changed"`
	Norm            *Number       `json:"norm"` // these are nil where they mean nothing
	DeltaNorm       *Number       `json:"delta_norm"`
	Relative        *Number       `json:"relative"`
}

// TensorState is how one file holds a tensor.
type TensorState struct {
	DType   string       `json:"dtype"`
	Shape   []int        `json:"shape"`
	Storage onnx.Storage `json:"storage"`
	File    string       `json:"file"`
	Offset  int64        `json:"offset"`
	Bytes   int64        `json:"bytes"` // 0 where the data are in several pieces
}

// NodeChange is a node that differs.
type NodeChange struct {
	Label    string        `json:"label"`
	Presence onnx.Presence `json:"presence"`
	Changes  []string      `json:"changes"`
}

// EntryChange is an entry of the metadata that differs.
type EntryChange struct {
	Key      string        `json:"key"`
	Presence onnx.Presence `json:"presence"`
	Before   *string       `json:"before"`
	After    *string       `json:"after"`
}

// DataFileChange is an external data file that one or both of the models refer
// to.
type DataFileChange struct {
	Location string `json:"location"`
	BytesA   *int64 `json:"bytes_a"` // nil where the model does not refer to it
	BytesB   *int64 `json:"bytes_b"`
	Same     bool   `json:"same"`
}

// LayerChange is how far a layer's weights are apart.
type LayerChange struct {
	Name      string  `json:"name"`
	Tensors   int     `json:"tensors"`    // tensors that differ
	WNorm     Number  `json:"w_norm"`     // ‖w‖ in A, over the whole layer
	DeltaNorm Number  `json:"delta_norm"` // ‖Δw‖
	Relative  *Number `json:"relative"`   // ‖Δw‖/‖w‖; nil if ‖w‖ = 0
}

// Measured is what two models make of the same images, by [NewMeasured].
type Measured struct {
	Data string  `json:"data"` // the data set's name
	Val  string  `json:"val"`  // the split and slice
	N    int     `json:"n"`
	A    Figures `json:"a"`
	B    Figures `json:"b"`
	Gain *Gain   `json:"gain"`
}

// NewVerify is the result with what a comparison of the files a and b tells.
// layers are those whose weights differ, at block granularity and in forward
// order; nil where one of the files cannot be read as a network. Measured,
// ExitCode and Provenance are for the caller to fill.
func NewVerify(a, b string, c *onnx.Comparison, layers []LayerChange) *Verify {
	v := &Verify{
		A:            File{a, c.A.SHA256, c.A.Size},
		B:            File{b, c.B.SHA256, c.B.Size},
		Same:         c.Same,
		BytesChanged: c.BytesChanged,
		BytesRemoved: c.BytesRemoved,
		Tensors:      make([]TensorChange, len(c.Tensors)),
		Nodes:        make([]NodeChange, len(c.Nodes)),
		Metadata:     make([]EntryChange, len(c.Metadata)),
		Fields:       list(c.Fields),
		DataFiles:    make([]DataFileChange, len(c.DataFiles)),
		Layers:       layers,
		Verdict:      Different,
	}
	if c.Same {
		v.Layers, v.Verdict = list(layers), Same
	}
	for i, t := range c.Tensors {
		v.Tensors[i] = newTensorChange(t)
	}
	for i, n := range c.Nodes {
		v.Nodes[i] = NodeChange{n.Label, n.Presence, list(n.Changes)}
	}
	for i, m := range c.Metadata {
		v.Metadata[i] = EntryChange{Key: m.Key, Presence: m.Presence}
		if m.Presence != onnx.OnlyInB {
			v.Metadata[i].Before = &m.Before
		}
		if m.Presence != onnx.OnlyInA {
			v.Metadata[i].After = &m.After
		}
	}
	for i, d := range c.DataFiles {
		v.DataFiles[i] = DataFileChange{d.Location, present(d.SizeA), present(d.SizeB), d.Same}
	}
	return v
}

func newTensorChange(t onnx.TensorChange) TensorChange {
	change := TensorChange{
		Name: t.Name, Path: Optional(t.Path), Presence: t.Presence, A: newTensorState(t.A), B: newTensorState(t.B),
		Changes: list(t.Changes), Compared: t.Compared, ElementsChanged: t.ElementsChanged,
	}
	floats := func(s *onnx.TensorState) bool { return s.DType.IsFloat() || s.Quantised }
	if t.Compared && floats(t.A) && floats(t.B) {
		norm, delta, relative := Number(t.NormA), Number(t.NormDelta), Number(t.Relative)
		change.Norm, change.DeltaNorm, change.Relative = &norm, &delta, &relative
	}
	return change
}

func newTensorState(s *onnx.TensorState) *TensorState {
	if s == nil {
		return nil
	}
	return &TensorState{s.DType.String(), list(s.Shape), s.Storage, s.File, s.Range.Offset, s.Range.Length}
}

// present is a size, or nil where it is negative: there is no file.
func present(size int64) *int64 {
	if size < 0 {
		return nil
	}
	return &size
}

// NewMeasured describes figures of two models on part of a data set, and the
// paired drops of their loss and error from a to b.
func NewMeasured(data string, part Part, a, b metric.Figures, loss, wrong metric.Estimate) *Measured {
	return &Measured{data, part.Name, part.N, newFigures(a), newFigures(b), newGain(loss, &wrong)}
}
