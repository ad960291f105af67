package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
)

// Probe is the result of the command probe.
type Probe struct {
	Model   Model
	Network *graph.Network
	Labels  []int // nil: none given
	Result  *graph.ProbeResult
}

type jsonProbe struct {
	SchemaVersion int              `json:"schema_version"`
	Model         jsonModel        `json:"model"`
	Logits        [][]single       `json:"logits"`
	Probabilities [][]number       `json:"probabilities"`
	Loss          *number          `json:"loss"`
	Losses        []number         `json:"losses"`
	Parameters    []jsonProbed     `json:"parameters"`
	Layers        []jsonProbeLayer `json:"layers"`
}

type jsonProbed struct {
	Name  string `json:"name"`
	Layer string `json:"layer"`
	Shape []int  `json:"shape"`
	WNorm number `json:"w_norm"`
	GNorm number `json:"g_norm"`
	GDotW number `json:"g_dot_w"`
}

type jsonProbeLayer struct {
	Name  string `json:"name"`
	GNorm number `json:"g_norm"`
}

// ProbeJSON writes a probe as one JSON document. Without labels loss is null
// and the lists that need it are empty. Numbers that are not finite, as raw
// tensors can make them, are null.
func ProbeJSON(w io.Writer, p *Probe) error {
	out := jsonProbe{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(p.Model),
		Losses:        []number{},
		Parameters:    []jsonProbed{},
		Layers:        []jsonProbeLayer{},
	}
	for i := range p.Result.Logits {
		out.Logits = append(out.Logits, convert[single](p.Result.Logits[i]))
		out.Probabilities = append(out.Probabilities, convert[number](p.Result.Probabilities[i]))
	}
	if p.Labels != nil {
		loss := number(p.Result.Loss)
		out.Loss, out.Losses = &loss, convert[number](p.Result.Losses)
	}
	layer := map[int]string{}
	for _, l := range p.Network.Layers(graph.ByBlock) {
		for _, i := range l.Weights {
			layer[i] = l.Name
		}
	}
	for _, g := range p.Result.Weights {
		t := p.Network.Weights[g.Weight]
		out.Parameters = append(out.Parameters, jsonProbed{t.Name, layer[g.Weight], shapeOf(t.Tensor.Shape), number(g.WNorm), number(g.GNorm), number(g.GDotW)})
	}
	for _, l := range p.Result.Layers {
		out.Layers = append(out.Layers, jsonProbeLayer{l.Name, number(l.GNorm)})
	}
	return writeJSON(w, out)
}

// convert returns a list of numbers as another type.
func convert[To, From ~float32 | ~float64](list []From) []To {
	out := make([]To, len(list))
	for i, x := range list {
		out[i] = To(x)
	}
	return out
}

// topClasses is how many classes of an example ProbeText prints.
const topClasses = 3

// ProbeText writes a probe for a person: the most probable classes of each
// example, the loss, and the norms of its gradients.
func ProbeText(w io.Writer, pr *Probe, style Style) error {
	p := &printer{w: w, style: style}
	p.model(pr.Model, fmt.Sprintf("%d classes", pr.Model.Classes))
	head := fmt.Sprintf("%7s", "example")
	if pr.Labels != nil {
		head += fmt.Sprintf("  %5s  %10s", "label", "loss")
	}
	p.printf("\n%s\n", style.paint(ansiDim, head+"  most probable classes: probability (logit)"))
	for i, probability := range pr.Result.Probabilities {
		p.printf("%7d", i)
		if pr.Labels != nil {
			p.printf("  %5d  %10.6f", pr.Labels[i], pr.Result.Losses[i])
		}
		for _, class := range largest(probability, topClasses) {
			p.printf("  %d: %.4f (%.4f)", class, probability[class], pr.Result.Logits[i][class])
		}
		p.printf("\n")
	}
	if pr.Labels == nil {
		return p.err
	}
	p.printf("\nmean loss %.6f nats; the norms of its gradient:\n", pr.Result.Loss)
	name := 0
	for _, l := range pr.Result.Layers {
		name = max(name, columns(printable(l.Name)))
	}
	for _, l := range pr.Result.Layers {
		text := printable(l.Name)
		p.printf("  %s%s  %.6g\n", text, strings.Repeat(" ", name-columns(text)), l.GNorm)
	}
	return p.err
}

// largest returns the indices of the k largest values, largest first; of equal
// ones the first.
func largest(v []float64, k int) []int {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(v[b], v[a]) })
	return order[:min(k, len(order))]
}
