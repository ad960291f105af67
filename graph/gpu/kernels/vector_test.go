//go:build gpu && linux && cgo

package kernels_test

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

var lengths = []int{0, 1, 257, 3001}

// TestVectors: the same bits as the loops of diag and pol.
func TestVectors(t *testing.T) {
	d := open(t)
	for _, n := range lengths {
		base, buffer := d.normal(n), d.normal(n)
		var s [4][]float32
		var ps [4]driver.Ptr
		for i := range s {
			s[i] = d.normal(n)
			ps[i] = upload(d, s[i])
		}
		pb := upload(d, base)
		c := [4]float64{0.1, -0.7, 1.3, 0.01}
		want := make([]float32, n)
		for i := range want {
			want[i] = float32(float64(base[i]) + (c[0]*float64(s[0][i]) + c[1]*float64(s[1][i])) + (c[2]*float64(s[2][i]) + c[3]*float64(s[3][i])))
		}
		same(d, "combine", d.result(n, func(y driver.Ptr) error { return kernels.Combine(d.q, y, pb, ps, c, n) }), want)
		for i := range want {
			want[i] = float32(float64(base[i]) + c[0]*float64(s[0][i]))
		}
		same(d, "combine one", d.result(n, func(y driver.Ptr) error {
			return kernels.Combine(d.q, y, pb, [4]driver.Ptr{ps[0]}, [4]float64{c[0]}, n)
		}), want)
		same(d, "axpy", d.result(n, func(y driver.Ptr) error {
			if err := d.Copy(y, pb, int64(4*n)); err != nil {
				return err
			}
			return kernels.Axpy(d.q, c[0], ps[0], y, n)
		}), want)
		for i := range want {
			want[i] = float32(c[1] * float64(base[i]))
		}
		same(d, "scale", d.result(n, func(y driver.Ptr) error {
			if err := d.Copy(y, pb, int64(4*n)); err != nil {
				return err
			}
			return kernels.Scale(d.q, c[1], y, n)
		}), want)

		o := kernels.SGD{Rate: 0.1, Momentum: 0.9, Decay: 1e-3}
		const scale = 0.25
		moved := make([]float32, n)
		for i, x := range base {
			q := scale*float64(s[0][i]) + o.Decay*float64(x)
			m := o.Momentum*float64(buffer[i]) + q
			want[i] = float32(m)
			moved[i] = float32(float64(x) - o.Rate*(q+o.Momentum*m))
		}
		var buffers driver.Ptr
		same(d, "sgd", d.result(n, func(w driver.Ptr) error {
			buffers = upload(d, buffer)
			if err := d.Copy(w, pb, int64(4*n)); err != nil {
				return err
			}
			return o.Step(d.q, w, buffers, ps[0], scale, n)
		}), moved)
		same(d, "momentum", download[float32](d, buffers, n), want)
	}
}

func same(d *device, what string, got, want []float32) {
	d.Helper()
	if !slices.Equal(got, want) {
		d.Errorf("%s of %d elements: %v, expected %v", what, len(want), got, want)
	}
}

func TestDot(t *testing.T) {
	d := open(t)
	for _, n := range append(lengths, 100_000) {
		x, y := d.normal(n), d.normal(n)
		px, py, work := upload(d, x), upload(d, y), d.memory(kernels.DotWork(n))
		dot, sum := 0.0, 0.0
		for i := range x {
			dot += float64(x[i]) * float64(y[i])
			sum += float64(x[i])
		}
		for _, c := range []struct {
			y    driver.Ptr
			want float64
		}{{py, dot}, {0, sum}} {
			if n == 0 {
				px = d.memory(4)
			}
			got := result[float64](d, 1, func(to driver.Ptr) error { return kernels.Dot(d.q, px, c.y, to, n, work) })
			if math.Abs(got[0]-c.want) > 1e-12*math.Sqrt(float64(n)+1)*10 {
				t.Errorf("%d elements: %v, expected %v", n, got[0], c.want)
			}
		}
	}
}
