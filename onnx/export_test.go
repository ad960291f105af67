package onnx

import "slices"

// FileOperands returns the node's operands as they stand in the file, without
// onnx-go's part; false for a node whose operands have other names there.
func (n *Node) FileOperands() (inputs, outputs []string, ok bool) {
	if n.inlined || n.OpType == "If" {
		return nil, nil, false
	}
	for f := range n.message.Fields() {
		switch f.Number() {
		case nodeInput:
			inputs = append(inputs, string(f.Bytes()))
		case nodeOutput:
			outputs = append(outputs, string(f.Bytes()))
		}
	}
	return inputs, outputs, true
}

// Patched returns the file that a draft with the edits would be.
func Patched(m *Model, e Edits) ([]byte, error) {
	pieces, err := patch(m, e)
	return slices.Concat(pieces...), err
}

// Spoil writes something else into the draft's file, of the same length.
func (d *Draft) Spoil(change func([]byte) []byte) error {
	f := d.model.File()
	data := make([]byte, d.size)
	if _, err := f.ReadAt(data, 0); err != nil {
		return err
	}
	_, err := f.WriteAt(change(data), 0)
	return err
}
