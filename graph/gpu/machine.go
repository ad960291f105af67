//go:build gpu && linux && cgo

package gpu

import (
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

var _ exec.Device = (*Device)(nil)

// Arena returns memory that arrays can be placed in.
func (d *Device) Arena(bytes int64) (exec.Arena, error) {
	m, err := d.alloc(bytes)
	if err != nil {
		return nil, err
	}
	return arena{d, m}, nil
}

type arena struct {
	device *Device
	memory Memory
}

// Data is the piece of memory of an array. In BF16 a factor is held as products
// read it.
func (a arena) Data(t op.Type, offset int64, factor bool) any {
	return Memory{a.memory.address + driver.Ptr(offset), bytesOf(t), factor && floats(t) && a.device.precision == driver.BF16}
}

// Free ignores errors: memory of a lost device cannot be freed.
func (a arena) Free() { a.device.free(a.memory) }

// Share copies a host's array to the device, until it is closed.
func (d *Device) Share(a op.Array) (op.Array, error) {
	m, err := d.alloc(bytesOf(a.Type))
	if err != nil {
		return op.Array{}, err
	}
	shared := op.Array{Type: a.Type, Data: m}
	if err := d.Update(shared, a); err != nil {
		_ = d.free(m) // the first error says more
		return op.Array{}, err
	}
	d.shared = append(d.shared, m)
	return shared, nil
}

// Update copies a host's array to one of the same type on the device.
func (d *Device) Update(dst, src op.Array) error { return d.upload(address(dst), bytes(src)) }

// SetCancel has operations that run on the host stop early once done is closed.
func (d *Device) SetCancel(done <-chan struct{}) { d.host.SetCancel(done) }

// Forward puts the computation of an operation into the device's queue, or
// computes it on the host and returns when that is done. The arrays are in the
// device's memory, out apart from the operands.
func (d *Device) Forward(o exec.Operation, out op.Array, in []op.Array) error {
	d.types, d.addresses, d.bfloat16 = d.types[:0], d.addresses[:0], d.bfloat16[:0]
	for _, a := range in {
		d.types, d.addresses = append(d.types, a.Type), append(d.addresses, address(a))
		d.bfloat16 = append(d.bfloat16, a.Data.(Memory).bfloat16)
	}
	s := site{out: out.Type, in: d.types, bfloat16: d.bfloat16, precision: d.precision}
	var l *launch
	switch o := o.(type) {
	case op.View:
		return d.driver.Copy(address(out), address(in[0]), bytesOf(out.Type))
	case exec.Sum:
		s.op = op.Add{}
		l = launchOf(s)
	case exec.LinearAdd:
		s.op = o.Linear
		l = linearAdd(s)
	case op.Op:
		s.op = o
		l = launchOf(s)
	}
	if slices.Contains(d.bfloat16, true) && !readsBFloat16(s.op) {
		return fmt.Errorf("gpu: %s reads a factor of products", o.Name())
	}
	if l == nil {
		return d.onHost(o, out, in)
	}
	if out.Data.(Memory).bfloat16 {
		l = rounded(s, l)
	}
	work, err := d.scratch(l.work)
	if err != nil {
		return err
	}
	if err := l.run(call{d.queue, address(out), d.addresses, work}); err != nil {
		return d.explain(err)
	}
	return nil
}

// readsBFloat16 reports whether an operation reads what exec.Arena calls a factor.
func readsBFloat16(o op.Op) bool {
	switch o.(type) {
	case op.Linear, op.MatMul, op.SumTo:
		return true
	}
	return false
}

// onHost computes an operation on the host.
func (d *Device) onHost(o exec.Operation, out op.Array, in []op.Array) error {
	operands := make([]op.Array, len(in))
	for i, a := range in {
		operands[i] = op.NewArray(a.Type)
		if err := d.driver.Download(bytes(operands[i]), address(a)); err != nil {
			return err
		}
	}
	if err := d.driver.Sync(); err != nil {
		return err
	}
	result := op.NewArray(out.Type)
	o.Forward(d.host, result, operands)
	if !out.Data.(Memory).bfloat16 {
		return d.upload(address(out), bytes(result))
	}
	work, err := d.scratch(bytesOf(out.Type))
	if err != nil {
		return err
	}
	if err := d.upload(work, bytes(result)); err != nil {
		return err
	}
	return kernels.ToBFloat16(d.queue, work, address(out), out.Elements())
}
