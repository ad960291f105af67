package lowering

import (
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func binaryEntries() []Entry {
	return []Entry{
		{Name: "Add", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Add{}, 2)},
		{Name: "Div", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Div{}, 2)},
		{Name: "Max", Min: 6, Max: MaxOpset, Lower: lowerVariadic(op.Max{})},
		{Name: "Mean", Min: 6, Max: MaxOpset, Lower: lowerMean},
		{Name: "Min", Min: 6, Max: MaxOpset, Lower: lowerVariadic(op.Min{})},
		{Name: "Mod", Min: 7, Max: MaxOpset, Lower: lowerWith(func(c *Call) op.Op { return op.Mod{Fmod: c.Node.Int("fmod", 0) != 0} })},
		{Name: "Mul", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Mul{}, 2)},
		{Name: "Pow", Min: 7, Max: MaxOpset, Lower: lowerFormula(power)},
		{Name: "Sub", Min: 7, Max: MaxOpset, Lower: lowerPlain(op.Sub{}, 2)},
		{Name: "Sum", Min: 6, Max: MaxOpset, Lower: lowerVariadic(op.Add{})},
	}
}

func lowerMean(c *Call) ([]*op.Value, error) {
	sum, err := lowerVariadic(op.Add{})(c)
	if err != nil {
		return nil, err
	}
	return one(c.Emit(op.Div{}, sum[0], c.scalar(sum[0], float64(len(c.In)))))
}

// power brings the exponent to the type of the base, which is the result's.
func power(e *emitter) *op.Value {
	base, exponent := e.input(0), e.input(1)
	if e.err != nil {
		return nil
	}
	from, to := exponent.Type.DType, base.Type.DType
	if op.ClassOf(to) == op.ClassInt && from.IsFloat() {
		wide := op.Cast{To: onnx.Double}
		return e.emit(op.Cast{To: to}, e.emit(op.Pow{}, e.emit(wide, base), e.emit(wide, exponent)))
	}
	if from != to {
		exponent = e.emit(op.CastBetween(exponent.Type, base.Type), exponent)
	}
	return e.emit(op.Pow{}, base, exponent)
}
