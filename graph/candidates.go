package graph

import (
	"maps"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// candidates tells the tensors of a file that may be weights from those that are
// none, by their size, their values and the operands they serve as.
type candidates struct {
	all     []onnx.Weight
	number  map[*onnx.Tensor]int // index in all
	reasons map[*onnx.Tensor]string
}

// parameterOperands are inputs that parametrise an operator rather than being
// learned, by operator and input index.
var parameterOperands = map[string]map[int]string{
	"BatchNormalization": {3: "running statistics", 4: "running statistics"},
	"Resize":             {1: "operator parameter", 2: "operator parameter"},
	"Upsample":           {1: "operator parameter"},
	"Clip":               {1: "operator parameter", 2: "operator parameter"},
	"Pad":                {2: "operator parameter"},
	"Range":              {0: "operator parameter", 1: "operator parameter", 2: "operator parameter"},
	"OneHot":             {2: "operator parameter"},
	"Dropout":            {1: "operator parameter"},
	"QuantizeLinear":     {1: "quantisation scale"},
	"DequantizeLinear":   {1: "quantisation scale"},
	"QLinearConv":        {1: "quantisation scale", 4: "quantisation scale", 6: "quantisation scale"},
	"QLinearMatMul":      {1: "quantisation scale", 4: "quantisation scale", 6: "quantisation scale"},
	"QGemm":              {1: "quantisation scale", 4: "quantisation scale", 7: "quantisation scale"},
	// The tables of ai.onnx's operator, and of com.microsoft's.
	"RotaryEmbedding": {1: rotaryTable, 2: rotaryTable, 3: rotaryTable},
}

// findCandidates looks at every tensor by itself, and at pairs of them.
func findCandidates(m *onnx.Model) *candidates {
	c := &candidates{all: m.Weights(), number: map[*onnx.Tensor]int{}, reasons: map[*onnx.Tensor]string{}}
	for i, w := range c.all {
		c.number[w.Tensor] = i
		if reason := noWeight(w); reason != "" {
			c.reasons[w.Tensor] = reason
		}
	}
	for _, w := range c.all {
		if q := w.Tensor.Quantization(); q != nil && c.has(q.Scale) {
			c.reasons[q.Scale] = "quantisation scale"
		}
	}
	c.excludeRotaryPairs()
	return c
}

// noWeight returns why a tensor is no weight, "" where it may be one.
func noWeight(w onnx.Weight) string {
	operand := parameterReason(w.Uses)
	switch {
	case len(w.Uses) == 0:
		return "unused: no node reads it"
	case w.Tensor.Elements() == 1:
		return "scalar"
	case w.Tensor.Elements() == 0:
		return "empty"
	case w.Tensor.DType == onnx.Double:
		return "double precision constant"
	case operand != "":
		return operand
	case isMask(w):
		return "mask"
	case isFill(w):
		return "fill value"
	case isRotaryTable(w):
		return rotaryTable
	case isFrequencies(w):
		return "rotary frequencies"
	}
	return ""
}

// clone returns candidates that others can be excluded from.
func (c *candidates) clone() *candidates {
	return &candidates{all: c.all, number: c.number, reasons: maps.Clone(c.reasons)}
}

// parameterReason returns why every use of a tensor is a parameter of an
// operator, or "".
func parameterReason(uses []onnx.Use) string {
	reason := ""
	for _, u := range uses {
		why := parameterOperands[u.Node.OpType][u.Input]
		if why == "" {
			return ""
		}
		reason = why
	}
	return reason
}

// has reports whether t is a weight as far as is known.
func (c *candidates) has(t *onnx.Tensor) bool {
	_, listed := c.number[t]
	return listed && c.reasons[t] == ""
}

func (c *candidates) index(t *onnx.Tensor) int { return c.number[t] }

func (c *candidates) exclude(t *onnx.Tensor, reason string) { c.reasons[t] = reason }
