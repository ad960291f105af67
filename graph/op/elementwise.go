package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// elementwise is the family of operations that work element by element, with
// the reductions that their gradients are made of.
func elementwise() []Entry {
	entries := []Entry{
		{Name: "Cast", Min: 7, Max: MaxOpset, Lower: lowerCast},
		{Name: "CastLike", Min: 15, Max: MaxOpset, Lower: lowerCastLike},
		{Name: "Celu", Min: 12, Max: MaxOpset, Lower: lowerFormula(celu)},
		{Name: "Clip", Min: 7, Max: MaxOpset, Lower: lowerClip},
		{Name: "Dropout", Min: 7, Max: MaxOpset, Lower: lowerDropout},
		{Name: "Gelu", Min: 20, Max: MaxOpset, Lower: lowerGelu},
		{Name: "HardSwish", Min: 14, Max: MaxOpset, Lower: lowerFormula(hardSwish)},
		{Name: "Identity", Min: 7, Max: MaxOpset, Lower: lowerIdentity},
		{Name: "Mean", Min: 8, Max: MaxOpset, Lower: lowerMean},
		{Name: "Mish", Min: 18, Max: MaxOpset, Lower: lowerFormula(mish)},
		{Name: "Pow", Min: 7, Max: MaxOpset, Lower: lowerFormula(power)},
		{Name: "PRelu", Min: 7, Max: MaxOpset, Lower: lowerFormula(prelu)},
		{Name: "Selu", Min: 7, Max: MaxOpset, Lower: lowerFormula(selu)},
		{Name: "Shrink", Min: 9, Max: MaxOpset, Lower: lowerFormula(shrink)},
		{Name: "Softsign", Min: 7, Max: MaxOpset, Lower: lowerFormula(softsign)},
		{Name: "ThresholdedRelu", Min: 10, Max: MaxOpset, Lower: lowerFormula(thresholdedRelu)},
		{Name: "Where", Min: 9, Max: MaxOpset, Lower: lowerPlain(Where{}, 3)},
		{Domain: microsoft, Name: "BiasGelu", Min: 1, Max: 1, Lower: lowerBiasGelu(GELU{})},
		{Domain: microsoft, Name: "FastGelu", Min: 1, Max: 1, Lower: lowerBiasGelu(GELU{Tanh: true})},
		{Domain: microsoft, Name: "Gelu", Min: 1, Max: 1, Lower: lowerPlain(GELU{}, 1)},
		{Domain: microsoft, Name: "QuickGelu", Min: 1, Max: 1, Lower: lowerWith(func(c *Call) Op { return QuickGELU{c.attribute("alpha", 1.702)} })},
	}
	for name, o := range map[string]Op{
		"Abs": Abs{}, "Ceil": Round{Ceil}, "Cos": Cos{}, "Erf": Erf{}, "Exp": Exp{}, "Floor": Round{Floor}, "IsNaN": IsNaN{}, "Log": Log{},
		"Neg": Neg{}, "Not": Not{}, "Reciprocal": Reciprocal{}, "Relu": Relu{}, "Round": Round{Nearest}, "Sigmoid": Sigmoid{}, "Sign": Sign{},
		"Sin": Sin{}, "Softplus": Softplus{}, "Sqrt": Sqrt{}, "Tanh": Tanh{},
	} {
		entries = append(entries, Entry{Name: name, Min: 1, Max: MaxOpset, Lower: lowerPlain(o, 1)}) // opset 1 differs by an unused attribute
	}
	for name, o := range map[string]Op{
		"Add": Add{}, "And": And{}, "Div": Div{}, "Equal": Equal{}, "Greater": Greater{}, "GreaterOrEqual": GreaterOrEqual{}, "Less": Less{},
		"LessOrEqual": LessOrEqual{}, "Mul": Mul{}, "Or": Or{}, "Sub": Sub{}, "Xor": Xor{},
	} {
		entries = append(entries, Entry{Name: name, Min: 7, Max: MaxOpset, Lower: lowerPlain(o, 2)})
	}
	for name, o := range map[string]Op{"Max": Max{}, "Min": Min{}, "Sum": Add{}} {
		entries = append(entries, Entry{Name: name, Min: 8, Max: MaxOpset, Lower: lowerVariadic(o)})
	}
	for name, of := range map[string]func(c *Call) Op{
		"Elu": func(c *Call) Op { return Elu{c.attribute("alpha", 1)} },
		"HardSigmoid": func(c *Call) Op {
			return HardSigmoid{c.attribute("alpha", 0.2), c.attribute("beta", 0.5)}
		},
		"IsInf": func(c *Call) Op {
			return IsInf{Negative: c.Node.Int("detect_negative", 1) != 0, Positive: c.Node.Int("detect_positive", 1) != 0}
		},
		"LeakyRelu": func(c *Call) Op { return LeakyRelu{c.attribute("alpha", 0.01)} },
		"Mod":       func(c *Call) Op { return Mod{Fmod: c.Node.Int("fmod", 0) != 0} },
		"Swish":     func(c *Call) Op { return QuickGELU{c.attribute("alpha", 1)} },
	} {
		entries = append(entries, Entry{Name: name, Min: 7, Max: MaxOpset, Lower: lowerWith(of)})
	}
	return append(entries, reductions()...)
}

