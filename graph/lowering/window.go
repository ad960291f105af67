package lowering

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/shapes"
)

// windowAttributes reads strides, dilations, pads and auto_pad, which
// convolutions and poolings share, for kernels of the given sizes.
func windowAttributes(c *Call, shape, size []int) (op.PoolWindow, error) {
	w := op.PoolWindow{Kernel: size}
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
			if *a.to, err = shapes.Sizes(v); err != nil {
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
