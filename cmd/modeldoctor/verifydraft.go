package main

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// verifyDraft compares a file that is about to appear with the original, and
// returns the number of bytes that differ. Whatever else than the treated
// weights and the entry of the metadata has changed is a defect.
func (t *treatment) verifyDraft(draft *onnx.Draft, edits onnx.Edits) (changed int64, err error) {
	written, err := draft.Open()
	if err != nil {
		return 0, fmt.Errorf("the treated file cannot be read back: %w", err)
	}
	defer written.Close()
	// Of an untied model the copies are no surprise, but nothing else may differ
	// from it either.
	comparison, err := onnx.Compare(t.network.Model, written)
	if err != nil {
		return 0, err
	}
	treated, identities := map[string]bool{}, map[string]bool{}
	for tensor, values := range edits.Weights {
		treated[tensor.Name] = true
		if q := tensor.Quantization(); q != nil && edits.Dequantize {
			for _, n := range q.Nodes {
				identities[written.Nodes[n.Index].Label()] = true
			}
		}
		stored, err := written.Tensor(tensor.Name).Float32s()
		if err != nil {
			return 0, err
		}
		if !slices.Equal(stored, values) {
			return 0, fmt.Errorf("tensor %q of the treated file does not hold the trained weights", tensor.Name)
		}
	}
	for _, change := range comparison.Tensors {
		if !treated[change.Name] {
			return 0, fmt.Errorf("tensor %q of the treated file has changed, which it should not", change.Name)
		}
	}
	for _, change := range comparison.Metadata {
		if change.Key != metadataKey {
			return 0, fmt.Errorf("the entry %q of the treated file's metadata has changed, which it should not", change.Key)
		}
	}
	comparison.Nodes = slices.DeleteFunc(comparison.Nodes, func(n onnx.NodeChange) bool { return n.Presence == onnx.InBoth && identities[n.Label] })
	if len(comparison.Fields) > 0 || len(comparison.Nodes) > 0 {
		return 0, fmt.Errorf("the treated file differs from the original in more than its weights: %v %v", comparison.Fields, comparison.Nodes)
	}
	if t.loaded != t.subject.loaded {
		if comparison, err = onnx.Compare(t.subject.network.Model, written); err != nil {
			return 0, err
		}
	}
	return comparison.BytesChanged, nil
}
