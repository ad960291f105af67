package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
)

func logicEntries() []Entry {
	return []Entry{
		{Name: "And", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.And{}, 2), NoGradient: truthResults},
		{Name: "Equal", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Equal{}, 2), NoGradient: truthResults},
		{Name: "Greater", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Greater{}, 2), NoGradient: truthResults},
		{Name: "GreaterOrEqual", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.GreaterOrEqual{}, 2), NoGradient: truthResults},
		{Name: "Less", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Less{}, 2), NoGradient: truthResults},
		{Name: "LessOrEqual", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.LessOrEqual{}, 2), NoGradient: truthResults},
		{Name: "Not", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Not{}, 1), NoGradient: truthResults},
		{Name: "Or", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Or{}, 2), NoGradient: truthResults},
		{Name: "Where", Min: 9, Max: MaxOpset, Lower: lowerPlain(op.Where{}, 3)},
		{Name: "Xor", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Xor{}, 2), NoGradient: truthResults},
	}
}