// attribute returns a float attribute; ONNX holds it in single precision.
func (c *Call) attribute(name string, def float32) float64 {
	return float64(c.Node.Float(name, def))
}

// scalar is a known number of the element type of like, to be broadcast.
func (c *Call) scalar(like *Value, v float64) *Value {
	a := NewArray(Type{like.Type.DType, []int{}})
	switch d := a.Data.(type) {
	case []float32:
		d[0] = float32(v)
	case []float64:
		d[0] = v
	case []int64:
		d[0] = int64(v)
	}
	return c.Constant(a)
}

// emitter appends Ops one after another and remembers the first error, for
// lowerings that are formulas.
type emitter struct {
	*Call
	err error
}

func (e *emitter) emit(o Op, in ...*Value) *Value {
	if e.err != nil {
		return nil
	}
	var v *Value
	v, e.err = e.Emit(o, in...)
	return v
}

// array is [Program.NewArray].
func (e *emitter) array(t Type) Array {
	if e.err != nil {
		return Array{}
	}
	var a Array
	a, e.err = e.NewArray(t)
	return a
}

// scalar is [Call.scalar].
func (e *emitter) scalar(like *Value, v float64) *Value {
	if e.err != nil {
		return nil
	}
	return e.Call.scalar(like, v)
}

// input returns input i of the node.
func (e *emitter) input(i int) *Value {
	if e.err != nil {
		return nil
	}
	var v *Value
	v, e.err = e.Need(i)
	return v
}

// lowerFormula makes a lowering of a formula with one result.
func lowerFormula(formula func(e *emitter) *Value) Lowering {
	return func(c *Call) ([]*Value, error) {
		e := &emitter{Call: c}
		v := formula(e)
		return one(v, e.err)
	}
}

// lowerPlain lowers an operator with n inputs and nothing to decide.
func lowerPlain(o Op, n int) Lowering {
	return func(c *Call) ([]*Value, error) {
		in := make([]*Value, n)
		for i := range in {
			var err error
			if in[i], err = c.Need(i); err != nil {
				return nil, err
			}
		}
		return one(c.Emit(o, in...))
	}
}

// lowerWith lowers an operator whose Op is made from the node's attributes.
func lowerWith(of func(c *Call) Op) Lowering {
	return func(c *Call) ([]*Value, error) { return lowerPlain(of(c), len(c.In))(c) }
}

// lowerVariadic lowers an operator of one or more inputs to a chain of o.
func lowerVariadic(o Op) Lowering {
	return func(c *Call) ([]*Value, error) {
		sum, err := c.Need(0)
		for i := 1; i < len(c.In) && err == nil; i++ {
			var v *Value
			if v, err = c.Need(i); err == nil {
				sum, err = c.Emit(o, sum, v)
			}
		}
		return one(sum, err)
	}
}

func lowerMean(c *Call) ([]*Value, error) {
	sum, err := lowerVariadic(Add{})(c)
	if err != nil {
		return nil, err
	}
	return one(c.Emit(Div{}, sum[0], c.scalar(sum[0], float64(len(c.In)))))
}

func lowerIdentity(c *Call) ([]*Value, error) { return one(c.Need(0)) }

// lowerDropout lowers inference: nothing is dropped.
func lowerDropout(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	training, err := c.KnownInts(2, "training_mode")
	if err != nil {
		return nil, err
	}
	if len(training) == 1 && training[0] != 0 {
		ratio := c.Arg(1)
		if ratio == nil || ratio.Const == nil || slices.ContainsFunc(ratio.Const.AsFloats(), func(r float64) bool { return r != 0 }) {
			return nil, fmt.Errorf("training_mode is true; only inference is supported: export the model in evaluation mode")
		}
	}
	out := []*Value{x}
	if len(c.Node.Outputs) > 1 && c.Node.Outputs[1] != "" {
		kept, err := c.NewArray(Type{onnx.Bool, x.Type.Shape})
		if err != nil {
			return nil, err
		}
		for i := range Elem[bool](kept) {
			Elem[bool](kept)[i] = true
		}
		out = append(out, c.Constant(kept))
	}
	return out, nil
}

