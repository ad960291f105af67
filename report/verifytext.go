package report

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// text tells what differs, by layer, tensor, node and entry, and what that does to
// the figures where they were measured. Files that are the same take one line.
func (v *Verify) text(p *printer) {
	if v.Same {
		v.Measured.text(p)
		p.verdict(ansiGreen, string(v.Verdict), v.summary()...)
		return
	}
	v.A.text(p, "A      ")
	v.B.text(p, "B      ")
	p.printf("\n")
	v.layers(p)
	differences(p, "tensors", v.Tensors, TensorChange.text)
	differences(p, "nodes", v.Nodes, NodeChange.text)
	differences(p, "metadata", v.Metadata, EntryChange.text)
	differences(p, "other fields", v.Fields, func(field string) string { return field })
	differences(p, "data files", v.DataFiles, DataFileChange.text)
	v.Measured.text(p)
	p.verdict(ansiYellow, string(v.Verdict), v.summary()...)
}

// summary is what the line says that a log is searched for.
func (v *Verify) summary() []string {
	fields := []string{base(v.A.Path) + " and " + base(v.B.Path)}
	if !v.Same {
		return append(fields, bytesDiffer(v), duration(v.Provenance.Seconds))
	}
	fields = append(fields, "identical, "+plural(int(v.B.Bytes), "byte"))
	if n := len(v.DataFiles); n > 0 {
		fields = append(fields, plural(n, "data file")+" likewise")
	}
	return append(fields, "sha256 "+shortHash(v.B.SHA256), duration(v.Provenance.Seconds))
}

