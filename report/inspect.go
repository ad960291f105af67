package report

import (
	"fmt"
	"io"
	"maps"
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
	Obstacles     []jsonObstacle     `json:"obstacles"`
	Necks         []jsonNeck         `json:"necks"`
	Coverage      float64            `json:"coverage"`
}

type jsonInspectLayer struct {
	Name        string       `json:"name"`
	Granularity string       `json:"granularity"`
	Parameters  int          `json:"parameters"`
	Neck        int          `json:"neck"`
	Why         []string     `json:"why"`
	Weights     []jsonWeight `json:"weights"`
}

type jsonWeight struct {
	Name    string   `json:"name"`
	Tensor  string   `json:"tensor"`
	Shape   []int    `json:"shape"`
	DType   string   `json:"dtype"`
	Storage string   `json:"storage"`
	Source  string   `json:"name_source"`
	Uses    []string `json:"uses"`
}

// jsonObstacle is what stands in the way of all nodes of one operator.
type jsonObstacle struct {
	Node   string `json:"node"` // the first
	Op     string `json:"op"`
	Domain string `json:"domain"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	Advice string `json:"advice"`
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
		Obstacles:     []jsonObstacle{},
		Necks:         []jsonNeck{},
		Coverage:      in.Inspection.Coverage,
	}
	out.Unsupported = append(out.Unsupported, in.Inspection.Unsupported...)
	for _, o := range in.Inspection.Obstacles {
		out.Obstacles = append(out.Obstacles, jsonObstacle{o.Node, o.Op, o.Domain, o.Reason, o.Count, o.Advice})
	}
	for _, s := range in.Inspection.Skipped {
		out.Skipped = append(out.Skipped, jsonSkipped{s.Name, s.Elements, s.Reason})
	}
	if n := in.Inspection.Network; n != nil {
		for _, g := range graph.Granularities() {
			for _, l := range n.Layers(g) {
				layer := jsonInspectLayer{Name: l.Name, Granularity: string(g), Parameters: l.Parameters, Neck: l.Neck, Why: l.Why, Weights: []jsonWeight{}}
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
	return jsonWeight{w.Name, w.Tensor.Name, shapeOf(w.Tensor.Shape), w.Tensor.DType.String(), string(w.Tensor.Storage), string(w.Source), uses(w)}
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
	p := &printer{w: w, style: style}
	n := in.Inspection.Network
	if n == nil {
		p.printf("%s   %s, opset %d\n", style.paint(ansiBold, base(in.Model.Path)), printable(in.Model.Producer), in.Model.Opset)
		p.obstacles(in.Inspection.Obstacles)
		return p.err
	}
	p.model(in.Model, fmt.Sprintf("%.3g %% in layers", 100*in.Inspection.Coverage))
	p.printf("input  %s\n", printable(in.Input))
	p.printf("output %s, %d classes\n", printable(in.Output), in.Model.Classes)
	p.printf("chain  %s between %d necks, which every path to the output passes\n\n", plural(len(n.Necks)-1, "stage"), len(n.Necks))
	p.weights(n)
	p.skipped(in.Inspection.Skipped)
	return p.err
}

// weights lists blocks, and under each its weights.
func (p *printer) weights(n *graph.Network) {
	name, shape, storage := 0, 0, 0
	for _, w := range n.Weights {
		name = max(name, columns(printable(w.Name)))
		shape = max(shape, len(fmt.Sprint(w.Tensor.Shape)))
		storage = max(storage, len(w.Tensor.Storage))
	}
	for _, l := range n.Layers(graph.ByBlock) {
		p.printf("%s   %s parameters, behind neck %d\n", p.style.paint(ansiBold, printable(l.Name)), count(l.Parameters), l.Neck)
		for _, i := range l.Weights {
			w := n.Weights[i]
			text := printable(w.Name)
			line := fmt.Sprintf("  %s%s  %-*s  %-8v  %-*s", text, strings.Repeat(" ", name-columns(text)), shape, fmt.Sprint(w.Tensor.Shape), w.Tensor.DType, storage, w.Tensor.Storage)
			if len(w.Uses) > 1 {
				line += fmt.Sprintf("  %d uses", len(w.Uses))
			}
			if w.Source != onnx.FromTensor && w.Source != onnx.FromFolded {
				line += fmt.Sprintf("  named by %s", w.Source)
			}
			if w.Tensor.Storage == onnx.StorageExternal {
				line += "  in " + base(w.Tensor.File)
			}
			p.printf("%s\n", strings.TrimRight(line, " "))
		}
	}
}

// skipped groups what is in no layer by its reason.
func (p *printer) skipped(list []graph.Skipped) {
	byReason := map[string][]string{}
	for _, s := range list {
		byReason[s.Reason] = append(byReason[s.Reason], printable(s.Name))
	}
	if len(list) > 0 {
		p.printf("\n%s\n", p.style.paint(ansiBold, "in no layer"))
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		names := byReason[reason]
		text := strings.Join(names[:min(len(names), maxListed)], ", ")
		if more := len(names) - maxListed; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		p.hanging("  ", 2, printable(reason)+": "+text)
	}
}

// obstacles lists what stands in a model's way, and what helps.
func (p *printer) obstacles(list []graph.Obstacle) {
	p.printf("\n%s\n", p.style.paint(ansiRed, "cannot be run: "+plural(len(list), "obstacle")))
	for _, o := range list {
		where := printable(o.Node)
		if o.Count > 1 {
			where = fmt.Sprintf("%s, first %s", plural(o.Count, "node"), where)
		}
		p.hanging("  ", 2, where+": "+printable(o.Reason))
		p.hanging("    ", 4, "→ "+o.Advice)
	}
}
