package lowering

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

func activationEntries() []Entry {
	return []Entry{
		{Name: "Celu", Min: 12, Max: MaxOpset, Lower: lowerFormula(celu)},
		{Name: "Clip", Min: 7, Max: MaxOpset, Lower: lowerClip},
		{Name: "Elu", Min: 7, Max: MaxOpset, Lower: lowerWith(func(c *Call) op.Op { return op.Elu{Alpha: c.attribute("alpha", 1)} })},
		{Name: "Gelu", Min: 20, Max: MaxOpset, Lower: lowerGelu},
		{Name: "HardSigmoid", Min: 7, Max: MaxOpset, Lower: lowerWith(func(c *Call) op.Op {
			return op.HardSigmoid{Alpha: c.attribute("alpha", 0.2), Beta: c.attribute("beta", 0.5)}
		})},
		{Name: "HardSwish", Min: 14, Max: MaxOpset, Lower: lowerFormula(hardSwish)},
		{Name: "LeakyRelu", Min: 7, Max: MaxOpset, Lower: lowerWith(func(c *Call) op.Op { return op.LeakyRelu{Alpha: c.attribute("alpha", 0.01)} })},
		{Name: "Mish", Min: 18, Max: MaxOpset, Lower: lowerFormula(mish)},
		{Name: "PRelu", Min: 7, Max: MaxOpset, Lower: lowerFormula(prelu)},
		{Name: "Relu", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Relu{}, 1)},
		{Name: "Selu", Min: 7, Max: MaxOpset, Lower: lowerFormula(selu)},
		{Name: "Shrink", Min: 9, Max: MaxOpset, Lower: lowerFormula(shrink)},
		{Name: "Sigmoid", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Sigmoid{}, 1)},
		{Name: "Softplus", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Softplus{}, 1)},
		{Name: "Softsign", Min: 7, Max: MaxOpset, Lower: lowerFormula(softsign)},
		{Name: "Swish", Min: 7, Max: MaxOpset, Lower: lowerWith(func(c *Call) op.Op { return op.QuickGELU{Alpha: c.attribute("alpha", 1)} })},
		{Name: "Tanh", Min: 1, Max: MaxOpset, Lower: lowerPlain(op.Tanh{}, 1)},
		{Name: "ThresholdedRelu", Min: 10, Max: MaxOpset, Lower: lowerFormula(thresholdedRelu)},
		{Domain: microsoft, Name: "BiasGelu", Min: 1, Max: 1, Lower: lowerBiasGelu(op.GELU{})},
		{Domain: microsoft, Name: "FastGelu", Min: 1, Max: 1, Lower: lowerBiasGelu(op.GELU{Tanh: true})},
		{Domain: microsoft, Name: "Gelu", Min: 1, Max: 1, Lower: lowerPlain(op.GELU{}, 1)},
		{Domain: microsoft, Name: "QuickGelu", Min: 1, Max: 1, Lower: lowerWith(func(c *Call) op.Op { return op.QuickGELU{Alpha: c.attribute("alpha", 1.702)} })},
	}
}

// activate applies the function that the attribute activation names; parameter
// i of it is called name.
func (e *emitter) activate(x *op.Value, parameter func(i int, name string, def float32) float64) *op.Value {
	switch name := e.Node.Str("activation", ""); name {
	case "":
		return x
	case "Relu":
		return e.emit(op.Relu{}, x)
	case "Sigmoid":
		return e.emit(op.Sigmoid{}, x)
	case "Tanh":
		return e.emit(op.Tanh{}, x)
	case "Softplus":
		return e.emit(op.Softplus{}, x)
	case "LeakyRelu":
		return e.emit(op.LeakyRelu{Alpha: parameter(0, "alpha", 0.01)}, x)
	case "Elu":
		return e.emit(op.Elu{Alpha: parameter(0, "alpha", 1)}, x)
	case "Clip":
		return e.emit(op.Clip{Min: parameter(0, "min", -math.MaxFloat32), Max: parameter(1, "max", math.MaxFloat32)}, x)
	case "HardSigmoid":
		return e.emit(op.HardSigmoid{Alpha: parameter(0, "alpha", 0.2), Beta: parameter(1, "beta", 0.5)}, x)
	default:
		e.fail("activation %q is not supported", name)
		return nil
	}
}

func lowerGelu(c *Call) ([]*op.Value, error) {
	switch form := c.Node.Str("approximate", "none"); form {
	case "none":
		return lowerPlain(op.GELU{}, 1)(c)
	case "tanh":
		return lowerPlain(op.GELU{Tanh: true}, 1)(c)
	default:
		return nil, fmt.Errorf("approximate %q: expected \"none\" or \"tanh\"", form)
	}
}

