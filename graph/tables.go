package graph

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// maxTableElements bounds the tensors that are read to see whether they are
// masks or rotary tables. The largest mask of a usual model, a Swin V2's of windows of
// 24 in images of 384, has 5.3 million.
const maxTableElements = 1 << 23

// isMask reports whether a tensor that is added, selected or expanded holds nothing but
// zeros and one large negative number, or several very large ones. Its name does
// not matter: Swin's is called like a parameter. Without a zero the numbers must
// be very large: the bias of a sigmoid head may start at −10 throughout.
func isMask(w onnx.Weight) bool {
	data := tableUsedBy(w, "Add", "Where", "Expand", "Attention", "MultiHeadAttention")
	if data == nil {
		return false
	}
	var masked float32
	passes := false
	for _, x := range data {
		switch {
		case x == 0:
			passes = true
		case x == masked:
		case x <= -10 && masked == 0:
			masked = x
		case x <= -1e4 && masked <= -1e4:
		default:
			return false
		}
	}
	return passes && masked != 0 || masked <= -1e4
}

// isFill reports whether a tensor is one number, over and over, that is written
// into a region of another: the regions from which Swin's masks are made in the
// graph. They have no name; a class token that starts at zero has one.
func isFill(w onnx.Weight) bool {
	if w.Path != "" || slices.ContainsFunc(w.Uses, func(u onnx.Use) bool { return u.Input != 2 }) {
		return false
	}
	data := tableUsedBy(w, "ScatterND")
	return data != nil && !slices.ContainsFunc(data, func(x float32) bool { return x != data[0] })
}

// tableUsedBy returns the values of a tensor that has uses, all by the given
// operators; nil for others, and for those that are too large or cannot be read.
func tableUsedBy(w onnx.Weight, operators ...string) []float32 {
	for _, u := range w.Uses {
		if !slices.Contains(operators, u.Node.OpType) {
			return nil
		}
	}
	if len(w.Uses) == 0 || w.Tensor.Elements() > maxTableElements {
		return nil
	}
	data, err := w.Tensor.Float32s()
	if err != nil {
		return nil
	}
	return data
}
