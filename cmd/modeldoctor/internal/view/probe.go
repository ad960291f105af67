package view

import (
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"
)

// Probe describes what a network computed for inputs with the given labels, nil
// where none were given. Model is for the caller to fill.
func Probe(n *graph.Network, labels []int, r *graph.ProbeResult) *report.Probe {
	p := &report.Probe{Losses: []report.Number{}, Parameters: []report.ProbeWeight{}, Layers: []report.ProbeLayer{}, Labels: labels}
	for i := range r.Logits {
		p.Logits = append(p.Logits, convert[report.Single](r.Logits[i]))
		p.Probabilities = append(p.Probabilities, convert[report.Number](r.Probabilities[i]))
	}
	if labels != nil {
		loss := report.Number(r.Loss)
		p.Loss, p.Losses = &loss, convert[report.Number](r.Losses)
	}
	block := map[int]string{} // by weight
	for _, l := range n.Layers(graph.ByBlock) {
		for _, w := range l.Weights {
			block[w] = l.Name
		}
	}
	for _, g := range r.Weights {
		w := n.Weights[g.Weight]
		p.Parameters = append(p.Parameters, report.ProbeWeight{
			Name: w.Name, Layer: block[g.Weight], Shape: list(w.Tensor.Shape),
			WNorm: report.Number(g.WNorm), GNorm: report.Number(g.GNorm), GDotW: report.Number(g.GDotW),
		})
	}
	for _, l := range r.Layers {
		p.Layers = append(p.Layers, report.ProbeLayer{Name: l.Name, GNorm: report.Number(l.GNorm)})
	}
	return p
}

// convert returns a list of numbers as another type.
func convert[To, From ~float32 | ~float64](list []From) []To {
	out := make([]To, len(list))
	for i, x := range list {
		out[i] = To(x)
	}
	return out
}
