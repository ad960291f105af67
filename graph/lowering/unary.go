package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// unaryEntries: opset 1 differs by an unused attribute.
func unaryEntries() []Entry {
	return []Entry{
		{Name: "Abs", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Abs{}, 1)},
		{Name: "Ceil", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Round{To: op.Ceil}, 1)},
		{Name: "Cos", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Cos{}, 1)},
		{Name: "Erf", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Erf{}, 1)},
		{Name: "Exp", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Exp{}, 1)},
		{Name: "Floor", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Round{To: op.Floor}, 1)},
		{Name: "IsInf", Min: 7, Max: MaxOpset, Lower: lowerWith(isInf), NoGradient: truthResults},
		{Name: "IsNaN", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.IsNaN{}, 1), NoGradient: truthResults},
		{Name: "Log", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Log{}, 1)},
		{Name: "Neg", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Neg{}, 1)},
		{Name: "Reciprocal", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Reciprocal{}, 1)},
		{Name: "Round", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Round{To: op.Nearest}, 1)},
		{Name: "Sign", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Sign{}, 1)},
		{Name: "Sin", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Sin{}, 1)},
		{Name: "Sqrt", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Sqrt{}, 1)},
	}
}

func isInf(c *Call) op.Op {
	return op.IsInf{Negative: c.Node.Int("detect_negative", 1) != 0, Positive: c.Node.Int("detect_positive", 1) != 0}
}
