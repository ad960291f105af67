//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

func TestSoftmax(t *testing.T) {
	for _, size := range [][3]int{{0, 3, 1}, {1, 1, 1}, {5, 7, 1}, {3, 197, 1}, {2, 256, 1}, {2, 257, 1}, {1, 400, 1}, {2, 5, 3}, {1, 33, 70}} {
		for _, logarithm := range []bool{false, true} {
			t.Run(fmt.Sprint(size, logarithm), func(t *testing.T) {
				d := open(t)
				outer, width, inner := size[0], size[1], size[2]
				n := outer * width * inner
				x, dy := d.normal(n), d.normal(n)
				for i := range x {
					x[i] *= 4
				}
				if n > 5 && !logarithm {
					x[2] = float32(math.Inf(-1)) // a masked element
				}
				var o op.Op = op.Softmax{Axis: 1}
				if logarithm {
					o = op.LogSoftmax{Axis: 1}
				}
				px, pdy := upload(d, x), upload(d, dy)
				y := d.result(n, func(y driver.Ptr) error {
					return kernels.Softmax(d.q, kernels.Float32(px), kernels.Float32(y), outer, width, inner, logarithm)
				})
				d.close("y", y, d.want(o, doubles(x, outer, width, inner)), 1e-6)
				if n > 500 {
					return
				}
				py := upload(d, y)
				dx := d.result(n, func(dx driver.Ptr) error {
					return kernels.SoftmaxGrad(d.q, kernels.Float32(py), kernels.Float32(pdy), kernels.Float32(dx), outer, width, inner, logarithm)
				})
				d.close("dx", dx, d.gradient(o, 0, dy, doubles(x, outer, width, inner)), 1e-5)
			})
		}
	}
}

// TestSoftmaxNaN: a row with a NaN or an infinity in it is NaN throughout, and no other.
func TestSoftmaxNaN(t *testing.T) {
	d := open(t)
	for _, width := range []int{1, 40, 300} {
		for _, logarithm := range []bool{false, true} {
			x := d.normal(4 * width)
			x[width/2], x[3*width-1] = float32(math.NaN()), float32(math.Inf(1))
			px := upload(d, x)
			y := d.result(len(x), func(y driver.Ptr) error {
				return kernels.SoftmaxRows(d.q, kernels.Float32(px), kernels.Float32(y), 4, width, width, logarithm)
			})
			for i, v := range y {
				if row := i / width; math.IsNaN(float64(v)) != (row%2 == 0) {
					t.Errorf("width %d, logarithm %v: element %d is %v", width, logarithm, i, v)
				}
			}
		}
	}
}

// TestSoftmaxRows: padded rows, and one of which all is masked.
func TestSoftmaxRows(t *testing.T) {
	d := open(t)
	inf := float32(math.Inf(-1))
	x := []float32{0, 0, 9, inf, inf, 9, 1, 1, float32(math.NaN())}
	px := upload(d, x)
	y := d.result(9, func(y driver.Ptr) error {
		if err := d.Copy(y, px, 36); err != nil {
			return err
		}
		return kernels.SoftmaxRows(d.q, kernels.Float32(y), kernels.Float32(y), 3, 2, 3, false)
	})
	nan := math.NaN()
	d.close("y", y, []float64{0.5, 0.5, 0, nan, nan, 0, 0.5, 0.5, 0}, 1e-7)
	dx := d.result(9, func(dx driver.Ptr) error {
		return kernels.SoftmaxRowsGrad(d.q, kernels.Float32(px), kernels.Float32(px), kernels.Float32(dx), 3, 2, 3, false)
	})
	for _, at := range []int{2, 5, 8} {
		if dx[at] != 0 {
			t.Errorf("element %d between the rows of a gradient is %v", at, dx[at])
		}
	}
}

func TestLoss(t *testing.T) {
	for name, c := range map[string]struct {
		kind      kernels.LossKind
		parameter float64
		of        op.ExampleLoss
	}{
		"cross-entropy":   {kernels.CrossEntropy, 0, op.CrossEntropy{}},
		"label smoothing": {kernels.LabelSmoothing, 0.1, op.LabelSmoothing{Epsilon: 0.1}},
		"focal":           {kernels.Focal, 2, op.Focal{Gamma: 2}},
		"focal 0":         {kernels.Focal, 0, op.Focal{}},
		"margin":          {kernels.Margin, 0, op.Margin{}},
		"soft 0-1":        {kernels.SoftZeroOne, 0.3, op.SoftZeroOne{Weight: 0.3}},
		"soft 0-1 alone":  {kernels.SoftZeroOne, 1, op.SoftZeroOne{Weight: 1}},
	} {
		for _, size := range [][2]int{{0, 3}, {1, 1}, {9, 10}, {5, 100}} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				d := open(t)
				examples, classes := size[0], size[1]
				z, dlosses, labels := d.normal(examples*classes), d.normal(examples), make([]int64, examples)
				for i := range labels {
					labels[i] = d.rng.Int64N(int64(classes))
				}
				if examples > 2 {
					z[int(labels[0])] = 4          // likely
					z[classes+int(labels[1])] = 40 // certain
					z[2*classes+int(labels[2])] = -40
				}
				beta := []float32{0.75}
				pz, pl, pb, pd := upload(d, z), upload(d, labels), upload(d, beta), upload(d, dlosses)
				o := op.Loss{Of: c.of}
				in := []op.Array{doubles(z, examples, classes), integers(labels, examples), doubles(beta, 1)}
				losses := d.result(examples, func(y driver.Ptr) error {
					return kernels.Loss(d.q, c.kind, c.parameter, pz, pl, pb, y, examples, classes)
				})
				d.close("losses", losses, d.want(o, in...), 1e-7)
				dz := d.result(len(z), func(dz driver.Ptr) error {
					return kernels.LossGrad(d.q, c.kind, c.parameter, pz, pl, pb, pd, dz, examples, classes)
				})
				d.close("dz", dz, d.gradient(o, 0, dlosses, in...), 1e-6)
			})
		}
	}
}

func TestLossOfForeignLabel(t *testing.T) {
	d := open(t)
	z, labels, beta := upload(d, d.normal(6)), upload(d, []int64{-1, 3}), upload(d, []float32{1})
	nan := math.NaN()
	losses := d.result(2, func(y driver.Ptr) error { return kernels.Loss(d.q, kernels.CrossEntropy, 0, z, labels, beta, y, 2, 3) })
	d.close("losses", losses, []float64{nan, nan}, 0)
}
