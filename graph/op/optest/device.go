//go:build gpu && linux && cgo

package optest

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// device is what operations are compared on.
type device struct {
	*gpu.Device
	*testing.T
}

func openDevice(t *testing.T) device {
	t.Helper()
	fake.Use(t)
	d, err := gpu.Open(gpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return device{d, t}
}

func (d device) close() {
	d.Helper()
	d.do(d.Close())
	if n := fake.Count(fake.Leaked); n > 0 && !d.Failed() {
		d.Errorf("%d allocations of device memory were not freed", n)
	}
}

// Device computes an operation on the device and compares it with the CPU's
// result for the same operands.
func Device(t *testing.T, o op.Op, want op.Array, in ...op.Array) {
	t.Helper()
	d := openDevice(t)
	defer d.close()
	d.compare(o, want, in)
}

func (d device) compare(o op.Op, want op.Array, in []op.Array) {
	d.Helper()
	operands := make([]op.Array, len(in))
	for i, a := range in {
		operands[i] = d.array(a.Type)
		defer d.FreeArray(operands[i])
		d.do(d.Update(operands[i], a))
	}
	out := d.array(want.Type)
	defer d.FreeArray(out)
	d.do(d.Forward(o, out, operands))
	got := op.NewArray(want.Type)
	d.do(d.DownloadArray(got, out))
	CloseTo(d.T, fmt.Sprintf("%s %+v on the device", o.Name(), o), got.AsFloats(), want.AsFloats(), DeviceTolerance)
}

func (d device) array(t op.Type) op.Array {
	d.Helper()
	a, err := d.NewArray(t)
	d.do(err)
	return a
}

func (d device) do(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// checkDevice compares every operation of a chain and of its gradient, in float32.
func checkDevice(t *testing.T, build func(p *op.Program, in []*op.Value) (*op.Value, error), inputs []op.Array, wanted []int) {
	t.Helper()
	single := make([]op.Array, len(inputs))
	for i, a := range inputs {
		single[i] = Float32(a)
	}
	g := differentiate(t, build, single, wanted)
	d := openDevice(t)
	defer d.close()
	evaluate(g.graph, g.feeds, func(o op.Op, out op.Array, in []op.Array) { d.compare(o, out, in) }, append(g.grads, g.out))
}
