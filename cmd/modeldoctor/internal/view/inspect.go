// Package view describes networks, and what was computed of them, in the plain
// values that package report prints.
package view

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"
)

// Inspect describes a model that was inspected. Of one that can be run, chosen
// are the layers, of any granularity, that the text is to tell all about; nil
// where it is to list all of them briefly. Model and Input are for the caller to
// fill.
func Inspect(i *graph.Inspection, chosen []graph.Layer) *report.Inspect {
	in := &report.Inspect{
		Layers:      []report.InspectLayer{},
		Weights:     []report.Weight{},
		Skipped:     Skipped(i.Skipped),
		Unsupported: list(i.Unsupported),
		Obstacles:   []report.Obstacle{},
		Complete:    !i.Stopped,
		Necks:       []report.Neck{},
		Notes:       []report.Note{},
		Coverage:    i.Coverage,
	}
	for _, o := range i.Obstacles {
		in.Obstacles = append(in.Obstacles, report.Obstacle{Node: o.Node, Op: o.Op, Domain: o.Domain, Reason: o.Reason, Count: o.Count, Advice: o.Advice})
	}
	n := i.Network
	if n == nil {
		return in
	}
	in.Output = n.Output
	for _, g := range graph.Granularities() {
		for _, l := range n.Layers(g) {
			in.Layers = append(in.Layers, layer(n, g, l))
		}
	}
	together := n.StoredTogether()
	for w := range n.Weights {
		in.Weights = append(in.Weights, weight(n, w, together[w]))
	}
	begins := map[int][]string{} // blocks whose first use is right behind a neck
	for _, l := range n.Layers(graph.ByBlock) {
		begins[l.Neck] = append(begins[l.Neck], l.Name)
	}
	for k, neck := range n.Necks {
		in.Necks = append(in.Necks, report.Neck{Index: k, Name: neck.Name, Shape: list(neck.Shape), Layers: list(begins[k])})
	}
	in.Notes = traits(n).Notes()
	for _, l := range chosen {
		in.Chosen = append(in.Chosen, layer(n, "", l))
	}
	return in
}

// Skipped describes tensors that are in no layer.
func Skipped(skipped []graph.Skipped) []report.Skipped {
	described := make([]report.Skipped, len(skipped))
	for i, s := range skipped {
		described[i] = report.Skipped{Name: s.Name, Elements: s.Elements, Reason: s.Reason}
	}
	return described
}

func layer(n *graph.Network, g graph.Granularity, l graph.Layer) report.InspectLayer {
	return report.InspectLayer{
		Name: l.Name, Granularity: string(g), Parameters: l.Parameters, Neck: l.Neck,
		Stages: list(n.LayerStages(l)), StagesComputed: len(n.Necks) - 1 - l.Neck, Why: l.Why, Weights: names(n, l.Weights),
	}
}

func weight(n *graph.Network, i int, together []int) report.Weight {
	w := n.Weights[i]
	t := w.Tensor
	described := report.Weight{
		Name: w.Name, Tensor: t.Name, Shape: list(t.Shape), DType: t.DType.String(), Storage: t.Storage, File: t.File,
		Source: w.Source, Neck: w.Neck, NeckName: n.Necks[w.Neck].Name, Stages: list(n.Stages(i)),
		Uses: []report.Use{}, Shared: list(n.Sharers(i)), StoredTogether: names(n, together), Fix: storing(n, i),
	}
	if t.Range.Length > 0 {
		described.Offset, described.Bytes = &t.Range.Offset, &t.Range.Length
	}
	if q := t.Quantization(); q != nil {
		described.Quantization = quantization(q)
	}
	for _, u := range w.Uses {
		use := report.Use{Node: u.Node.Label(), Input: u.Input, Through: []string{}, Path: report.Optional(u.Path)}
		for _, c := range u.Chain {
			use.Through = append(use.Through, c.Label())
		}
		described.Uses = append(described.Uses, use)
	}
	return described
}

func quantization(q *onnx.Quantization) *report.Quantization {
	described := &report.Quantization{Values: q.DType.String(), Per: "tensor", Scale: q.Scale.Name}
	if q.Axis >= 0 {
		described.Per, described.Axis = "axis", &q.Axis
	}
	if q.BlockSize > 0 {
		described.Per, described.BlockSize = "block", &q.BlockSize
	}
	if q.ZeroPoint != nil {
		described.ZeroPoint = &q.ZeroPoint.Name
	}
	return described
}

func storing(n *graph.Network, i int) report.Storing {
	t, s := n.Weights[i].Tensor, n.Storing(i)
	dequantized := ""
	if s.Dequantized != onnx.Undefined {
		dequantized = s.Dequantized.String()
	}
	return report.NewStoring(t.Storage, t.File, s.Moved, s.Rounded, dequantized, s.Shared)
}

// traits are what is to be known of a network before it is diagnosed or treated.
func traits(n *graph.Network) *report.Traits {
	t := &report.Traits{
		FixedBatch: n.Input.FixedBatch, SoftmaxRemoved: n.Ending.Softmax(), Ending: n.Ending.Note(),
		Output: n.Output, Opset: n.Model.Opset(""), NewestExport: graph.NewestExport,
		QuantisesActivations: n.QuantisesActivations(), Coverage: n.Coverage(),
	}
	for _, o := range n.Model.Outputs {
		if o.Name != n.Output {
			t.OtherOutputs = append(t.OtherOutputs, o.Name)
		}
	}
	for i, w := range n.Weights {
		s := n.Storing(i)
		if s.Shared {
			t.Shared++
		}
		if s.Rounded == "" {
			continue
		}
		t.Rounded++
		if name := w.Tensor.DType.String(); !slices.Contains(t.RoundedTypes, name) {
			t.RoundedTypes = append(t.RoundedTypes, name)
		}
	}
	for _, s := range n.Skipped {
		if s.Parameter {
			t.Unused = append(t.Unused, s.Name)
		}
	}
	return t
}

func names(n *graph.Network, weights []int) []string {
	named := make([]string, len(weights))
	for i, w := range weights {
		named[i] = n.Weights[w].Name
	}
	return named
}

// list is a list that is never null in JSON.
func list[T any](items []T) []T { return append([]T{}, items...) }
