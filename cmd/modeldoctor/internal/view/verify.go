package view

import (
	"math"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"
)

// ChangedLayers describes the blocks of a network in which a comparison of its
// file with another has found weights to differ. The error is that of reading a
// weight.
func ChangedLayers(n *graph.Network, comparison *onnx.Comparison) ([]report.LayerChange, error) {
	moved := map[string]float64{} // ‖Δw‖ by tensor
	for _, t := range comparison.Tensors {
		if t.Compared && t.ElementsChanged > 0 {
			moved[t.Name] = t.NormDelta
		}
	}
	changes := []report.LayerChange{} // nil would say that A is no network
	for _, l := range n.Layers(graph.ByBlock) {
		change := report.LayerChange{Name: l.Name}
		var square, norm float64
		for _, w := range l.Weights {
			tensor := n.Weights[w].Tensor
			if d, ok := moved[tensor.Name]; ok {
				change.Tensors++
				square += d * d
			}
			values, err := tensor.Float32s()
			if err != nil {
				return nil, err
			}
			for _, x := range values {
				norm += float64(x) * float64(x)
			}
		}
		if change.Tensors == 0 {
			continue
		}
		change.DeltaNorm, change.WNorm = report.Number(math.Sqrt(square)), report.Number(math.Sqrt(norm))
		if norm > 0 {
			relative := change.DeltaNorm / change.WNorm
			change.Relative = &relative
		}
		changes = append(changes, change)
	}
	return changes, nil
}
