package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

func convEntries() []Entry {
	return []Entry{
		{Name: "Conv", Min: 1, Max: MaxOpset, Lower: lowerConv},
		{Domain: microsoft, Name: "FusedConv", Min: 1, Max: 1, Lower: lowerFusedConv}, // with the activation that follows
	}
}

func lowerConv(c *Call) ([]*op.Value, error) {
	x, err := c.need(0)
	if err != nil {
		return nil, err
	}
	filters, err := c.need(1)
	if err != nil {
		return nil, err
	}
	if filters.Type.Rank() < 3 {
		return nil, fmt.Errorf("expected filters [M, C, kernel...], found %v", filters.Type)
	}
	size := filters.Type.Shape[2:]
	if declared := c.Node.Ints("kernel_shape"); declared != nil {
		if k, err := shapes.Sizes(declared); err != nil || !slices.Equal(k, size) {
			return nil, fmt.Errorf("expected kernel_shape %v as the filters have it, found %v", size, declared)
		}
	}
	w, err := windowAttributes(c, x.Type.Shape, size)
	if err != nil {
		return nil, err
	}
	in := []*op.Value{x, filters}
	if bias := c.arg(2); bias != nil {
		in = append(in, bias)
	}
	o := op.Conv{Kernel: w.Kernel, Strides: w.Strides, Dilations: w.Dilations, Pads: w.Pads, Group: int(c.Node.Int("group", 1))}
	return one(c.Emit(o, in...))
}

// lowerFusedConv: (x, filters, bias, z) → activation(convolution + z).
func lowerFusedConv(c *Call) ([]*op.Value, error) {
	y, err := lowerConv(c)
	if err != nil {
		return nil, err
	}
	e := &emitter{Call: c}
	if z := c.arg(3); z != nil {
		y[0] = e.emit(op.Add{}, y[0], z)
	}
	parameters := c.Node.Floats("activation_params")
	return one(e.activate(y[0], func(i int, _ string, def float32) float64 {
		if i < len(parameters) {
			return float64(parameters[i])
		}
		return float64(def)
	}), e.err)
}
