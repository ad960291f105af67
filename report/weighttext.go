package report

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// remarks are the facts about a weight that are out of the ordinary, briefly.
func (w *Weight) remarks() []string {
	var remarks []string
	if len(w.Uses) > 1 {
		remarks = append(remarks, fmt.Sprintf("%d uses", len(w.Uses)))
	}
	if len(w.Shared) > 0 {
		text := "shared with " + printable(w.Shared[0])
		if more := len(w.Shared) - 1; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		remarks = append(remarks, text)
	}
	if len(w.StoredTogether) > 0 {
		remarks = append(remarks, "same bytes as "+printable(w.StoredTogether[0]))
	}
	if w.Source != onnx.FromTensor && w.Source != onnx.FromFolded {
		remarks = append(remarks, fmt.Sprintf("named by %s", w.Source))
	}
	if w.Storage == onnx.StorageExternal {
		remarks = append(remarks, "in "+base(w.File))
	}
	if w.Quantization != nil {
		remarks = append(remarks, string(w.Fix.Rounded))
	}
	return remarks
}

// text tells all about a weight.
func (w *Weight) text(p *printer, necks []Neck) {
	p.printf("  %s   %v %v\n", printable(w.Name), w.Shape, w.DType)
	labelled(p, 4, "name", w.origin())
	where := string(w.Storage)
	if w.Bytes != nil {
		where += fmt.Sprintf(", %s from byte %d of %s", plural(int(*w.Bytes), "byte"), *w.Offset, base(w.File))
	}
	if q := w.Quantization; q != nil {
		where += fmt.Sprintf("; %s, scale %s", w.Fix.Rounded, q.Scale)
	}
	labelled(p, 4, "stored", where)
	labelled(p, 4, "place", fmt.Sprintf("behind %s, in %s", necks[w.Neck].label(), stageRange(w.Stages)))
	for _, u := range w.Uses {
		use := fmt.Sprintf("%s, input %d", u.Node, u.Input)
		if len(u.Through) > 0 {
			use += ", through " + strings.Join(u.Through, ", ")
		}
		if path := string(u.Path); path != "" && path != w.Name {
			use += ", as " + path
		}
		labelled(p, 4, "read by", use)
	}
	if len(w.Shared) > 0 {
		labelled(p, 4, "shared", "with "+strings.Join(w.Shared, ", "))
	}
	if len(w.StoredTogether) > 0 {
		labelled(p, 4, "same as", strings.Join(w.StoredTogether, ", ")+": the same bytes of the data file")
	}
	labelled(p, 4, "fix", w.Fix.Text)
}

// origin says where a weight's name comes from.
func (w *Weight) origin() string {
	switch w.Source {
	case onnx.FromTensor:
		if w.Name == w.Tensor {
			return "the tensor's own"
		}
		return "from that of the tensor, " + w.Tensor
	case onnx.FromNothing, onnx.FromPosition:
		return "made up from where it is used: the file tells none for tensor " + w.Tensor
	}
	return fmt.Sprintf("of tensor %s, recovered from its %s", w.Tensor, w.Source)
}