// power brings the exponent to the type of the base, which is the result's.
func power(e *emitter) *Value {
	base, exponent := e.input(0), e.input(1)
	if e.err != nil {
		return nil
	}
	from, to := exponent.Type.DType, base.Type.DType
	if ClassOf(to) == ClassInt && from.IsFloat() {
		wide := Cast{onnx.Double}
		return e.emit(Cast{to}, e.emit(Pow{}, e.emit(wide, base), e.emit(wide, exponent)))
	}
	if from != to {
		exponent = e.emit(castBetween(exponent.Type, base.Type), exponent)
	}
	return e.emit(Pow{}, base, exponent)
}

// lowerClip reads the bounds from attributes before opset 11, then from inputs.
func lowerClip(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	if c.Opset < 11 {
		clip := Clip{math.Inf(-1), math.Inf(1)}
		if c.Node.Has("min") {
			clip.Min = c.attribute("min", 0)
		}
		if c.Node.Has("max") {
			clip.Max = c.attribute("max", 0)
		}
		return one(c.Emit(clip, x))
	}
	lo, hi := c.Arg(1), c.Arg(2)
	if lo == nil && hi == nil {
		return []*Value{x}, nil
	}
	if x.Type.DType.IsFloat() {
		clip := Clip{math.Inf(-1), math.Inf(1)}
		if knownScalar(lo, &clip.Min) && knownScalar(hi, &clip.Max) {
			return one(c.Emit(clip, x))
		}
	}
	e := &emitter{Call: c}
	if lo != nil {
		x = e.emit(Max{}, x, lo)
	}
	if hi != nil {
		x = e.emit(Min{}, x, hi)
	}
	return one(x, e.err)
}

// knownScalar reads a constant of one element into to, leaves it alone where v
// is absent, and reports false where v is anything else.
func knownScalar(v *Value, to *float64) bool {
	if v == nil {
		return true
	}
	if v.Const == nil || v.Type.Elements() != 1 {
		return false
	}
	*to = v.Const.AsFloats()[0]
	return true
}

func lowerGelu(c *Call) ([]*Value, error) {
	switch form := c.Node.Str("approximate", "none"); form {
	case "none":
		return lowerPlain(GELU{}, 1)(c)
	case "tanh":
		return lowerPlain(GELU{Tanh: true}, 1)(c)
	default:
		return nil, fmt.Errorf("approximate %q: expected \"none\" or \"tanh\"", form)
	}
}

// lowerBiasGelu lowers onnxruntime's BiasGelu and FastGelu: a GELU of the sum
// with the second input, where there is one.
func lowerBiasGelu(gelu GELU) Lowering {
	return lowerFormula(func(e *emitter) *Value {
		x := e.input(0)
		if bias := e.Arg(1); bias != nil {
			x = e.emit(Add{}, x, bias)
		}
		return e.emit(gelu, x)
	})
}

// celu is max(0,x) + min(0, a·(exp(x/a)-1)), which is a·elu(x/a).
func celu(e *emitter) *Value {
	x := e.input(0)
	alpha := e.scalar(x, e.attribute("alpha", 1))
	return e.emit(Mul{}, alpha, e.emit(Elu{1}, e.emit(Div{}, x, alpha)))
}

func selu(e *emitter) *Value {
	x := e.input(0)
	gamma := e.scalar(x, e.attribute("gamma", 1.05070102214813232421875))
	return e.emit(Mul{}, gamma, e.emit(Elu{e.attribute("alpha", 1.67326319217681884765625)}, x))
}

func hardSwish(e *emitter) *Value {
	x := e.input(0)
	return e.emit(Mul{}, x, e.emit(HardSigmoid{1. / 6, 0.5}, x))
}

func mish(e *emitter) *Value {
	x := e.input(0)
	return e.emit(Mul{}, x, e.emit(Tanh{}, e.emit(Softplus{}, x)))
}

// prelu is max(x,0) + slope·min(x,0).
func prelu(e *emitter) *Value {
	x, slope := e.input(0), e.input(1)
	negative := e.emit(Min{}, x, e.scalar(x, 0))
	return e.emit(Add{}, e.emit(Relu{}, x), e.emit(Mul{}, slope, negative))
}

func shrink(e *emitter) *Value {
	x := e.input(0)
	lambda, bias := e.attribute("lambd", 0.5), e.scalar(x, e.attribute("bias", 0))
	above := e.emit(Where{}, e.emit(Greater{}, x, e.scalar(x, lambda)), e.emit(Sub{}, x, bias), e.scalar(x, 0))
	return e.emit(Where{}, e.emit(Less{}, x, e.scalar(x, -lambda)), e.emit(Add{}, x, bias), above)
}

func softsign(e *emitter) *Value {
	x := e.input(0)
	return e.emit(Div{}, x, e.emit(Add{}, e.scalar(x, 1), e.emit(Abs{}, x)))
}

func thresholdedRelu(e *emitter) *Value {
	x := e.input(0)
	return e.emit(Where{}, e.emit(Greater{}, x, e.scalar(x, e.attribute("alpha", 1))), x, e.scalar(x, 0))
}
