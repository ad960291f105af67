package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
)

type jsonVerify struct {
	SchemaVersion int                `json:"schema_version"`
	A             jsonFile           `json:"a"`
	B             jsonFile           `json:"b"`
	Same          bool               `json:"same"`
	BytesChanged  int64              `json:"bytes_changed"`
	BytesRemoved  int64              `json:"bytes_removed"`
	Tensors       []jsonTensorChange `json:"tensors"`
	Nodes         []jsonNodeChange   `json:"nodes"`
	Metadata      []jsonEntryChange  `json:"metadata"`
	Fields        []string           `json:"fields"`
	DataFiles     []jsonDataCompared `json:"data_files"`
	Layers        []jsonLayerChange  `json:"layers"` // null where a file is no network
	Metrics       *jsonMeasured      `json:"metrics"`
	Provenance    jsonProvenance     `json:"provenance"`
}

type jsonFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

type jsonTensorChange struct {
	Name            string           `json:"name"`
	Path            *string          `json:"path"`
	Presence        string           `json:"presence"`
	A               *jsonTensorState `json:"a"`
	B               *jsonTensorState `json:"b"`
	Changes         []string         `json:"changes"`
	Compared        bool             `json:"compared"`
	ElementsChanged int              `json:"elements_changed"`
	Norm            *number          `json:"norm"`
	DeltaNorm       *number          `json:"delta_norm"`
	Relative        *number          `json:"relative"`
}

