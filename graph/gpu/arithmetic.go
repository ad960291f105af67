//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Clear sets all elements to zero.
func (d *Device) Clear(m nn.Memory) error {
	p, n := floatsOf(m)
	return d.driver.Clear(p, int64(floatBytes*n))
}

// Add adds x to sum.
func (d *Device) Add(sum, x nn.Memory) error {
	to, n := floatsOf(sum)
	from, _ := floatsOf(x)
	return kernels.Axpy(d.queue, 1, from, to, n)
}

// Combine writes base + Σ_k c[k]·x[k] to dst, four terms at a time, each time
// rounded once.
func (d *Device) Combine(dst, base nn.Memory, c []float64, x []nn.Memory) error {
	to, n := floatsOf(dst)
	from, _ := floatsOf(base)
	for first := true; first || len(x) > 0; first = false {
		var vectors [4]driver.Ptr
		var coefficients [4]float64
		k := copy(coefficients[:], c)
		for i, term := range x[:k] {
			vectors[i], _ = floatsOf(term)
		}
		if err := kernels.Combine(d.queue, to, from, vectors, coefficients, n); err != nil {
			return err
		}
		from, c, x = to, c[k:], x[k:]
	}
	return nil
}

// Scale multiplies by c.
func (d *Device) Scale(m nn.Memory, c float64) error {
	p, n := floatsOf(m)
	return kernels.Scale(d.queue, c, p, n)
}

// Dot is start + ⟨a, b⟩, summed in blocks.
func (d *Device) Dot(start float64, a, b nn.Memory) (float64, error) {
	x, n := floatsOf(a)
	y, _ := floatsOf(b)
	return d.dot(start, x, y, n, 0)
}

// dot takes scratch memory from an offset on.
func (d *Device) dot(start float64, x, y driver.Ptr, n int, offset int64) (float64, error) {
	partial := offset + aligned(kernels.DotWork(n))
	work, err := d.scratch(partial + 8)
	if err != nil {
		return 0, err
	}
	result := work + driver.Ptr(partial)
	if err := kernels.Dot(d.queue, x, y, result, n, work+driver.Ptr(offset)); err != nil {
		return 0, err
	}
	var sum [1]float64
	if err := d.driver.Download(driver.Bytes(sum[:]), result); err != nil {
		return 0, err
	}
	return start + sum[0], d.driver.Sync()
}

// SquaredDistance is start + ‖a − b‖², summed in blocks; the differences are
// rounded to float32.
func (d *Device) SquaredDistance(start float64, a, b nn.Memory) (float64, error) {
	x, n := floatsOf(a)
	y, _ := floatsOf(b)
	bytes := aligned(int64(floatBytes * n))
	work, err := d.scratch(bytes + aligned(kernels.DotWork(n)) + 8)
	if err != nil {
		return 0, err
	}
	if err := kernels.Combine(d.queue, work, x, [4]driver.Ptr{y}, [4]float64{-1}, n); err != nil {
		return 0, err
	}
	return d.dot(start, work, work, n, bytes)
}

// SGD makes one step of w.
func (d *Device) SGD(w, b, sum nn.Memory, s nn.SGD) error {
	weights, n := floatsOf(w)
	buffer, _ := floatsOf(b)
	gradient, _ := floatsOf(sum)
	return kernels.SGD{Rate: s.Rate, Momentum: s.Momentum, Decay: s.Decay}.Step(d.queue, weights, buffer, gradient, s.Scale, n)
}
