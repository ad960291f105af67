package graph

import (
	"fmt"
	"math"
	"slices"

	"modeldoctor/onnx"
)

// rotaryTable is why sines and cosines of rotary embeddings are no weights.
const rotaryTable = "rotary table"

// maxTableElements bounds the tensors that are read to see whether they are
// masks or rotary tables.
const maxTableElements = 1 << 20

// isMask reports whether a tensor that is added or selected holds nothing but
// zeros and one large negative number, or several very large ones. Its name does
// not matter: Swin's is called like a parameter.
func isMask(w onnx.Weight) bool {
	if w.Tensor.Elements() > maxTableElements || !usedBy(w, "Add", "Where") {
		return false
	}
	data, err := w.Tensor.Float32s()
	if err != nil {
		return false
	}
	var masked float32
	for _, x := range data {
		switch {
		case x == 0 || x == masked:
		case x <= -10 && masked == 0:
			masked = x
		case x <= -1e4 && masked <= -1e4:
		default:
			return false
		}
	}
	return masked != 0
}

// isRotaryTable reports whether each row of a tensor that others are multiplied
// by is sines followed by as many cosines, as timm stores the angles of rotary
// embeddings.
func isRotaryTable(w onnx.Weight) bool {
	shape := w.Tensor.Shape
	if w.Tensor.Elements() > maxTableElements || len(shape) < 2 || shape[len(shape)-1]%2 != 0 || !usedBy(w, "Mul") {
		return false
	}
	data, err := w.Tensor.Float32s()
	if err != nil {
		return false
	}
	width := shape[len(shape)-1]
	for row := 0; row < len(data); row += width {
		if !onUnitCircle(data[row:row+width/2], data[row+width/2:row+width]) {
			return false
		}
	}
	return true
}

// excludeTablePairs finds the tables of rotary embeddings that are stored apart,
// as sines in one tensor and cosines of the same angles in another.
func (r *weightRoles) excludeTablePairs() {
	type table struct {
		tensor *onnx.Tensor
		values []float32
	}
	byShape := map[string][]table{}
	for _, w := range r.all {
		if t := w.Tensor; r.reasons[t] == "" && len(t.Shape) >= 2 && t.Elements() <= maxTableElements && usedBy(w, "Mul") {
			if data, err := t.Float32s(); err == nil && withinUnit(data) {
				shape := fmt.Sprint(t.Shape)
				byShape[shape] = append(byShape[shape], table{t, data})
			}
		}
	}
	for _, tables := range byShape {
		for i, a := range tables {
			for _, b := range tables[:i] {
				if onUnitCircle(a.values, b.values) {
					r.exclude(a.tensor, rotaryTable)
					r.exclude(b.tensor, rotaryTable)
				}
			}
		}
	}
}

// tableTolerance is how far sin²+cos² may be from 1: half types round.
const tableTolerance = 1e-3

// withinUnit reports whether all values can be sines and some are not 0 or ±1,
// as the scales of an untrained model may all be.
func withinUnit(values []float32) bool {
	some := false
	for _, x := range values {
		square := float64(x) * float64(x)
		if !(square <= 1+tableTolerance) {
			return false
		}
		some = some || square > tableTolerance && square < 1-tableTolerance
	}
	return some
}

// onUnitCircle reports whether the points (a[i], b[i]) lie on the unit circle.
func onUnitCircle(a, b []float32) bool {
	for i, x := range a {
		y := b[i]
		if !(math.Abs(float64(x)*float64(x)+float64(y)*float64(y)-1) <= tableTolerance) {
			return false
		}
	}
	return true
}

// usedBy reports whether a tensor has uses, all by the given operators.
func usedBy(w onnx.Weight, operators ...string) bool {
	for _, u := range w.Uses {
		if !slices.Contains(operators, u.Node.OpType) {
			return false
		}
	}
	return len(w.Uses) > 0
}
