package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

type jsonWeight struct {
	Name           string      `json:"name"`
	Tensor         string      `json:"tensor"`
	Shape          []int       `json:"shape"`
	DType          string      `json:"dtype"`
	Storage        string      `json:"storage"`
	File           string      `json:"file"`
	Offset         *int64      `json:"offset"` // null where the data are in several pieces
	Bytes          *int64      `json:"bytes"`
	Quantization   *jsonGrid   `json:"quantization"`
	Source         string      `json:"name_source"`
	Neck           int         `json:"neck"`
	NeckName       string      `json:"neck_name"`
	Stages         []int       `json:"stages"`
	Uses           []jsonUse   `json:"uses"`
	Shared         []string    `json:"shared"` // what else it serves
	StoredTogether []string    `json:"stored_together"`
	Fix            jsonStoring `json:"fix"`
}

// jsonGrid is how a weight of integers is to be read.
type jsonGrid struct {
	Values    string  `json:"values"` // type of the dequantised ones
	Per       string  `json:"per"`    // tensor, axis or block: what a scale is for
	Axis      *int    `json:"axis"`
	BlockSize *int    `json:"block_size"`
	Scale     string  `json:"scale"`
	ZeroPoint *string `json:"zero_point"`
}

// jsonUse is one node that reads a weight.
type jsonUse struct {
	Node    string   `json:"node"`
	Input   int      `json:"input"`
	Through []string `json:"through"` // nodes that rearrange it before, nearest to the tensor first
	Path    *string  `json:"path"`    // the parameter that it is there
}

// jsonStoring says what a treatment does with a weight.
type jsonStoring struct {
	Where   string  `json:"where"`   // in place, or moved into the model's file
	Rounded *string `json:"rounded"` // to what
	Needs   *string `json:"needs"`   // a flag, without which the treatment is refused
	Text    string  `json:"text"`
}

func jsonWeightOf(n *graph.Network, i int, together []int) jsonWeight {
	w := n.Weights[i]
	t := w.Tensor
	out := jsonWeight{
		Name: w.Name, Tensor: t.Name, Shape: shapeOf(t.Shape), DType: t.DType.String(), Storage: string(t.Storage), File: t.File,
		Quantization: jsonGridOf(t), Source: string(w.Source),
		Neck: w.Neck, NeckName: n.Necks[w.Neck].Name, Stages: append([]int{}, n.Stages(i)...),
		Uses: []jsonUse{}, Shared: append([]string{}, sharers(n, i)...), StoredTogether: names(n, together),
		Fix: storingOf(n, i),
	}
	if t.Range.Length > 0 {
		out.Offset, out.Bytes = &t.Range.Offset, &t.Range.Length
	}
	for _, u := range w.Uses {
		use := jsonUse{Node: u.Node.Label(), Input: u.Input, Through: []string{}, Path: optional(u.Path)}
		for _, c := range u.Chain {
			use.Through = append(use.Through, c.Label())
		}
		out.Uses = append(out.Uses, use)
	}
	return out
}

func jsonGridOf(t *onnx.Tensor) *jsonGrid {
	q := t.Quantization()
	if q == nil {
		return nil
	}
	g := &jsonGrid{Values: q.DType.String(), Per: "tensor", Scale: q.Scale.Name}
	if q.Axis >= 0 {
		g.Per, g.Axis = "axis", &q.Axis
	}
	if q.BlockSize > 0 {
		g.Per, g.BlockSize = "block", &q.BlockSize
	}
	if q.ZeroPoint != nil {
		g.ZeroPoint = &q.ZeroPoint.Name
	}
	return g
}

// grid describes a weight of integers: INT8 grid, axis 0.
func grid(t *onnx.Tensor) string {
	q := t.Quantization()
	text := t.DType.String() + " grid"
	switch {
	case q.BlockSize > 0:
		text += fmt.Sprintf(", blocks of %d along axis %d", q.BlockSize, q.Axis)
	case q.Axis >= 0:
		text += fmt.Sprintf(", axis %d", q.Axis)
	}
	return text
}

