//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// convolution serves Conv and its gradients.
func convolution(s site) *launch {
	if !s.allFloats() {
		return nil
	}
	switch o := s.op.(type) {
	case op.Conv:
		k := newConvolution(o, s.in[0].Shape, s.in[1].Shape, s.out.Shape)
		return &launch{k.Work(), func(c call) error {
			return k.Forward(c.Queue, s.precision, c.in[0].Data, c.in[1].Data, c.optional(2), c.out.Data, c.work)
		}}
	case op.ConvGradient:
		if o.Filters {
			k := newConvolution(o.Conv, s.in[0].Shape, o.Shape, s.in[1].Shape)
			return &launch{k.Work(), func(c call) error {
				return k.FilterGrad(c.Queue, s.precision, c.in[0].Data, c.in[1].Data, c.out.Data, c.work)
			}}
		}
		k := newConvolution(o.Conv, o.Shape, s.in[0].Shape, s.in[1].Shape)
		return &launch{k.Work(), func(c call) error {
			return k.InputGrad(c.Queue, s.precision, c.in[0].Data, c.in[1].Data, c.out.Data, c.work)
		}}
	}
	return nil
}

// newConvolution describes a convolution of x with filters to y, of these shapes.
func newConvolution(o op.Conv, x, filters, y []int) kernels.Convolution {
	return kernels.Convolution{
		Window: newWindow(x, y, o.Kernel, o.Strides, o.Dilations, o.Pads),
		Images: x[0], Channels: x[1], Filters: filters[0], Groups: o.Group,
	}
}

// newWindow describes a kernel that slides over the one to three spatial
// dimensions of x [N, C, spatial...], with a result of shape y.
func newWindow(x, y, size, strides, dilations, pads []int) kernels.Window {
	one := [3]int{1, 1, 1}
	w := kernels.Window{In: one, Out: one, Taps: one, Stride: one, Dilation: one}
	rank := len(size)
	for i := range rank {
		j := 3 - rank + i
		w.In[j], w.Out[j], w.Taps[j] = x[2+i], y[2+i], size[i]
		w.Stride[j], w.Dilation[j] = strides[i], dilations[i]
		w.Before[j], w.After[j] = pads[i], pads[rank+i]
	}
	return w
}
