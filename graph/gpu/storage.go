//go:build gpu && linux && cgo

package gpu

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/nn"
)

var _ nn.Device = (*Device)(nil)

// floatsOf is a memory of float32 and the number of its elements.
func floatsOf(m nn.Memory) (driver.Ptr, int) {
	piece := m.(Memory)
	if piece.bfloat16 {
		panic("gpu: memory of bfloat16, which only steps of plans read")
	}
	return piece.address, int(piece.bytes / floatBytes)
}

// Alloc returns memory of n elements, all zero.
func (d *Device) Alloc(n int) (nn.Memory, error) {
	m, err := d.alloc(int64(floatBytes * n))
	if err != nil {
		return nil, err
	}
	if err := d.driver.Clear(m.address, m.bytes); err != nil {
		_ = d.free(m) // the first error says more
		return nil, err
	}
	return m, nil
}

// Import returns memory with a copy of the values, which is not to be written to.
func (d *Device) Import(values []float32) (nn.Memory, error) {
	m, err := d.alloc(int64(floatBytes * len(values)))
	if err != nil {
		return nil, err
	}
	if err := d.upload(m.address, driver.Bytes(values)); err != nil {
		_ = d.free(m) // the first error says more
		return nil, err
	}
	d.imported(m)
	return m, nil
}

// Free gives memory back. Errors are ignored: memory of a lost device cannot be
// freed.
func (d *Device) Free(m nn.Memory) {
	if m != nil {
		d.forget(m.(Memory))
		d.free(m.(Memory))
	}
}

// Slice is a part of a memory, in place.
func (*Device) Slice(m nn.Memory, lo, hi int) nn.Memory {
	p, n := floatsOf(m)
	if lo < 0 || lo > hi || hi > n {
		panic(fmt.Sprintf("gpu: elements %d to %d of %d", lo, hi, n))
	}
	return Memory{address: at(p, lo), bytes: int64(floatBytes * (hi - lo))}
}

// InPlace is nil: the host cannot read a device's memory.
func (*Device) InPlace(nn.Memory) []float32 { return nil }

// Upload copies from the host.
func (d *Device) Upload(dst nn.Memory, src []float32) error {
	p, n := floatsOf(dst)
	if len(src) > n {
		panic(fmt.Sprintf("gpu: %d elements for room of %d", len(src), n))
	}
	return d.upload(p, driver.Bytes(src))
}

// Download copies to the host, once what was computed before is done.
func (d *Device) Download(dst []float32, src nn.Memory) error {
	p, n := floatsOf(src)
	if len(dst) > n {
		panic(fmt.Sprintf("gpu: %d elements of %d", len(dst), n))
	}
	if err := d.driver.Download(driver.Bytes(dst), p); err != nil {
		return err
	}
	return d.driver.Sync()
}

// Copy copies all of src. Where they overlap it takes scratch memory of that size.
func (d *Device) Copy(dst, src nn.Memory) error {
	to, n := floatsOf(dst)
	from, count := floatsOf(src)
	if count > n {
		panic(fmt.Sprintf("gpu: %d elements for room of %d", count, n))
	}
	bytes := int64(floatBytes * count)
	if to == from {
		return nil
	}
	if to < at(from, count) && from < at(to, count) {
		work, err := d.scratch(bytes)
		if err != nil {
			return err
		}
		if err := d.driver.Copy(work, from, bytes); err != nil {
			return err
		}
		from = work
	}
	return d.driver.Copy(to, from, bytes)
}

// Gather copies rows of src.
func (d *Device) Gather(dst, src nn.Memory, rows []int, size int) error {
	to, _ := floatsOf(dst)
	from, n := floatsOf(src)
	index := make([]int64, len(rows))
	for i, row := range rows {
		index[i] = int64(row)
	}
	work, err := d.scratch(int64(8 * len(index)))
	if err != nil {
		return err
	}
	if err := d.driver.Upload(work, driver.Bytes(index)); err != nil {
		return err
	}
	return kernels.Gather(d.queue, kernels.Float32(from), work, kernels.Float32(to), 1, n/max(size, 1), size, len(rows))
}