// sharers names the other places that a weight serves: parameters, or nodes
// where it has no other name. It is empty for a weight that serves one.
func sharers(n *graph.Network, i int) []string {
	uses, own := n.Shared(i), n.Weights[i].Name
	// The weight's own place is the use of its name, or else the first without any.
	found := slices.ContainsFunc(uses, func(u onnx.Use) bool { return u.Path == own })
	var list []string
	for _, u := range uses {
		place := u.Path
		if place == "" {
			if !found {
				found = true
				continue
			}
			place = u.Node.Label()
		}
		if place != own && !slices.Contains(list, place) {
			list = append(list, place)
		}
	}
	return list
}

func names(n *graph.Network, weights []int) []string {
	list := []string{}
	for _, i := range weights {
		list = append(list, n.Weights[i].Name)
	}
	return list
}

// storingOf says what a treatment of the weight does to the file.
func storingOf(n *graph.Network, i int) jsonStoring {
	t := n.Weights[i].Tensor
	s := jsonStoring{Where: "in place", Text: "in place, in " + string(t.Storage)}
	if t.Storage == onnx.StorageExternal {
		s.Where, s.Text = "moved", "moved from "+base(t.File)+", which is not written to, into the model's file"
	}
	switch {
	case t.Quantization() != nil:
		s.Rounded = optional(grid(t))
		s.Text += "; rounded to its " + *s.Rounded + ", or stored as " + t.ValueType().String() + " with --dequantize"
	case rounds(t):
		s.Rounded = optional(t.DType.String())
		s.Text += "; rounded to " + *s.Rounded
	}
	if n.Shared(i) != nil {
		s.Needs = optional("--shared")
		s.Text += "; refused without --shared update or --shared untie, since other places are served, too"
	}
	return s
}

// remarks are the facts about a weight that are out of the ordinary, briefly.
func remarks(n *graph.Network, i int, together []int) []string {
	w := n.Weights[i]
	var list []string
	if len(w.Uses) > 1 {
		list = append(list, fmt.Sprintf("%d uses", len(w.Uses)))
	}
	if others := sharers(n, i); len(others) > 0 {
		text := "shared with " + printable(others[0])
		if more := len(others) - 1; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		list = append(list, text)
	}
	if len(together) > 0 {
		list = append(list, "same bytes as "+printable(n.Weights[together[0]].Name))
	}
	if w.Source != onnx.FromTensor && w.Source != onnx.FromFolded {
		list = append(list, fmt.Sprintf("named by %s", w.Source))
	}
	if w.Tensor.Storage == onnx.StorageExternal {
		list = append(list, "in "+base(w.Tensor.File))
	}
	if w.Tensor.Quantization() != nil {
		list = append(list, grid(w.Tensor))
	}
	return list
}

// weights lists blocks, and under each its weights.
func (p *printer) weights(n *graph.Network) {
	name, shape, storage := 0, 0, 0
	for _, w := range n.Weights {
		name = max(name, columns(printable(w.Name)))
		shape = max(shape, len(fmt.Sprint(w.Tensor.Shape)))
		storage = max(storage, len(w.Tensor.Storage))
	}
	together := n.StoredTogether()
	for _, l := range n.Layers(graph.ByBlock) {
		p.printf("%s   %s parameters, behind neck %d\n", p.style.paint(ansiBold, printable(l.Name)), count(l.Parameters), l.Neck)
		for _, i := range l.Weights {
			t := n.Weights[i].Tensor
			text := printable(n.Weights[i].Name)
			line := fmt.Sprintf("  %s%s  %-*s  %-8v  %-*s", text, strings.Repeat(" ", name-columns(text)), shape, fmt.Sprint(t.Shape), t.DType, storage, t.Storage)
			for _, remark := range remarks(n, i, together[i]) {
				line += "  " + remark
			}
			p.printf("%s\n", strings.TrimRight(line, " "))
		}
	}
}

