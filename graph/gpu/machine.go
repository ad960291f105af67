//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

var _ exec.Device = (*Device)(nil)

// BFloat16 reports whether the device computes in BF16.
func (d *Device) BFloat16() bool { return d.precision == driver.BF16 }

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

// Data is the piece of memory of an array.
func (a arena) Data(t op.Type, offset int64, bfloat16 bool) any {
	m := Memory{a.memory.address + driver.Ptr(offset), bytesOf(t), bfloat16}
	if bfloat16 {
		m.bytes /= 2
	}
	return m
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

// Update copies a host's array to one of the same type on the device, rounded if
// that is held in bfloat16.
func (d *Device) Update(dst, src op.Array) error {
	to := dst.Data.(Memory).array()
	if !to.BFloat16 {
		return d.upload(to.Data, bytes(src))
	}
	work, err := d.scratch(bytesOf(src.Type))
	if err != nil {
		return err
	}
	if err := d.upload(work, bytes(src)); err != nil {
		return err
	}
	return kernels.Convert(d.queue, kernels.Float32(work), to, src.Elements())
}

// SetCancel has operations that run on the host stop early once done is closed.
func (d *Device) SetCancel(done <-chan struct{}) { d.host.SetCancel(done) }

// Forward puts the computation of an operation into the device's queue, or
// computes it on the host and returns when that is done. The arrays are in the
// device's memory, out apart from the operands.
func (d *Device) Forward(o exec.Operation, out op.Array, in []op.Array) error {
	d.types, d.arrays, d.bfloat16 = d.types[:0], d.arrays[:0], d.bfloat16[:0]
	for _, a := range in {
		x := a.Data.(Memory).array()
		d.types, d.arrays, d.bfloat16 = append(d.types, a.Type), append(d.arrays, x), append(d.bfloat16, x.BFloat16)
	}
	if err := d.roundConstants(o); err != nil {
		return d.explain(err)
	}
	y := out.Data.(Memory).array()
	s := site{out: out.Type, in: d.types, bfloat16: d.bfloat16, outBFloat16: y.BFloat16, precision: d.precision}
	var l *launch
	switch o := o.(type) {
	case op.View:
		l = view(s)
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
	if l == nil {
		return d.onHost(o, out, in)
	}
	work, err := d.scratch(l.work)
	if err != nil {
		return err
	}
	if err := l.run(call{d.queue, y, d.arrays, work}); err != nil {
		return d.explain(err)
	}
	return nil
}

// onHost computes an operation on the host.
func (d *Device) onHost(o exec.Operation, out op.Array, in []op.Array) error {
	operands := make([]op.Array, len(in))
	for i, a := range in {
		operands[i] = op.NewArray(a.Type)
		if err := d.DownloadArray(operands[i], a); err != nil {
			return err
		}
	}
	result := op.NewArray(out.Type)
	o.Forward(d.host, result, operands)
	return d.Update(out, result)
}
