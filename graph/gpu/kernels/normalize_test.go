//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

func TestNormalize(t *testing.T) {
	for _, size := range [][2]int{{0, 4}, {1, 1}, {3, 31}, {9, 96}, {5, 100}, {9, 1024}, {3, 1028}, {300, 5}} {
		for _, centred := range []bool{true, false} {
			t.Run(fmt.Sprint(size, centred), func(t *testing.T) { testNormalize(t, size[0], size[1], centred) })
		}
	}
}

func testNormalize(t *testing.T, rows, d int, centred bool) {
	dev := open(t)
	m := kernels.Moments{Epsilon: 1e-3, Centred: centred}
	n := rows * d
	x, scale, bias, dy := dev.normal(n), dev.normal(d), dev.normal(d), dev.normal(n)
	px, ps, pb, pdy := upload(dev, x), upload(dev, scale), upload(dev, bias), upload(dev, dy)
	in := []op.Array{doubles(x, rows, d), doubles(scale, d)}
	var o op.Op = op.RMSNormalization{Axis: 1, Epsilon: m.Epsilon}
	if centred {
		o = op.LayerNormalization{Axis: 1, Epsilon: m.Epsilon}
		want := dev.want(o, append(in, doubles(bias, d))...)
		dev.close("with bias", dev.result(n, func(y driver.Ptr) error {
			return kernels.Normalize(dev.q, m, kernels.Float32(px), ps, pb, kernels.Float32(y), rows, d)
		}), want, 2e-6)
	}
	dev.close("y", dev.result(n, func(y driver.Ptr) error {
		return kernels.Normalize(dev.q, m, kernels.Float32(px), ps, 0, kernels.Float32(y), rows, d)
	}), dev.want(o, in...), 2e-6)
	if n > 1000 {
		return
	}
	dx := dev.result(n, func(dx driver.Ptr) error {
		return kernels.NormalizeGrad(dev.q, m, kernels.Float32(px), ps, kernels.Float32(pdy), kernels.Float32(dx), rows, d)
	})
	dev.close("dx", dx, dev.gradient(o, 0, dy, in...), 1e-5)
	work := dev.memory(kernels.NormalizeScaleGradWork(rows, d))
	ds := dev.result(d, func(ds driver.Ptr) error {
		return kernels.NormalizeScaleGrad(dev.q, m, kernels.Float32(px), kernels.Float32(pdy), kernels.Float32(ds), rows, d, work)
	})
	dev.close("dscale", ds, dev.gradient(o, 1, dy, in...), 1e-5)
}

// TestNormalizeUnaligned: rows that begin where no four neighbours can be read at once.
func TestNormalizeUnaligned(t *testing.T) {
	d := open(t)
	const rows, width = 3, 96
	m := kernels.Moments{Epsilon: 1e-3, Centred: true}
	x, scale, bias := d.normal(rows*width), d.normal(width), d.normal(width)
	aside := func(v []float32) driver.Ptr { return upload(d, append([]float32{0}, v...)) + 4 }
	want := d.want(op.LayerNormalization{Axis: 1, Epsilon: m.Epsilon}, doubles(x, rows, width), doubles(scale, width), doubles(bias, width))
	for name, at := range map[string][3]driver.Ptr{
		"x":     {aside(x), upload(d, scale), upload(d, bias)},
		"scale": {upload(d, x), aside(scale), upload(d, bias)},
		"bias":  {upload(d, x), upload(d, scale), aside(bias)},
	} {
		d.close(name, d.result(len(x), func(y driver.Ptr) error {
			return kernels.Normalize(d.q, m, kernels.Float32(at[0]), at[1], at[2], kernels.Float32(y), rows, width)
		}), want, 2e-6)
	}
}

// TestNormalizeLargeMean: rows that vary little about a large mean.
func TestNormalizeLargeMean(t *testing.T) {
	d := open(t)
	const rows, width = 4, 768
	x := d.normal(rows * width)
	for i := range x {
		x[i] = 1000 + x[i]/64
	}
	scale := make([]float32, width)
	for i := range scale {
		scale[i] = 1
	}
	px, ps := upload(d, x), upload(d, scale)
	y := d.result(len(x), func(y driver.Ptr) error {
		return kernels.Normalize(d.q, kernels.Moments{Epsilon: 1e-6, Centred: true}, kernels.Float32(px), ps, 0, kernels.Float32(y), rows, width)
	})
	d.close("y", y, d.want(op.LayerNormalization{Axis: 1, Epsilon: 1e-6}, doubles(x, rows, width), doubles(scale, width)), 2e-6)
}

func TestBatchNorm(t *testing.T) {
	for _, size := range [][3]int{{2, 3, 5}, {1, 1, 1}, {4, 7, 1}, {0, 2, 3}, {2, 2, 300}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) { testBatchNorm(t, size[0], size[1], size[2]) })
	}
}

func testBatchNorm(t *testing.T, images, channels, area int) {
	const epsilon = 1e-3
	d := open(t)
	n := images * channels * area
	x, dy := d.normal(n), d.normal(n)
	p := [][]float32{d.normal(channels), d.normal(channels), d.normal(channels), d.positive(channels)}
	o, in := op.BatchNormalization{Epsilon: epsilon}, []op.Array{doubles(x, images, channels, area)}
	var at [4]driver.Ptr
	for i := range p {
		at[i] = upload(d, p[i])
		in = append(in, doubles(p[i], channels))
	}
	scale, bias, mean, variance := at[0], at[1], at[2], at[3]
	px, pdy := upload(d, x), upload(d, dy)
	work := d.memory(kernels.BatchNormWork(channels))
	y := d.result(n, func(y driver.Ptr) error {
		return kernels.BatchNorm(d.q, kernels.Float32(px), scale, bias, mean, variance, kernels.Float32(y), images, channels, area, epsilon, work)
	})
	d.close("y", y, d.want(o, in...), 1e-6)
	dx := d.result(n, func(dx driver.Ptr) error {
		return kernels.BatchNormInputGrad(d.q, scale, variance, kernels.Float32(pdy), kernels.Float32(dx), images, channels, area, epsilon, work)
	})
	d.close("dx", dx, d.gradient(o, 0, dy, in...), 1e-5)
	work = d.memory(kernels.BatchNormParameterGradsWork(images, channels))
	for i, name := range []string{"scale", "bias", "mean", "variance"} {
		got := d.result(channels, func(to driver.Ptr) error {
			var out [4]driver.Ptr
			out[i] = to
			return kernels.BatchNormParameterGrads(d.q, kernels.Float32(px), scale, mean, variance, kernels.Float32(pdy), out[0], out[1], out[2], out[3], images, channels, area, epsilon, work)
		})
		d.close(name, got, d.gradient(o, 1+i, dy, in...), 1e-5)
	}
}