type jsonTensorState struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Storage string `json:"storage"`
	File    string `json:"file"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
}

type jsonNodeChange struct {
	Label    string   `json:"label"`
	Presence string   `json:"presence"`
	Changes  []string `json:"changes"`
}

type jsonEntryChange struct {
	Key      string  `json:"key"`
	Presence string  `json:"presence"`
	Before   *string `json:"before"`
	After    *string `json:"after"`
}

type jsonDataCompared struct {
	Location string `json:"location"`
	BytesA   *int64 `json:"bytes_a"`
	BytesB   *int64 `json:"bytes_b"`
	Same     bool   `json:"same"`
}

type jsonLayerChange struct {
	Name      string  `json:"name"`
	Tensors   int     `json:"tensors"`
	WNorm     number  `json:"w_norm"`
	DeltaNorm number  `json:"delta_norm"`
	Relative  *number `json:"relative"`
}

type jsonMeasured struct {
	Data string      `json:"data"`
	Val  string      `json:"val"`
	N    int         `json:"n"`
	A    jsonFigures `json:"a"`
	B    jsonFigures `json:"b"`
	Gain *jsonGain   `json:"gain"`
}

// VerifyJSON writes a comparison of two files as one JSON document.
func VerifyJSON(w io.Writer, v *Verify) error {
	c := v.Comparison
	out := jsonVerify{
		SchemaVersion: SchemaVersion,
		A:             jsonFile{v.A, c.A.SHA256, c.A.Size},
		B:             jsonFile{v.B, c.B.SHA256, c.B.Size},
		Same:          c.Same,
		BytesChanged:  c.BytesChanged,
		BytesRemoved:  c.BytesRemoved,
		Tensors:       make([]jsonTensorChange, len(c.Tensors)),
		Nodes:         make([]jsonNodeChange, len(c.Nodes)),
		Metadata:      make([]jsonEntryChange, len(c.Metadata)),
		Fields:        append([]string{}, c.Fields...),
		DataFiles:     make([]jsonDataCompared, len(c.DataFiles)),
		Provenance:    jsonProvenance(v.Provenance),
	}
	for i, t := range c.Tensors {
		out.Tensors[i] = jsonTensorChangeOf(t)
	}
	for i, n := range c.Nodes {
		out.Nodes[i] = jsonNodeChange{n.Label, string(n.Presence), append([]string{}, n.Changes...)}
	}
	for i, m := range c.Metadata {
		out.Metadata[i] = jsonEntryChange{Key: m.Key, Presence: string(m.Presence)}
		if m.Presence != onnx.OnlyInB {
			out.Metadata[i].Before = &m.Before
		}
		if m.Presence != onnx.OnlyInA {
			out.Metadata[i].After = &m.After
		}
	}
	for i, d := range c.DataFiles {
		out.DataFiles[i] = jsonDataCompared{d.Location, present(d.SizeA), present(d.SizeB), d.Same}
	}
	if v.Layers != nil || c.Same {
		out.Layers = make([]jsonLayerChange, len(v.Layers))
	}
	for i, l := range v.Layers {
		out.Layers[i] = jsonLayerChange{l.Name, l.Tensors, number(l.WNorm), number(l.DeltaNorm), (*number)(l.Relative)}
	}
	if m := v.Measured; m != nil {
		out.Metrics = &jsonMeasured{m.Data, m.Part.Name, m.Part.N, jsonFiguresOf(m.A), jsonFiguresOf(m.B), jsonGainOf(m.LossDrop, &m.ErrorDrop)}
	}
	return writeJSON(w, out)
}

func jsonTensorChangeOf(t onnx.TensorChange) jsonTensorChange {
	out := jsonTensorChange{
		Name: t.Name, Path: optional(t.Path), Presence: string(t.Presence), A: jsonTensorStateOf(t.A), B: jsonTensorStateOf(t.B),
		Changes: append([]string{}, t.Changes...), Compared: t.Compared, ElementsChanged: t.ElementsChanged,
	}
	if hasNorms(t) {
		norm, delta, relative := number(t.NormA), number(t.NormDelta), number(t.Relative)
		out.Norm, out.DeltaNorm, out.Relative = &norm, &delta, &relative
	}
	return out
}

// hasNorms reports whether the norms of a change mean anything.
func hasNorms(t onnx.TensorChange) bool {
	floats := func(s *onnx.TensorState) bool { return s.DType.IsFloat() || s.Quantised }
	return t.Compared && floats(t.A) && floats(t.B)
}

func jsonTensorStateOf(s *onnx.TensorState) *jsonTensorState {
	if s == nil {
		return nil
	}
	return &jsonTensorState{s.DType.String(), shapeOf(s.Shape), string(s.Storage), s.File, s.Range.Offset, s.Range.Length}
}

// present is a size, or nil where it is negative: there is no file.
func present(size int64) *int64 {
	if size < 0 {
		return nil
	}
	return &size
}

// VerifyText writes a comparison of two files for a person: what differs, by
// layer, tensor, node and entry, and what that does to the figures where they
// were measured. Files that are the same take one line.
func VerifyText(w io.Writer, v *Verify, style Style) error {
	p := &printer{w: w, style: style}
	c := v.Comparison
	if c.Same {
		p.measured(v.Measured)
		fields := []string{base(v.A) + " and " + base(v.B), "identical, " + plural(int(c.B.Size), "byte")}
		if n := len(c.DataFiles); n > 0 {
			fields = append(fields, plural(n, "data file")+" likewise")
		}
		p.paintedFields(style.paint(ansiGreen, "SAME")+"  ", len("SAME  "), append(fields, "sha256 "+shortHash(c.B.SHA256), duration(v.Provenance.Seconds))...)
		return p.err
	}
	for _, f := range []struct {
		label, path string
		file        onnx.FileSummary
	}{{"A      ", v.A, c.A}, {"B      ", v.B, c.B}} {
		p.fields(f.label, printable(f.path), plural(int(f.file.Size), "byte"), "sha256 "+shortHash(f.file.SHA256))
	}
	p.printf("\n")
	p.layerChanges(v)
	p.differences("tensors", len(c.Tensors), func(i int) string { return tensorText(c.Tensors[i]) })
	p.differences("nodes", len(c.Nodes), func(i int) string { return nodeText(c.Nodes[i]) })
	p.differences("metadata", len(c.Metadata), func(i int) string { return entryText(c.Metadata[i]) })
	p.differences("other fields", len(c.Fields), func(i int) string { return c.Fields[i] })
	p.differences("data files", len(c.DataFiles), func(i int) string { return dataText(c.DataFiles[i]) })
	p.measured(v.Measured)
	p.paintedFields(style.paint(ansiYellow, "DIFFERENT")+"  ", len("DIFFERENT  "), base(v.A)+" and "+base(v.B), bytesDiffer(c), duration(v.Provenance.Seconds))
	return p.err
}

// shortHash is as much of a hash as tells files apart.
func shortHash(hash string) string {
	const length = 16
	if len(hash) <= length {
		return printable(hash)
	}
	return printable(hash[:length]) + "…"
}

// bytesDiffer says in how many bytes the files differ.
func bytesDiffer(c *onnx.Comparison) string {
	switch {
	case c.BytesChanged == 0 && c.BytesRemoved == 0:
		return "only in what is listed above"
	case c.BytesChanged == c.BytesRemoved:
		return "in " + plural(int(c.BytesChanged), "byte")
	}
	return fmt.Sprintf("in %s of B and %s of A", plural(int(c.BytesChanged), "byte"), thousands(int(c.BytesRemoved)))
}

// layerChanges prints how far the layers are apart.
func (p *printer) layerChanges(v *Verify) {
	if v.Layers == nil && len(v.Comparison.Tensors) > 0 {
		p.fields("note   ", "the files cannot be read as networks: the tensors are not sorted into layers")
		p.printf("\n")
	}
	if len(v.Layers) == 0 {
		return
	}
	rows := [][]string{{"layer", "tensors", "‖w‖", "‖Δw‖", "‖Δw‖/‖w‖"}}
	for _, l := range v.Layers {
		relative := "–"
		if l.Relative != nil {
			relative = share(*l.Relative)
		}
		rows = append(rows, []string{shortened(printable(l.Name), maxName), fmt.Sprint(l.Tensors), norm(l.WNorm), norm(l.DeltaNorm), relative})
	}
	p.grid(rows, []int{0}, nil)
	p.printf("\n")
}

// norm writes a norm, which may be 0 or not finite.
func norm(x float64) string {
	if x > 0 && metric.IsFinite(x) {
		return significant(x)
	}
	return figure(x, 0)
}

// share writes a ratio in percent.
func share(x float64) string {
	if x > 0 && metric.IsFinite(x) {
		return significant(100*x) + " %"
	}
	return percent(x)
}

const (
	maxName        = 50  // columns that a name has in a table
	maxDifferences = 12  // entries of a list before the rest is only counted
	maxDifference  = 280 // columns of an entry
)

// shortened cuts text that takes more than width columns.
func shortened(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	return leading(text, width-1) + "…"
}

// leading is as much of a text as width columns hold, which are at least two.
func leading(text string, width int) string {
	for i, r := range text {
		if width -= columns(string(r)); width < 0 {
			return text[:i]
		}
	}
	return text
}

// differences lists n things that differ below a title.
func (p *printer) differences(title string, n int, text func(i int) string) {
	if n == 0 {
		return
	}
	p.printf("%s\n", p.style.paint(ansiBold, title))
	for i := range n {
		if left := n - i; i == maxDifferences && left > 1 {
			p.printf("  and %s more\n", thousands(left))
			break
		}
		indent := "  "
		for _, line := range Wrap(shortened(printable(text(i)), maxDifference), lineColumns-4) {
			for line != "" { // JSON, such as that of a treatment, has few spaces
				head := leading(line, lineColumns-4)
				p.printf("%s%s\n", indent, head)
				line, indent = line[len(head):], "    "
			}
		}
	}
	p.printf("\n")
}

// tensorText describes a tensor that differs.
func tensorText(t onnx.TensorChange) string {
	name := t.Name
	if t.Path != "" && t.Path != t.Name {
		name = fmt.Sprintf("%s (%s)", t.Path, t.Name)
	}
	form := func(s *onnx.TensorState) string { return fmt.Sprintf("%v %v, %s", s.DType, s.Shape, s.Storage) }
	switch t.Presence {
	case onnx.OnlyInA:
		return fmt.Sprintf("%s: only in A: %s%s", name, form(t.A), place(t.A))
	case onnx.OnlyInB:
		return fmt.Sprintf("%s: only in B: %s%s", name, form(t.B), place(t.B))
	}
	text := name + ": " + strings.Join(t.Changes, ", ")
	if hasNorms(t) && t.ElementsChanged > 0 {
		text += ", ‖Δw‖ " + norm(t.NormDelta)
		if t.NormA > 0 && metric.IsFinite(t.Relative) {
			text += fmt.Sprintf(" (%s of ‖w‖)", share(t.Relative))
		}
	}
	before, after := place(t.A), place(t.B)
	if before != after && before != "" && after != "" {
		return text + before + " →" + strings.TrimPrefix(after, ",")
	}
	return text + after
}

// place says where the data of a tensor lie, where that is one piece.
func place(s *onnx.TensorState) string {
	if s.Range.Length == 0 {
		return ""
	}
	text := fmt.Sprintf(", bytes %d to %d", s.Range.Offset, s.Range.Offset+s.Range.Length-1)
	if s.Storage == onnx.StorageExternal {
		text += " of " + base(s.File)
	}
	return text
}

func nodeText(n onnx.NodeChange) string {
	switch n.Presence {
	case onnx.OnlyInA:
		return n.Label + ": only in A"
	case onnx.OnlyInB:
		return n.Label + ": only in B"
	}
	return n.Label + ": " + strings.Join(n.Changes, ", ")
}

func entryText(m onnx.MetadataChange) string {
	switch m.Presence {
	case onnx.OnlyInA:
		return m.Key + ": only in A: " + m.Before
	case onnx.OnlyInB:
		return m.Key + ": only in B: " + m.After
	}
	const half = 100
	return fmt.Sprintf("%s: %s → %s", m.Key, shortened(printable(m.Before), half), shortened(printable(m.After), half))
}

func dataText(d onnx.DataFileComparison) string {
	bytes := func(n int64) string { return plural(int(n), "byte") }
	switch {
	case d.Same:
		return fmt.Sprintf("%s: the same, %s", d.Location, bytes(d.SizeB))
	case d.SizeA < 0:
		return fmt.Sprintf("%s: only B needs it, %s", d.Location, bytes(d.SizeB))
	case d.SizeB < 0:
		return fmt.Sprintf("%s: only A needs it, %s", d.Location, bytes(d.SizeA))
	case d.SizeA == d.SizeB:
		return fmt.Sprintf("%s: different content, %s", d.Location, bytes(d.SizeB))
	}
	return fmt.Sprintf("%s: %s → %s", d.Location, bytes(d.SizeA), bytes(d.SizeB))
}

// measured prints what both models make of the same images.
func (p *printer) measured(m *Measured) {
	if m == nil {
		return
	}
	p.fields("data   ", printable(m.Data)+", "+printable(m.Part.Name)+", "+plural(m.Part.N, "image"))
	p.figures("measured", "A", "B", m.A, m.B, m.LossDrop, m.ErrorDrop)
	p.printf("\n")
}
