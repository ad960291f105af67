package op

import (
	"fmt"
	"slices"
)

func windowEntries() []Entry {
	return []Entry{
		{Name: "Conv", Min: 1, Max: MaxOpset, Lower: lowerConv},
		{Name: "MaxPool", Min: 1, Max: MaxOpset, Lower: lowerMaxPool},
		{Name: "AveragePool", Min: 1, Max: MaxOpset, Lower: lowerAveragePool},
		{Name: "GlobalAveragePool", Min: 1, Max: MaxOpset, Lower: lowerGlobalPool(func(axes []int) Op { return ReduceMean{Axes: axes, KeepDims: true} })},
		{Name: "GlobalMaxPool", Min: 1, Max: MaxOpset, Lower: lowerGlobalPool(func(axes []int) Op { return ReduceMax{Axes: axes, KeepDims: true} })},
	}
}

// windowAttributes reads strides, dilations, pads and auto_pad, which
// convolutions and poolings share, for kernels of the given sizes.
func windowAttributes(c *Call, shape, size []int) (PoolWindow, error) {
	w := PoolWindow{Kernel: size}
	rank := len(size)
	if len(shape) != rank+2 {
		return w, fmt.Errorf("expected an input [N, C, ...] with %d spatial dimensions, found %v", rank, shape)
	}
	var err error
	for _, a := range []struct {
		name string
		to   *[]int
		n    int
		def  int
	}{
		{"strides", &w.Strides, rank, 1},
		{"dilations", &w.Dilations, rank, 1},
		{"pads", &w.Pads, 2 * rank, 0},
	} {
		*a.to = slices.Repeat([]int{a.def}, a.n)
		if v := c.Node.Ints(a.name); len(v) > 0 {
			if *a.to, err = toSizes(v); err != nil {
				return w, fmt.Errorf("%s: %w", a.name, err)
			}
			if len(v) != a.n {
				return w, fmt.Errorf("%s: expected %d values, found %v", a.name, a.n, v)
			}
		}
	}
	if slices.Contains(w.Strides, 0) || slices.Contains(w.Dilations, 0) {
		return w, fmt.Errorf("expected positive strides and dilations, found %v and %v", w.Strides, w.Dilations)
	}
	auto := c.Node.Str("auto_pad", "NOTSET")
	switch auto {
	case "NOTSET", "":
	case "VALID":
		clear(w.Pads)
	case "SAME_UPPER", "SAME_LOWER":
		for i, in := range shape[2:] {
			windows := (in + w.Strides[i] - 1) / w.Strides[i]
			total := max(0, (windows-1)*w.Strides[i]+(size[i]-1)*w.Dilations[i]+1-in)
			w.Pads[i], w.Pads[rank+i] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				w.Pads[i], w.Pads[rank+i] = w.Pads[rank+i], w.Pads[i]
			}
		}
	default:
		return w, fmt.Errorf("auto_pad %q is not supported", auto)
	}
	return w, nil
}

func lowerConv(c *Call) ([]*Value, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, err
	}
	filters, err := c.Need(1)
	if err != nil {
		return nil, err
	}
	if filters.Type.Rank() < 3 {
		return nil, fmt.Errorf("expected filters [M, C, kernel...], found %v", filters.Type)
	}
	size := filters.Type.Shape[2:]
	if declared := c.Node.Ints("kernel_shape"); declared != nil {
		if k, err := toSizes(declared); err != nil || !slices.Equal(k, size) {
			return nil, fmt.Errorf("expected kernel_shape %v as the filters have it, found %v", size, declared)
		}
	}
	w, err := windowAttributes(c, x.Type.Shape, size)
	if err != nil {
		return nil, err
	}
	in := []*Value{x, filters}
	if bias := c.Arg(2); bias != nil {
		in = append(in, bias)
	}
	o := Conv{Kernel: w.Kernel, Strides: w.Strides, Dilations: w.Dilations, Pads: w.Pads, Group: int(c.Node.Int("group", 1))}
	return one(c.Emit(o, in...))
}

// lowerPoolWindow reads the attributes of a pooling node.
func lowerPoolWindow(c *Call) (*Value, PoolWindow, error) {
	x, err := c.Need(0)
	if err != nil {
		return nil, PoolWindow{}, err
	}
	size, err := toSizes(c.Node.Ints("kernel_shape"))
	if err != nil {
		return nil, PoolWindow{}, fmt.Errorf("kernel_shape: %w", err)
	}
	w, err := windowAttributes(c, x.Type.Shape, size)
	w.Ceil = c.Node.Int("ceil_mode", 0) != 0
	return x, w, err
}

func lowerMaxPool(c *Call) ([]*Value, error) {
	x, w, err := lowerPoolWindow(c)
	if err != nil {
		return nil, err
	}
	out, err := one(c.Emit(MaxPool{w}, x))
	if err != nil || len(c.Node.Outputs) < 2 || c.Node.Outputs[1] == "" {
		return out, err
	}
	indices, err := c.Emit(MaxPoolIndices{w, c.Node.Int("storage_order", 0) != 0}, x)
	return append(out, indices), err
}

func lowerAveragePool(c *Call) ([]*Value, error) {
	x, w, err := lowerPoolWindow(c)
	if err != nil {
		return nil, err
	}
	return one(c.Emit(AveragePool{w, c.Node.Int("count_include_pad", 0) != 0}, x))
}

// lowerGlobalPool reduces all spatial dimensions.
func lowerGlobalPool(reduce func(axes []int) Op) Lowering {
	return func(c *Call) ([]*Value, error) {
		x, err := c.Need(0)
		if err != nil {
			return nil, err
		}
		if x.Type.Rank() < 3 {
			return nil, fmt.Errorf("expected an input [N, C, ...], found %v", x.Type)
		}
		var axes []int
		for i := 2; i < x.Type.Rank(); i++ {
			axes = append(axes, i)
		}
		return one(c.Emit(reduce(axes), x))
	}
}
