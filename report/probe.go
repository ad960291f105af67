package report

import (
	"io"

	"modeldoctor/graph"
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
	Logits        [][]float32      `json:"logits"`
	Probabilities [][]float64      `json:"probabilities"`
	Loss          *float64         `json:"loss"`
	Losses        []float64        `json:"losses"`
	Parameters    []jsonProbed     `json:"parameters"`
	Layers        []jsonProbeLayer `json:"layers"`
}

type jsonProbed struct {
	Name  string  `json:"name"`
	Layer string  `json:"layer"`
	Shape []int   `json:"shape"`
	WNorm float64 `json:"w_norm"`
	GNorm float64 `json:"g_norm"`
	GDotW float64 `json:"g_dot_w"`
}

type jsonProbeLayer struct {
	Name  string  `json:"name"`
	GNorm float64 `json:"g_norm"`
}

// ProbeJSON writes a probe as one JSON document. Without labels loss is null
// and the lists that need it are empty.
func ProbeJSON(w io.Writer, p *Probe) error {
	out := jsonProbe{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(p.Model),
		Logits:        p.Result.Logits,
		Probabilities: p.Result.Probabilities,
		Losses:        []float64{},
		Parameters:    []jsonProbed{},
		Layers:        []jsonProbeLayer{},
	}
	if p.Labels != nil {
		out.Loss, out.Losses = &p.Result.Loss, p.Result.Losses
	}
	layer := map[int]string{}
	for _, l := range p.Network.Layers(graph.ByBlock) {
		for _, i := range l.Weights {
			layer[i] = l.Name
		}
	}
	for _, g := range p.Result.Weights {
		t := p.Network.Weights[g.Weight]
		out.Parameters = append(out.Parameters, jsonProbed{t.Name, layer[g.Weight], shapeOf(t.Tensor.Shape), g.WNorm, g.GNorm, g.GDotW})
	}
	for _, l := range p.Result.Layers {
		out.Layers = append(out.Layers, jsonProbeLayer(l))
	}
	return writeJSON(w, out)
}

// topClasses is how many classes of an example ProbeText prints.
const topClasses = 5

// ProbeText writes a probe for a person: the most probable classes of each
// example, the loss, and the norms of the gradients.
func ProbeText(w io.Writer, pr *Probe, style Style) error {
	p := &printer{w: w}
	p.printf("%s   %d examples, %d classes\n\n", style.paint(ansiBold, base(pr.Model.Path)), len(pr.Result.Logits), pr.Model.Classes)
	for i, prob := range pr.Result.Probabilities {
		p.printf("example %d ", i)
		for _, class := range largest(prob, topClasses) {
			p.printf("  class %d: %.4f (logit %.4f)", class, prob[class], pr.Result.Logits[i][class])
		}
		if pr.Labels != nil {
			p.printf("   label %d: loss %.6f", pr.Labels[i], pr.Result.Losses[i])
		}
		p.printf("\n")
	}
	if pr.Labels == nil {
		return p.err
	}
	p.printf("\nmean loss %.6f nats; its gradient:\n", pr.Result.Loss)
	for _, l := range pr.Result.Layers {
		p.printf("  %-24s ‖g‖ %.6g\n", l.Name, l.GNorm)
	}
	return p.err
}

// largest returns the indices of the k largest values, largest first.
func largest(v []float64, k int) []int {
	var out []int
	for range min(k, len(v)) {
		best := -1
		for i, x := range v {
			taken := false
			for _, j := range out {
				taken = taken || i == j
			}
			if !taken && (best < 0 || x > v[best]) {
				best = i
			}
		}
		out = append(out, best)
	}
	return out
}
