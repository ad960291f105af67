package op

import (
	"fmt"
	"math"
)

// activatedEntries lists the products that ONNX Runtime joins with the
// activation that follows.
func activatedEntries() []Entry {
	return []Entry{
		{Domain: microsoft, Name: "FusedConv", Min: 1, Max: 1, Lower: lowerFusedConv},
		{Domain: microsoft, Name: "FusedGemm", Min: 1, Max: 1, Lower: lowerFusedGemm},
	}
}

// lowerFusedConv: (x, filters, bias, z) → activation(convolution + z).
func lowerFusedConv(c *Call) ([]*Value, error) {
	y, err := lowerConv(c)
	if err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	if z := c.Arg(3); z != nil {
		y[0] = e.emit(Add{}, y[0], z)
	}
	parameters := c.Node.Floats("activation_params")
	return one(e.activate(y[0], func(i int, _ string, def float32) float64 {
		if i < len(parameters) {
			return float64(parameters[i])
		}
		return float64(def)
	}), e.err)
}

func lowerFusedGemm(c *Call) ([]*Value, error) {
	y, err := lowerGemm(c)
	if err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	return one(e.activate(y[0], func(_ int, name string, def float32) float64 {
		return c.attribute("activation_"+name, def)
	}), e.err)
}

// activate applies the function that the attribute activation names; parameter
// i of it is called name.
func (e *emitter) activate(x *Value, parameter func(i int, name string, def float32) float64) *Value {
	switch name := e.Node.Str("activation", ""); name {
	case "":
		return x
	case "Relu":
		return e.emit(Relu{}, x)
	case "Sigmoid":
		return e.emit(Sigmoid{}, x)
	case "Tanh":
		return e.emit(Tanh{}, x)
	case "Softplus":
		return e.emit(Softplus{}, x)
	case "LeakyRelu":
		return e.emit(LeakyRelu{parameter(0, "alpha", 0.01)}, x)
	case "Elu":
		return e.emit(Elu{parameter(0, "alpha", 1)}, x)
	case "Clip":
		return e.emit(Clip{parameter(0, "min", -math.MaxFloat32), parameter(1, "max", math.MaxFloat32)}, x)
	case "HardSigmoid":
		return e.emit(HardSigmoid{parameter(0, "alpha", 0.2), parameter(1, "beta", 0.5)}, x)
	default:
		if e.err == nil {
			e.err = fmt.Errorf("activation %q is not supported", name)
		}
		return nil
	}
}