// stories tells all about some layers, coarse ones first, and their weights, each
// once; then the necks between which they lie.
func (p *printer) stories(n *graph.Network, layers []graph.Layer) {
	together := n.StoredTogether()
	told := map[int]bool{}
	first, last := len(n.Necks)-1, 0
	for _, l := range layers {
		if !slices.ContainsFunc(l.Weights, func(i int) bool { return !told[i] }) {
			continue
		}
		stages := n.LayerStages(l)
		first, last = min(first, l.Neck), max(last, stages[len(stages)-1]+1)
		p.printf("%s   %s parameters\n", p.style.paint(ansiBold, printable(l.Name)), count(l.Parameters))
		p.fact(2, "why", strings.Join(l.Why, "; "))
		p.fact(2, "place", fmt.Sprintf("behind %s, in %s; a search on it computes %d of %s", neckLabel(n, l.Neck), stageRange(stages), len(n.Necks)-1-l.Neck, plural(len(n.Necks)-1, "stage")))
		for _, i := range l.Weights {
			if !told[i] {
				told[i] = true
				p.story(n, i, together[i])
			}
		}
	}
	p.printf("\n%s\n", p.style.paint(ansiBold, "necks"))
	begins := beginnings(n)
	for k := first; k <= last; k++ {
		line := fmt.Sprintf("  %d  %s %v", k, printable(n.Necks[k].Name), n.Necks[k].Shape)
		if len(begins[k]) > 0 {
			line += "  " + printable(strings.Join(begins[k], ", ")) + " begins"
		}
		p.printf("%s\n", line)
	}
}

// story tells all about a weight.
func (p *printer) story(n *graph.Network, i int, together []int) {
	w := n.Weights[i]
	t := w.Tensor
	p.printf("  %s   %v %v\n", printable(w.Name), t.Shape, t.DType)
	p.fact(4, "name", origin(w))
	where := string(t.Storage)
	if t.Range.Length > 0 {
		where += fmt.Sprintf(", %s from byte %d of %s", plural(int(t.Range.Length), "byte"), t.Range.Offset, base(t.File))
	}
	if q := t.Quantization(); q != nil {
		where += fmt.Sprintf("; %s, scale %s", grid(t), q.Scale.Name)
	}
	p.fact(4, "stored", where)
	p.fact(4, "place", fmt.Sprintf("behind %s, in %s", neckLabel(n, w.Neck), stageRange(n.Stages(i))))
	for _, u := range w.Uses {
		use := fmt.Sprintf("%s, input %d", u.Node.Label(), u.Input)
		for k, c := range u.Chain {
			if k == 0 {
				use += ", through "
			} else {
				use += ", "
			}
			use += c.Label()
		}
		if u.Path != "" && u.Path != w.Name {
			use += ", as " + u.Path
		}
		p.fact(4, "read by", use)
	}
	if others := sharers(n, i); len(others) > 0 {
		p.fact(4, "shared", "with "+strings.Join(others, ", "))
	}
	if len(together) > 0 {
		p.fact(4, "same as", strings.Join(names(n, together), ", ")+": the same bytes of the data file")
	}
	p.fact(4, "fix", storingOf(n, i).Text)
}

// origin says where a weight's name comes from.
func origin(w *graph.Weight) string {
	switch w.Source {
	case onnx.FromTensor:
		if w.Name == w.Tensor.Name {
			return "the tensor's own"
		}
		return "from that of the tensor, " + w.Tensor.Name
	case onnx.FromNothing, graph.FromPosition:
		return "made up from where it is used: the file tells none for tensor " + w.Tensor.Name
	}
	return fmt.Sprintf("of tensor %s, recovered from its %s", w.Tensor.Name, w.Source)
}

// fact prints one labelled line of a story.
func (p *printer) fact(indent int, label, text string) {
	front := fmt.Sprintf("%*s%-9s", indent, "", label)
	p.hanging(front, len(front), printable(text))
}

func neckLabel(n *graph.Network, k int) string {
	return fmt.Sprintf("neck %d (%s %v)", k, n.Necks[k].Name, n.Necks[k].Shape)
}

// stageRange writes an ascending list of stages: stages 3 to 5, 9.
func stageRange(stages []int) string {
	var runs []string
	for i := 0; i < len(stages); {
		j := i
		for j+1 < len(stages) && stages[j+1] == stages[j]+1 {
			j++
		}
		if j == i {
			runs = append(runs, fmt.Sprint(stages[i]))
		} else {
			runs = append(runs, fmt.Sprintf("%d to %d", stages[i], stages[j]))
		}
		i = j + 1
	}
	if len(stages) == 1 {
		return "stage " + runs[0]
	}
	return "stages " + strings.Join(runs, ", ")
}
