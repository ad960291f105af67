package graph

import (
	"encoding/binary"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"
)

// lossOp returns what computes a loss of one example.
func lossOp(l metric.Loss) op.ExampleLoss {
	switch l.Kind() {
	case metric.LabelSmoothing:
		return op.LabelSmoothing{Epsilon: l.Parameter()}
	case metric.Focal:
		return op.Focal{Gamma: l.Parameter()}
	case metric.Margin:
		return op.Margin{}
	case metric.SoftZeroOne:
		return op.SoftZeroOne{Weight: l.Parameter()}
	}
	return op.CrossEntropy{}
}

// appendLossKey appends what tells a loss from any other to key.
func appendLossKey(key []byte, l metric.Loss) []byte {
	key = append(key, byte(l.Kind()))
	return binary.LittleEndian.AppendUint64(key, math.Float64bits(l.Parameter()))
}