// lowerBiasGelu lowers onnxruntime's BiasGelu and FastGelu: a GELU of the sum
// with the second input, where there is one.
func lowerBiasGelu(gelu op.GELU) Lowering {
	return lowerFormula(func(e *emitter) *op.Value {
		x := e.input(0)
		if bias := e.arg(1); bias != nil {
			x = e.emit(op.Add{}, x, bias)
		}
		return e.emit(gelu, x)
	})
}

// celu is max(0,x) + min(0, a·(exp(x/a)-1)), which is a·elu(x/a).
func celu(e *emitter) *op.Value {
	x := e.input(0)
	alpha := e.scalar(x, e.attribute("alpha", 1))
	return e.emit(op.Mul{}, alpha, e.emit(op.Elu{Alpha: 1}, e.emit(op.Div{}, x, alpha)))
}

func selu(e *emitter) *op.Value {
	x := e.input(0)
	gamma := e.scalar(x, e.attribute("gamma", 1.05070102214813232421875))
	return e.emit(op.Mul{}, gamma, e.emit(op.Elu{Alpha: e.attribute("alpha", 1.67326319217681884765625)}, x))
}

func hardSwish(e *emitter) *op.Value {
	x := e.input(0)
	return e.emit(op.Mul{}, x, e.emit(op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5}, x))
}

func mish(e *emitter) *op.Value {
	x := e.input(0)
	return e.emit(op.Mul{}, x, e.emit(op.Tanh{}, e.emit(op.Softplus{}, x)))
}

// prelu is max(x,0) + slope·min(x,0).
func prelu(e *emitter) *op.Value {
	x, slope := e.input(0), e.input(1)
	negative := e.emit(op.Min{}, x, e.scalar(x, 0))
	return e.emit(op.Add{}, e.emit(op.Relu{}, x), e.emit(op.Mul{}, slope, negative))
}

func shrink(e *emitter) *op.Value {
	x := e.input(0)
	lambda, bias := e.attribute("lambd", 0.5), e.scalar(x, e.attribute("bias", 0))
	above := e.emit(op.Where{}, e.emit(op.Greater{}, x, e.scalar(x, lambda)), e.emit(op.Sub{}, x, bias), e.scalar(x, 0))
	return e.emit(op.Where{}, e.emit(op.Less{}, x, e.scalar(x, -lambda)), e.emit(op.Add{}, x, bias), above)
}

func softsign(e *emitter) *op.Value {
	x := e.input(0)
	return e.emit(op.Div{}, x, e.emit(op.Add{}, e.scalar(x, 1), e.emit(op.Abs{}, x)))
}

func thresholdedRelu(e *emitter) *op.Value {
	x := e.input(0)
	return e.emit(op.Where{}, e.emit(op.Greater{}, x, e.scalar(x, e.attribute("alpha", 1))), x, e.scalar(x, 0))
}

// lowerClip reads the bounds from attributes before opset 11, then from inputs.
func lowerClip(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	if c.Opset < 11 {
		clip := op.Clip{Min: math.Inf(-1), Max: math.Inf(1)}
		if c.Node.Has("min") {
			clip.Min = c.attribute("min", 0)
		}
		if c.Node.Has("max") {
			clip.Max = c.attribute("max", 0)
		}
		return one(c.Emit(clip, x))
	}
	lo, hi := c.arg(1), c.arg(2)
	if lo == nil && hi == nil {
		return []*op.Value{x}, nil
	}
	if x.Type.DType.IsFloat() {
		clip := op.Clip{Min: math.Inf(-1), Max: math.Inf(1)}
		if knownScalar(lo, &clip.Min) && knownScalar(hi, &clip.Max) {
			return one(c.Emit(clip, x))
		}
	}
	e := &emitter{Call: c}
	if lo != nil {
		x = e.emit(op.Max{}, x, lo)
	}
	if hi != nil {
		x = e.emit(op.Min{}, x, hi)
	}
	return one(x, e.err)
}

// knownScalar reads a constant of one element into to, leaves it alone where v
// is absent, and reports false where v is anything else.
func knownScalar(v *op.Value, to *float64) bool {
	if v == nil {
		return true
	}
	if v.Const == nil || v.Type.Elements() != 1 {
		return false
	}
	*to = v.Const.AsFloats()[0]
	return true
}
