package onnx

import (
	"fmt"
	"slices"
)

// Verify reads the draft back and compares it with the model that it was made
// of. It returns how many of its bytes have no equal in the original file (see
// [Comparison.BytesChanged]), which for a model from [Model.Untied] is the file
// that was untied, and has to be open still.
//
// e are the edits that the draft was made with, and its weights the values that
// the file gives back, as [Tensor.Rounded] or [Tensor.Dequantized] returns them.
// That the draft holds others, or differs from the model in anything that e does
// not ask for, is an error that names it. It is a defect of this package, or of
// the disk.
func (d *Draft) Verify(e Edits) (bytesChanged int64, err error) {
	written, err := d.Open()
	if err != nil {
		return 0, fmt.Errorf("the treated file cannot be read back: %w", err)
	}
	defer written.Close()
	if err := e.checkStored(written); err != nil {
		return 0, err
	}
	comparison, err := Compare(d.source, written)
	if err != nil {
		return 0, err
	}
	if err := e.explain(comparison, written); err != nil {
		return 0, err
	}
	if d.source.untiedFrom != nil {
		// The copies are no surprise, but they are in the file.
		if comparison, err = Compare(d.source.untiedFrom, written); err != nil {
			return 0, err
		}
	}
	return comparison.BytesChanged, nil
}

// checkStored returns an error unless the written model holds the new values.
func (e Edits) checkStored(written *Model) error {
	for tensor, values := range e.Weights {
		there := written.Tensor(tensor.Name)
		if there == nil {
			return fmt.Errorf("tensor %q is missing from the treated file", tensor.Name)
		}
		stored, err := there.Float32s()
		if err != nil {
			return err
		}
		if !slices.Equal(stored, values) {
			return fmt.Errorf("tensor %q of the treated file does not hold the trained weights", tensor.Name)
		}
	}
	for key, value := range e.Metadata {
		if written.Metadata[key] != value {
			return fmt.Errorf("the entry %q of the treated file's metadata does not hold what it should", key)
		}
	}
	return nil
}

// explain returns an error that names what a comparison has found and the edits
// do not ask for.
func (e Edits) explain(found *Comparison, written *Model) error {
	edited, identities := map[string]bool{}, map[string]bool{}
	for tensor := range e.Weights {
		edited[tensor.Name] = true
		if q := tensor.Quantization(); q != nil && e.Dequantize {
			for _, n := range q.Nodes {
				identities[written.Nodes[n.Index].Label()] = true
			}
		}
	}
	for _, change := range found.Tensors {
		if !edited[change.Name] {
			return fmt.Errorf("tensor %q of the treated file has changed, which it should not", change.Name)
		}
	}
	for _, change := range found.Metadata {
		if _, asked := e.Metadata[change.Key]; !asked {
			return fmt.Errorf("the entry %q of the treated file's metadata has changed, which it should not", change.Key)
		}
	}
	nodes := slices.DeleteFunc(slices.Clone(found.Nodes), func(n NodeChange) bool { return n.Presence == InBoth && identities[n.Label] })
	if len(found.Fields) > 0 || len(nodes) > 0 {
		return fmt.Errorf("the treated file differs from the original in more than its weights: %v %v", found.Fields, nodes)
	}
	return nil
}