// text identifies the file.
func (f *File) text(p *printer, label string) {
	p.fields(label, printable(f.Path), plural(int(f.Bytes), "byte"), "sha256 "+shortHash(f.SHA256))
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
func bytesDiffer(v *Verify) string {
	switch {
	case v.BytesChanged == 0 && v.BytesRemoved == 0:
		return "only in what is listed above"
	case v.BytesChanged == v.BytesRemoved:
		return "in " + plural(int(v.BytesChanged), "byte")
	}
	return fmt.Sprintf("in %s of B and %s of A", plural(int(v.BytesChanged), "byte"), thousands(int(v.BytesRemoved)))
}

// layers prints how far the layers are apart.
func (v *Verify) layers(p *printer) {
	if v.Layers == nil && len(v.Tensors) > 0 {
		p.fields("note   ", notNetworks)
		p.printf("\n")
	}
	if rows := v.layerTable(); rows != nil {
		p.grid(rows, []int{0}, nil)
		p.printf("\n")
	}
}

const notNetworks = "the files cannot be read as networks: the tensors are not sorted into layers"

// layerTable lists the layers that differ below their titles; nil where there are none.
func (v *Verify) layerTable() [][]string {
	if len(v.Layers) == 0 {
		return nil
	}
	rows := [][]string{{"layer", "tensors", "‖w‖", "‖Δw‖", "‖Δw‖/‖w‖"}}
	for _, l := range v.Layers {
		relative := "–"
		if l.Relative != nil {
			relative = share(*l.Relative)
		}
		rows = append(rows, []string{shortened(printable(l.Name), maxName), fmt.Sprint(l.Tensors), norm(l.WNorm), norm(l.DeltaNorm), relative})
	}
	return rows
}

// norm writes a norm, which may be 0 or not finite.
func norm(x Number) string {
	if x > 0 && x.finite() {
		return significant(float64(x))
	}
	return figure(x, 0)
}

// share writes a ratio in percent.
func share(x Number) string {
	if x > 0 && x.finite() {
		return significant(100*float64(x)) + " %"
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

// differences lists things that differ below a title.
func differences[T any](p *printer, title string, things []T, text func(T) string) {
	if len(things) == 0 {
		return
	}
	p.printf("%s\n", p.style.paint(ansiBold, title))
	for i, thing := range things {
		if left := len(things) - i; i == maxDifferences && left > 1 {
			p.printf("  and %s more\n", thousands(left))
			break
		}
		indent := "  "
		for _, line := range Wrap(shortened(printable(text(thing)), maxDifference), p.style.width()-4) {
			for line != "" { // JSON, such as that of a treatment, has few spaces
				head := leading(line, p.style.width()-4)
				p.printf("%s%s\n", indent, head)
				line, indent = line[len(head):], "    "
			}
		}
	}
	p.printf("\n")
}

// text describes a tensor that differs.
func (t TensorChange) text() string {
	name := t.Name
	if path := string(t.Path); path != "" && path != t.Name {
		name = fmt.Sprintf("%s (%s)", path, t.Name)
	}
	switch t.Presence {
	case onnx.OnlyInA:
		return fmt.Sprintf("%s: only in A: %s%s", name, t.A.form(), t.A.dataRange())
	case onnx.OnlyInB:
		return fmt.Sprintf("%s: only in B: %s%s", name, t.B.form(), t.B.dataRange())
	}
	text := name + ": " + strings.Join(t.Changes, ", ")
	if t.DeltaNorm != nil && t.ElementsChanged > 0 {
		text += ", ‖Δw‖ " + norm(*t.DeltaNorm)
		if *t.Norm > 0 && t.Relative.finite() {
			text += fmt.Sprintf(" (%s of ‖w‖)", share(*t.Relative))
		}
	}
	before, after := t.A.dataRange(), t.B.dataRange()
	if before != after && before != "" && after != "" {
		return text + before + " →" + strings.TrimPrefix(after, ",")
	}
	return text + after
}

// form says what kind of tensor it is.
func (s *TensorState) form() string { return fmt.Sprintf("%s %v, %s", s.DType, s.Shape, s.Storage) }

// dataRange says where the data of a tensor lie, where that is one piece.
func (s *TensorState) dataRange() string {
	if s.Bytes == 0 {
		return ""
	}
	text := fmt.Sprintf(", bytes %d to %d", s.Offset, s.Offset+s.Bytes-1)
	if s.Storage == onnx.StorageExternal {
		text += " of " + base(s.File)
	}
	return text
}

func (n NodeChange) text() string {
	switch n.Presence {
	case onnx.OnlyInA:
		return n.Label + ": only in A"
	case onnx.OnlyInB:
		return n.Label + ": only in B"
	}
	return n.Label + ": " + strings.Join(n.Changes, ", ")
}

func (m EntryChange) text() string {
	switch m.Presence {
	case onnx.OnlyInA:
		return m.Key + ": only in A: " + *m.Before
	case onnx.OnlyInB:
		return m.Key + ": only in B: " + *m.After
	}
	const half = 100
	return fmt.Sprintf("%s: %s → %s", m.Key, shortened(printable(*m.Before), half), shortened(printable(*m.After), half))
}

func (d DataFileChange) text() string {
	bytes := func(n *int64) string { return plural(int(*n), "byte") }
	switch {
	case d.Same:
		return fmt.Sprintf("%s: the same, %s", d.Location, bytes(d.BytesB))
	case d.BytesA == nil:
		return fmt.Sprintf("%s: only B needs it, %s", d.Location, bytes(d.BytesB))
	case d.BytesB == nil:
		return fmt.Sprintf("%s: only A needs it, %s", d.Location, bytes(d.BytesA))
	case *d.BytesA == *d.BytesB:
		return fmt.Sprintf("%s: different content, %s", d.Location, bytes(d.BytesB))
	}
	return fmt.Sprintf("%s: %s → %s", d.Location, bytes(d.BytesA), bytes(d.BytesB))
}

// table compares what both models make of the same images.
func (m *Measured) table() [][]string { return m.Gain.table("measured", "A", "B", m.A, m.B) }

// text tells what both models make of the same images.
func (m *Measured) text(p *printer) {
	if m == nil {
		return
	}
	p.fields("data   ", printable(m.Data)+", "+printable(m.Val)+", "+plural(m.N, "image"))
	p.grid(m.table(), []int{0, 3}, nil)
	p.printf("\n")
}
