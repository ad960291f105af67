package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"modeldoctor/graph"
	"modeldoctor/onnx"
)

// Inspect is the result of the command inspect.
type Inspect struct {
	Model      Model
	Input      string // type and shape of the image
	Output     string
	Inspection *graph.Inspection
}

type jsonInspect struct {
	SchemaVersion int                `json:"schema_version"`
	Model         jsonModel          `json:"model"`
	Input         string             `json:"input"`
	Output        string             `json:"output"`
	Layers        []jsonInspectLayer `json:"layers"`
	Skipped       []jsonSkipped      `json:"skipped"`
	Unsupported   []onnx.Unsupported `json:"unsupported"`
	Necks         []jsonNeck         `json:"necks"`
	Coverage      float64            `json:"coverage"`
}

type jsonInspectLayer struct {
	Name        string       `json:"name"`
	Granularity string       `json:"granularity"`
	Parameters  int          `json:"parameters"`
	Neck        int          `json:"neck"`
	Weights     []jsonWeight `json:"weights"`
}

type jsonWeight struct {
	Name    string   `json:"name"`
	Tensor  string   `json:"tensor"`
	Shape   []int    `json:"shape"`
	DType   string   `json:"dtype"`
	Storage string   `json:"storage"`
	Uses    []string `json:"uses"`
}

type jsonNeck struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// InspectJSON writes an inspection as one JSON document.
func InspectJSON(w io.Writer, in *Inspect) error {
	out := jsonInspect{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(in.Model),
		Input:         in.Input,
		Output:        in.Output,
		Layers:        []jsonInspectLayer{},
		Skipped:       []jsonSkipped{},
		Unsupported:   []onnx.Unsupported{},
		Necks:         []jsonNeck{},
		Coverage:      in.Inspection.Coverage,
	}
	out.Unsupported = append(out.Unsupported, in.Inspection.Unsupported...)
	for _, s := range in.Inspection.Skipped {
		out.Skipped = append(out.Skipped, jsonSkipped{s.Name, s.Elements, s.Reason})
	}
	if n := in.Inspection.Network; n != nil {
		for _, g := range graph.Granularities() {
			for _, l := range n.Layers(g) {
				layer := jsonInspectLayer{Name: l.Name, Granularity: string(g), Parameters: l.Parameters, Neck: l.Neck, Weights: []jsonWeight{}}
				for _, i := range l.Weights {
					layer.Weights = append(layer.Weights, jsonWeightOf(n.Weights[i]))
				}
				out.Layers = append(out.Layers, layer)
			}
		}
		for _, k := range n.Necks {
			out.Necks = append(out.Necks, jsonNeck{k.Name, k.Shape})
		}
	}
	return writeJSON(w, out)
}

func jsonWeightOf(w *graph.Weight) jsonWeight {
	return jsonWeight{w.Name, w.Tensor.Name, shapeOf(w.Tensor.Shape), w.Tensor.DType.String(), string(w.Tensor.Storage), uses(w)}
}

// shapeOf is never null in JSON.
func shapeOf(shape []int) []int { return append([]int{}, shape...) }

// uses names the nodes that read a weight.
func uses(w *graph.Weight) []string {
	list := make([]string, len(w.Uses))
	for i, u := range w.Uses {
		list[i] = u.Node.Label()
	}
	return list
}

// InspectText writes an inspection for a person.
func InspectText(w io.Writer, in *Inspect, style Style) error {
	p := &printer{w: w}
	n := in.Inspection.Network
	p.printf("%s   %s   opset %d, IR %d\n", style.paint(ansiBold, base(in.Model.Path)), in.Model.Producer, in.Model.Opset, in.Model.IRVersion)
	if n == nil {
		p.unsupported(in, style)
		return p.err
	}
	p.printf("%s, %s parameters, %.4g %% in layers, %d classes\n", in.Model.Family, Count(in.Model.Parameters), 100*in.Inspection.Coverage, in.Model.Classes)
	p.printf("input  %s\noutput %s\n", in.Input, in.Output)
	if in.Model.SoftmaxRemoved {
		p.printf("note   the graph ends in a Softmax; losses are measured on what enters it\n")
	}
	if in.Model.FixedBatch > 0 {
		p.printf("note   the file is bound to batches of %d\n", in.Model.FixedBatch)
	}
	p.printf("chain  %d stages between %d necks\n\n", len(n.Necks)-1, len(n.Necks))
	p.weightTable(n, style)
	p.skipped(in.Inspection.Skipped, style)
	return p.err
}

// weightTable lists blocks, and under each its weights.
func (p *printer) weightTable(n *graph.Network, style Style) {
	name, shape, storage := 0, 0, 0
	for _, w := range n.Weights {
		name = max(name, columns(w.Name))
		shape = max(shape, len(fmt.Sprint(w.Tensor.Shape)))
		storage = max(storage, len(w.Tensor.Storage))
	}
	for _, l := range n.Layers(graph.ByBlock) {
		p.printf("%s   %s parameters, after neck %d\n", style.paint(ansiBold, l.Name), Count(l.Parameters), l.Neck)
		for _, i := range l.Weights {
			w := n.Weights[i]
			line := fmt.Sprintf("  %-*s  %-*s  %-8s %-*s", name, w.Name, shape, fmt.Sprint(w.Tensor.Shape), w.Tensor.DType, storage, w.Tensor.Storage)
			if len(w.Uses) > 1 {
				line += fmt.Sprintf("  shared by %d uses", len(w.Uses))
			}
			p.printf("%s\n", strings.TrimRight(line, " "))
		}
	}
}

// maxListed is how many skipped tensors of one reason are named.
const maxListed = 5

// skipped groups what is in no layer by its reason.
func (p *printer) skipped(list []graph.Skipped, style Style) {
	byReason := map[string][]string{}
	var reasons []string
	for _, s := range list {
		if byReason[s.Reason] == nil {
			reasons = append(reasons, s.Reason)
		}
		byReason[s.Reason] = append(byReason[s.Reason], s.Name)
	}
	if len(reasons) > 0 {
		p.printf("\n%s\n", style.paint(ansiBold, "in no layer"))
	}
	slices.Sort(reasons)
	for _, r := range reasons {
		names := byReason[r]
		text := strings.Join(names[:min(len(names), maxListed)], ", ")
		if more := len(names) - maxListed; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		p.printf("  %s: %s\n", r, text)
	}
}

func (p *printer) unsupported(in *Inspect, style Style) {
	list := in.Inspection.Unsupported
	p.printf("\n%s\n", style.paint(ansiRed, fmt.Sprintf("%d nodes cannot be run", len(list))))
	for _, u := range list {
		p.printf("  %s: %s\n", u.Node, u.Reason)
	}
}
