//go:build gpu && linux && cgo

package gpu

import (
	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

// constant is imported memory, which nobody writes to. As a factor of products in BF16 it
// is rounded once instead of for each of them.
type constant struct {
	elements int
	rounded  Memory // none before the first product, and where there is no room
	full     bool   // there is no room
}

// imported notes memory that will not be written to.
func (d *Device) imported(m Memory) {
	if d.precision == driver.BF16 && m.address != 0 {
		d.constants[m.address] = &constant{elements: int(m.bytes / floatBytes)}
	}
}

// forget gives back what is kept beside memory that is freed.
func (d *Device) forget(m Memory) {
	if c := d.constants[m.address]; c != nil {
		delete(d.constants, m.address)
		_ = d.free(c.rounded) // as Free does
	}
}

// roundConstants puts the rounded copies of constants in the places of those operands of
// an operation that are factors of products.
func (d *Device) roundConstants(o exec.Operation) error {
	first, last := factors(o)
	for i := first; i < last; i++ {
		x := d.arrays[i]
		c := d.constants[x.Data]
		if x.BFloat16 || c == nil || c.full {
			continue
		}
		if c.rounded.address == 0 {
			m, err := d.alloc(int64(bfloat16Bytes * c.elements))
			if c.full = err != nil; c.full {
				continue
			}
			c.rounded = Memory{m.address, m.bytes, true}
			if err := kernels.Convert(d.queue, x, c.rounded.array(), c.elements); err != nil {
				return err
			}
		}
		d.arrays[i], d.bfloat16[i] = c.rounded.array(), true
	}
	return nil
}

// factors are the operands, from first to last, that an operation only multiplies with, in
// the precision of products.
func factors(o exec.Operation) (first, last int) {
	switch o := o.(type) {
	case op.Linear, exec.LinearAdd, op.MatMul:
		return 0, 2
	case op.PatchEmbedding:
		return 1, 2
	case op.PatchGradient:
		if !o.Filters {
			return 0, 1
		}
	}
	return 0, 0
}
