//go:build gpu && linux && cgo

package kernels_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// device is a device with the kernels, for one test.
type device struct {
	*driver.Device
	testing.TB
	q   kernels.Queue
	rng *rand.Rand
}

func open(t testing.TB) *device {
	d := &device{Device: fake.Open(t), TB: t, rng: rand.New(rand.NewPCG(1, 2))}
	k, err := kernels.Load(d.Device)
	if err != nil {
		t.Fatal(err)
	}
	d.q = k.On(d.Stream)
	return d
}

// memory allocates bytes until the test ends.
func (d *device) memory(bytes int64) driver.Ptr {
	d.Helper()
	if bytes == 0 {
		return 0
	}
	p, err := d.Alloc(bytes)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { d.Free(p) })
	return p
}

// upload copies numbers to the device until the test ends.
func upload[T ~uint8 | ~uint16 | ~int32 | ~int64 | ~float32 | ~float64](d *device, x []T) driver.Ptr {
	d.Helper()
	p := d.memory(int64(len(driver.Bytes(x))))
	if err := d.Upload(p, driver.Bytes(x)); err != nil {
		d.Fatal(err)
	}
	return p
}

func download[T ~uint8 | ~uint16 | ~float32 | ~float64](d *device, p driver.Ptr, n int) []T {
	d.Helper()
	x := make([]T, n)
	if err := d.Download(driver.Bytes(x), p); err != nil {
		d.Fatal(err)
	}
	if err := d.Sync(); err != nil {
		d.Fatal(err)
	}
	return x
}

// result runs f, which writes n elements of type T at the address it is given,
// with the threads in every order, and returns them. They must not depend on
// the order, and f must write them all.
func result[T ~uint8 | ~uint16 | ~float32 | ~float64](d *device, n int, f func(y driver.Ptr) error) []T {
	d.Helper()
	var first []T
	for _, order := range []fake.Order{fake.Forward, fake.Reverse, fake.Shuffled} {
		if !fake.Real() {
			fake.Set(d, fake.Faults{Order: order})
		}
		p := d.memory(int64(len(driver.Bytes(make([]T, n)))))
		if err := f(p); err != nil {
			d.Fatal(err)
		}
		y := download[T](d, p, n)
		if first == nil {
			first = y
		}
		if string(driver.Bytes(y)) != string(driver.Bytes(first)) {
			d.Fatalf("threads in order %d give another result:\n%v\n%v", order, y, first)
		}
	}
	return first
}

// result is result for float32.
func (d *device) result(n int, f func(y driver.Ptr) error) []float32 {
	d.Helper()
	return result[float32](d, n, f)
}

// do runs f and fails the test on its error.
func (d *device) do(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// normal returns n numbers of a normal distribution.
func (d *device) normal(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(d.rng.NormFloat64())
	}
	return x
}

// positive returns n numbers between 0.25 and 4.
func (d *device) positive(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Exp2(4*d.rng.Float64() - 2))
	}
	return x
}

func count(shape ...int) int {
	n := 1
	for _, s := range shape {
		n *= s
	}
	return n
}

// close compares with numbers that are right, to tolerance times the larger of
// 1 and the largest of them.
func (d *device) close(what string, got []float32, want []float64, tolerance float64) {
	d.Helper()
	if len(got) != len(want) {
		d.Fatalf("%s: %d elements, expected %d", what, len(got), len(want))
	}
	scale := 1.0
	for _, v := range want {
		if a := math.Abs(v); a > scale && !math.IsInf(a, 0) {
			scale = a
		}
	}
	for i, v := range got {
		w := want[i]
		if float64(v) == w || math.IsNaN(float64(v)) && math.IsNaN(w) {
			continue
		}
		if diff := math.Abs(float64(v) - w); !(diff <= tolerance*scale) {
			d.Fatalf("%s: element %d of %d is %v, expected %v", what, i, len(got), v, w)
		}
	}
}

// Reference numbers: operations of graph/op in float64.

func doubles(x []float32, shape ...int) op.Array {
	a := op.NewArray(op.Type{DType: onnx.Double, Shape: shape})
	for i := range op.Elem[float64](a) {
		op.Elem[float64](a)[i] = float64(x[i])
	}
	return a
}

func integers(x []int64, shape ...int) op.Array { return op.Ints(x, shape...) }

// forward computes an operation.
func (d *device) forward(o op.Op, in ...op.Array) op.Array {
	d.Helper()
	types := make([]op.Type, len(in))
	for i, a := range in {
		types[i] = a.Type
	}
	t, err := o.Infer(types)
	if err != nil {
		d.Fatalf("%s: %v", o.Name(), err)
	}
	out := op.NewArray(t)
	o.Forward(kernel.NewContext(1), out, in)
	return out
}

func (d *device) want(o op.Op, in ...op.Array) []float64 {
	d.Helper()
	return op.Elem[float64](d.forward(o, in...))
}

// gradient is the cotangent of input k for the result's cotangent dy, by central
// differences in float64.
func (d *device) gradient(o op.Op, k int, dy []float32, in ...op.Array) []float64 {
	d.Helper()
	x := op.Elem[float64](in[k])
	dx := make([]float64, len(x))
	along := func() float64 {
		sum := 0.0
		for i, v := range d.want(o, in...) {
			sum += v * float64(dy[i])
		}
		return sum
	}
	const h = 1e-5
	for i, v := range x {
		x[i] = v + h
		up := along()
		x[i] = v - h
		dx[i] = (up - along()) / (2 * h)
		x[i] = v
	}
	return dx
}
