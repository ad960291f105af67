//go:build gpu && linux && cgo

package optest

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// forward computes o on a device.
func forward(t testing.TB, on testdevice.Device, o op.Op, out op.Array, in []op.Array) {
	t.Helper()
	d := on.(*gpu.Device)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	array := func(u op.Type) op.Array {
		t.Helper()
		a, err := d.NewArray(u)
		do(err)
		return a
	}
	operands := make([]op.Array, len(in))
	for i, a := range in {
		operands[i] = array(a.Type)
		defer d.FreeArray(operands[i])
		do(d.Update(operands[i], a))
	}
	result := array(out.Type)
	defer d.FreeArray(result)
	do(d.Forward(o, result, operands))
	do(d.DownloadArray(out, result))
}

// download returns a device's array on the host.
func download(t testing.TB, on testdevice.Device, a op.Array) op.Array {
	t.Helper()
	b := op.NewArray(a.Type)
	if err := on.(*gpu.Device).DownloadArray(b, a); err != nil {
		t.Fatal(err)
	}
	return b
}
