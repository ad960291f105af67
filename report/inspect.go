package report

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Inspect is the result of the command inspect.
type Inspect struct {
	Model      Model
	Input      string // type and shape of the image
	Output     string
	Inspection *graph.Inspection
	// Chosen are layers, of any granularity, that the text is to tell all about;
	// nil where it is to list all of them briefly.
	Chosen []graph.Layer
}

type jsonInspect struct {
	SchemaVersion int                `json:"schema_version"`
	Model         jsonModel          `json:"model"`
	Input         string             `json:"input"`
	Output        string             `json:"output"`
	Layers        []jsonInspectLayer `json:"layers"`
	Weights       []jsonWeight       `json:"weights"`
	Skipped       []jsonSkipped      `json:"skipped"`
	Unsupported   []onnx.Unsupported `json:"unsupported"`
	Obstacles     []jsonObstacle     `json:"obstacles"`
	Complete      bool               `json:"obstacles_complete"`
	Necks         []jsonNeck         `json:"necks"`
	Notes         []note             `json:"notes"`
	Coverage      float64            `json:"coverage"`
}

type jsonInspectLayer struct {
	Name           string   `json:"name"`
	Granularity    string   `json:"granularity"`
	Parameters     int      `json:"parameters"`
	Neck           int      `json:"neck"`
	Stages         []int    `json:"stages"`
	StagesComputed int      `json:"stages_computed"`
	Why            []string `json:"why"`
	Weights        []string `json:"weights"` // names
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
	Index  int      `json:"index"`
	Name   string   `json:"name"`
	Shape  []int    `json:"shape"`  // of one image
	Layers []string `json:"layers"` // blocks whose first use is behind it
}

// InspectJSON writes an inspection as one JSON document.
func InspectJSON(w io.Writer, in *Inspect) error {
	out := jsonInspect{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(in.Model),
		Input:         in.Input,
		Output:        in.Output,
		Layers:        []jsonInspectLayer{},
		Weights:       []jsonWeight{},
		Skipped:       []jsonSkipped{},
		Unsupported:   []onnx.Unsupported{},
		Obstacles:     []jsonObstacle{},
		Complete:      !in.Inspection.Stopped,
		Necks:         []jsonNeck{},
		Notes:         []note{},
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
				layer := jsonInspectLayer{
					Name: l.Name, Granularity: string(g), Parameters: l.Parameters, Neck: l.Neck,
					Stages: append([]int{}, n.LayerStages(l)...), StagesComputed: len(n.Necks) - 1 - l.Neck, Why: l.Why,
				}
				for _, i := range l.Weights {
					layer.Weights = append(layer.Weights, n.Weights[i].Name)
				}
				out.Layers = append(out.Layers, layer)
			}
		}
		together := n.StoredTogether()
		for i := range n.Weights {
			out.Weights = append(out.Weights, jsonWeightOf(n, i, together[i]))
		}
		begins := beginnings(n)
		for k, neck := range n.Necks {
			out.Necks = append(out.Necks, jsonNeck{k, neck.Name, shapeOf(neck.Shape), append([]string{}, begins[k]...)})
		}
		out.Notes = notesOf(n)
	}
	return writeJSON(w, out)
}

// beginnings names the blocks whose first use is right behind a neck, by its
// index.
func beginnings(n *graph.Network) map[int][]string {
	begins := map[int][]string{}
	for _, l := range n.Layers(graph.ByBlock) {
		begins[l.Neck] = append(begins[l.Neck], l.Name)
	}
	return begins
}

// shapeOf is never null in JSON.
func shapeOf(shape []int) []int { return append([]int{}, shape...) }

// InspectText writes an inspection for a person.
func InspectText(w io.Writer, in *Inspect, style Style) error {
	p := &printer{w: w, style: style}
	n := in.Inspection.Network
	if n == nil {
		p.printf("%s   %s, opset %d\n", style.paint(ansiBold, base(in.Model.Path)), printable(in.Model.Producer), in.Model.Opset)
		p.obstacles(in.Inspection.Obstacles, in.Inspection.Stopped)
		return p.err
	}
	p.headline(in.Model, fmt.Sprintf("%.3g %% in layers", 100*in.Inspection.Coverage))
	for _, note := range notesOf(n) {
		p.hanging("note   ", 7, printable(note.Text))
	}
	p.printf("input  %s\n", printable(in.Input))
	p.printf("output %s, %d classes\n", printable(in.Output), in.Model.Classes)
	p.printf("chain  %s between %d necks, which every path to the output passes\n\n", plural(len(n.Necks)-1, "stage"), len(n.Necks))
	if in.Chosen != nil {
		p.stories(n, in.Chosen)
		return p.err
	}
	p.weights(n)
	p.skipped(in.Inspection.Skipped)
	return p.err
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
		p.hanging("  ", 2, printable(reason)+": "+listed(names))
	}
}

// obstacles lists what stands in a model's way, and what helps. With stopped there
// may be more behind the only one.
func (p *printer) obstacles(list []graph.Obstacle, stopped bool) {
	head := "cannot be run: " + plural(len(list), "obstacle")
	if stopped {
		head = "cannot be run: the first of perhaps more obstacles"
	}
	p.printf("\n%s\n", p.style.paint(ansiRed, head))
	for _, o := range list {
		where := printable(o.Node)
		if o.Count > 1 {
			where = fmt.Sprintf("%s, first %s", plural(o.Count, "node"), where)
		}
		p.hanging("  ", 2, where+": "+printable(o.Reason))
		p.hanging("    ", 4, "→ "+o.Advice)
	}
}
