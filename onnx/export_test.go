package onnx

import "slices"

// FileOperands returns the node's operands as they stand in the file, without
// onnx-go's part.
func (n *Node) FileOperands() (inputs, outputs []string) {
	for f := range n.message.Fields() {
		switch f.Number() {
		case nodeInput:
			inputs = append(inputs, string(f.Bytes()))
		case nodeOutput:
			outputs = append(outputs, string(f.Bytes()))
		}
	}
	return inputs, outputs
}

// Patched returns the file that a draft with the edits would be.
func (m *Model) Patched(e Edits) ([]byte, error) {
	pieces, err := m.pieces(e)
	return slices.Concat(pieces...), err
}
