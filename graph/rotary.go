package graph

import (
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// Rotary position embeddings turn pairs of channels by angles that are the
// product of a position and a frequency. Nothing of that is learned, but the
// tables are stored as parameters are.

// rotaryTable is why sines and cosines of rotary embeddings are no weights.
const rotaryTable = "rotary table"

// isRotaryTable reports whether each row of a tensor that others are multiplied
// by is sines followed by as many cosines, as timm stores the angles of rotary
// embeddings.
func isRotaryTable(w onnx.Weight) bool {
	shape := w.Tensor.Shape
	if len(shape) < 2 || shape[len(shape)-1]%2 != 0 {
		return false
	}
	data := tableUsedBy(w, "Mul")
	if !isSine(data) {
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

// excludeRotaryPairs excludes the tensors that hold the sines and the cosines of
// the same angles, in two tables of one shape by which data are multiplied.
func (c *candidates) excludeRotaryPairs() {
	type table struct {
		tensor *onnx.Tensor
		data   []float32
	}
	var tables []table
	for _, w := range c.all {
		if !c.has(w.Tensor) || len(w.Tensor.Shape) < 2 {
			continue
		}
		if data := tableUsedBy(w, "Mul"); isSine(data) {
			tables = append(tables, table{w.Tensor, data})
		}
	}
	for i, a := range tables {
		for _, b := range tables[i+1:] {
			if slices.Equal(a.tensor.Shape, b.tensor.Shape) && onUnitCircle(a.data, b.data) {
				c.exclude(a.tensor, rotaryTable)
				c.exclude(b.tensor, rotaryTable)
			}
		}
	}
}

// isSine reports whether every number could be a sine or a cosine and one at
// least is neither 0 nor ±1: those are also the scales of a fresh network.
func isSine(data []float32) bool {
	varied := false
	for _, x := range data {
		size := math.Abs(float64(x))
		if !(size <= 1+circleTolerance) {
			return false
		}
		varied = varied || size > 0.1 && size < 0.9
	}
	return varied
}

// circleTolerance is how far sin² + cos² may lie from 1: half types round.
const circleTolerance = 1e-3

// onUnitCircle reports whether the squares of corresponding elements add up
// to 1.
func onUnitCircle(a, b []float32) bool {
	for i, s := range a {
		if c := b[i]; !(math.Abs(float64(s)*float64(s)+float64(c)*float64(c)-1) <= circleTolerance) {
			return false
		}
	}
	return true
}

// isFrequencies reports whether a tensor holds the frequencies, or the periods,
// of rotary angles: positive numbers along one dimension, each the same multiple
// of the one before, that others are multiplied or divided by.
func isFrequencies(w onnx.Weight) bool {
	n := w.Tensor.Elements()
	if n < minFrequencies || n != slices.Max(w.Tensor.Shape) {
		return false
	}
	data := tableUsedBy(w, "Mul", "Div", "MatMul", "Expand")
	if data == nil || !(data[0] > 0) {
		return false
	}
	tolerance := frequencyTolerance
	if w.Tensor.DType != onnx.Float {
		tolerance = halfFrequencyTolerance
	}
	ratio := float64(data[1]) / float64(data[0])
	if !(math.Abs(ratio-1) > halfFrequencyTolerance) {
		return false
	}
	for i, x := range data[1:] {
		if !(math.Abs(float64(x)/float64(data[i])-ratio) <= tolerance*ratio) {
			return false
		}
	}
	return true
}

// minFrequencies is how many numbers tell a geometric sequence from an accident,
// and the tolerances how far, relatively, a ratio may be off: powers are computed
// in float32, and half types round. What has been trained is off by more.
const (
	minFrequencies         = 4
	frequencyTolerance     = 1e-5
	halfFrequencyTolerance = 5e-3
)
