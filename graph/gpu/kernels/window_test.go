//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// windowOf is a window over an input of a shape, [images, channels, spatial...],
// as graph/op computes its result's shape.
func windowOf(d *device, o op.PoolWindow, shape []int) kernels.Window {
	w := kernels.Window{In: [3]int{1, 1, 1}, Out: [3]int{1, 1, 1}, Taps: [3]int{1, 1, 1}, Stride: [3]int{1, 1, 1}, Dilation: [3]int{1, 1, 1}}
	out := d.forward(op.MaxPool{PoolWindow: o}, doubles(make([]float32, count(shape...)), shape...)).Shape
	rank := len(shape) - 2
	for i := range rank {
		j := 3 - rank + i
		w.In[j], w.Out[j] = shape[2+i], out[2+i]
		w.Taps[j], w.Stride[j], w.Dilation[j], w.Before[j], w.After[j] = o.Kernel[i], o.Strides[i], o.Dilations[i], o.Pads[i], o.Pads[rank+i]
	}
	return w
}

type windowCase struct {
	shape                               []int
	kernel, strides, dilations, padding []int
	ceil                                bool
}

var windows = []windowCase{
	{shape: []int{1, 1, 1, 1}, kernel: []int{1, 1}, strides: []int{1, 1}, dilations: []int{1, 1}, padding: []int{0, 0, 0, 0}},
	{shape: []int{2, 3, 9, 8}, kernel: []int{3, 3}, strides: []int{2, 2}, dilations: []int{1, 1}, padding: []int{1, 1, 1, 1}},
	{shape: []int{1, 2, 7, 10}, kernel: []int{2, 3}, strides: []int{1, 3}, dilations: []int{2, 1}, padding: []int{0, 2, 1, 0}},
	{shape: []int{2, 2, 8, 8}, kernel: []int{3, 3}, strides: []int{2, 2}, dilations: []int{1, 1}, padding: []int{0, 0, 1, 1}, ceil: true},
	{shape: []int{1, 2, 8, 7}, kernel: []int{3, 2}, strides: []int{2, 2}, dilations: []int{1, 1}, padding: []int{0, 1, 0, 1}, ceil: true},
	{shape: []int{1, 2, 11}, kernel: []int{4}, strides: []int{3}, dilations: []int{2}, padding: []int{2, 1}},
	{shape: []int{1, 2, 4, 5, 3}, kernel: []int{2, 2, 3}, strides: []int{2, 1, 1}, dilations: []int{1, 2, 1}, padding: []int{1, 0, 1, 0, 1, 1}},
	{shape: []int{0, 2, 4, 4}, kernel: []int{2, 2}, strides: []int{2, 2}, dilations: []int{1, 1}, padding: []int{0, 0, 0, 0}},
	{shape: []int{2, 2, 5, 5}, kernel: []int{1, 1}, strides: []int{2, 2}, dilations: []int{1, 1}, padding: []int{0, 0, 0, 0}},
}

func (c windowCase) pool() op.PoolWindow {
	return op.PoolWindow{Kernel: c.kernel, Strides: c.strides, Dilations: c.dilations, Pads: c.padding, Ceil: c.ceil}
}

func TestPool(t *testing.T) {
	for _, c := range windows {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			d := open(t)
			w, planes := windowOf(d, c.pool(), c.shape), c.shape[0]*c.shape[1]
			x := d.normal(count(c.shape...))
			dy := d.normal(planes * count(w.Out[:]...))
			px, pdy := upload(d, x), upload(d, dy)
			in := doubles(x, c.shape...)

			o := op.MaxPool{PoolWindow: c.pool()}
			y := d.result(len(dy), func(y driver.Ptr) error { return kernels.MaxPool(d.q, w, px, y, planes) })
			d.close("max", y, d.want(o, in), 0)
			py := upload(d, y)
			dx := d.result(len(x), func(dx driver.Ptr) error { return kernels.MaxPoolGrad(d.q, w, px, py, pdy, dx, planes) })
			d.close("max dx", dx, d.gradient(o, 0, dy, in), 1e-6)

			for _, pads := range []bool{false, true} {
				o := op.AveragePool{PoolWindow: c.pool(), CountPads: pads}
				y := d.result(len(dy), func(y driver.Ptr) error { return kernels.AveragePool(d.q, w, pads, px, y, planes) })
				d.close("average", y, d.want(o, in), 1e-6)
				dx := d.result(len(x), func(dx driver.Ptr) error { return kernels.AveragePoolGrad(d.q, w, pads, pdy, dx, planes) })
				d.close("average dx", dx, d.gradient(o, 0, dy, in), 1e-6)
			}
		})
	}
}

// TestMaxPoolGradOfTies: the first largest element takes the cotangent.
func TestMaxPoolGradOfTies(t *testing.T) {
	d := open(t)
	w := windowOf(d, op.PoolWindow{Kernel: []int{2, 2}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}}, []int{1, 1, 2, 3})
	x, y, dy := upload(d, []float32{1, 2, 2, 2, 0, 2}), upload(d, []float32{2, 2}), upload(d, []float32{3, 5})
	dx := d.result(6, func(dx driver.Ptr) error { return kernels.MaxPoolGrad(d.q, w, x, y, dy, dx, 1) })
	if want := []float32{0, 8, 0, 0, 0, 0}; !slices.Equal(dx, want) {
		t.Errorf("%v, expected %v", dx, want)
	}
}

func TestConvolution(t *testing.T) {
	for _, c := range windows {
		for _, groups := range []struct{ channels, filters, groups int }{{3, 4, 1}, {4, 6, 2}, {3, 3, 3}, {2, 4, 2}} {
			if c.ceil {
				continue
			}
			c.shape = slices.Clone(c.shape)
			c.shape[1] = groups.channels
			t.Run(fmt.Sprint(c, groups), func(t *testing.T) { testConvolution(t, c, groups.filters, groups.groups) })
		}
	}
}

func testConvolution(t *testing.T, c windowCase, filters, groups int) {
	d := open(t)
	k := kernels.Convolution{Window: windowOf(d, c.pool(), c.shape), Images: c.shape[0], Channels: c.shape[1], Filters: filters, Groups: groups}
	o := op.Conv{Kernel: c.kernel, Strides: c.strides, Dilations: c.dilations, Pads: c.padding, Group: groups}
	shape := append([]int{filters, c.shape[1] / groups}, c.kernel...)
	x, w, bias := d.normal(count(c.shape...)), d.normal(count(shape...)), d.normal(filters)
	dy := d.normal(c.shape[0] * filters * count(k.Out[:]...))
	in := []op.Array{doubles(x, c.shape...), doubles(w, shape...), doubles(bias, filters)}
	px, pw, pb, pdy, work := upload(d, x), upload(d, w), upload(d, bias), upload(d, dy), d.memory(k.Work())
	y := d.result(len(dy), func(y driver.Ptr) error { return k.Forward(d.q, driver.FP32, px, pw, pb, y, work) })
	d.close("y", y, d.want(o, in...), 2e-6)
	if count(k.Taps[:]...) > 4 && groups == 1 {
		return // the differences take long
	}
	dx := d.result(len(x), func(dx driver.Ptr) error { return k.InputGrad(d.q, driver.FP32, pw, pdy, dx, work) })
	d.close("dx", dx, d.gradient(o, 0, dy, in...), 1e-5)
	dw := d.result(len(w), func(dw driver.Ptr) error { return k.FilterGrad(d.q, driver.FP32, px, pdy, dw, work) })
	want := d.gradient(o, 1, dy, in...)
	d.close("dw", dw, want, 1e-5)
	k.Round = 1
	work = d.memory(k.Work())
	dw = d.result(len(w), func(dw driver.Ptr) error { return k.FilterGrad(d.q, driver.FP32, px, pdy, dw, work) })
	d.close("dw in rounds", dw, want, 1e-5)
	again := d.result(len(dy), func(y driver.Ptr) error { return k.Forward(d.q, driver.FP32, px, pw, pb, y, work) })
	d.close("y in rounds", again, d.want(o, in...), 2e-6)
	dx = d.result(len(x), func(dx driver.Ptr) error { return k.InputGrad(d.q, driver.FP32, pw, pdy, dx, work) })
	d.close("dx in rounds", dx, d.gradient(o, 0, dy, in...), 1e-5)
}

// TestPatches: the matrix of patches as a Move, then a product, is PatchEmbedding.
func TestPatches(t *testing.T) {
	d := open(t)
	const n, c, h, w, size, m = 2, 3, 9, 8, 4, 5
	x, filters := d.normal(n*c*h*w), d.normal(m*c*size*size)
	shape := []int{n, h / size, w / size, c, size, size}
	from := kernels.Placement{Array: kernels.Float32(upload(d, x)), Strides: []int{c * h * w, size * w, size, h * w, w, 1}}
	rows, width := n*(h/size)*(w/size), c*size*size
	patches, pf := d.memory(int64(4*rows*width)), upload(d, filters)
	y := d.result(rows*m, func(y driver.Ptr) error {
		if err := kernels.Move(d.q, shape, kernels.Contiguous(kernels.Float32(patches), shape), from); err != nil {
			return err
		}
		return d.Gemm(driver.FP32, rows, m, width, 1, driver.Matrix{Data: patches, Lead: width}, driver.Matrix{Data: pf, Lead: width, Trans: true}, 0, driver.Matrix{Data: y, Lead: m})
	})
	d.close("y", y, d.want(op.PatchEmbedding{Kernel: []int{size, size}}, doubles(x, n, c, h, w), doubles(filters, m, c, size, size)), 2e-6)
}
