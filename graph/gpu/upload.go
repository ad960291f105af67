//go:build gpu && linux && cgo

package gpu

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/nn"
)

const (
	// Up to so many bytes the driver takes over at once; with more it would wait for
	// the device, and copy slowly.
	directUpload = 64 << 10
	// stageBytes is the size of a piece of a larger upload, and of each stage.
	stageBytes = 16 << 20
	// copiers write a stage: one alone is slower than the bus.
	copiers = 4
)

// UploadCoded copies bytes from the host, and decodes them on the device.
func (d *Device) UploadCoded(dst nn.Memory, src []byte, code *nn.Code) error {
	p, n := floatsOf(dst)
	if len(src) > n || len(src)%(code.Run*len(code.Values)) != 0 {
		panic(fmt.Sprintf("gpu: %d bytes of %d channels, %d a run, for room of %d", len(src), len(code.Values), code.Run, n))
	}
	var values []float32
	for i := range code.Values {
		values = append(values, code.Values[i][:]...)
	}
	table := driver.Bytes(values)
	work, err := d.scratch(int64(len(table) + len(src)))
	if err != nil {
		return err
	}
	if err := d.upload(work, table); err != nil {
		return err
	}
	bytes := work + driver.Ptr(len(table))
	if err := d.upload(bytes, src); err != nil {
		return err
	}
	return kernels.Decode(d.queue, bytes, work, p, len(src)/code.Run, len(code.Values), code.Run)
}

// stages are pinned memory of the host that uploads pass through. While the device
// copies out of one, the next is written.
type stages struct {
	all  [2]stage
	turn int
}

// stage is a piece of pinned memory.
type stage struct {
	memory []byte
	copied *driver.Event // the device has read what was uploaded last
	used   bool
}

// upload copies to the device, after what is in its queue. src is read when it
// returns.
func (d *Device) upload(to driver.Ptr, src []byte) error {
	for len(src) > directUpload {
		s := &d.stages.all[d.stages.turn]
		if err := s.prepare(d.driver); err != nil {
			break // pinned memory is scarce, and not needed
		}
		n := min(len(src), len(s.memory))
		if err := s.send(d.driver, to, src[:n]); err != nil {
			return err
		}
		to, src = to+driver.Ptr(n), src[n:]
		d.stages.turn = (d.stages.turn + 1) % len(d.stages.all)
	}
	return d.driver.Upload(to, src)
}

// prepare allocates the stage at its first use.
func (s *stage) prepare(dev *driver.Device) (err error) {
	if s.memory != nil {
		return nil
	}
	copied, err := dev.NewEvent()
	if err != nil {
		return err
	}
	if s.memory, err = dev.AllocHost(stageBytes); err != nil {
		return cmp.Or(err, copied.Close())
	}
	s.copied = copied
	return nil
}

// send copies src, which fits, to the device.
func (s *stage) send(dev *driver.Device, to driver.Ptr, src []byte) error {
	if s.used {
		if err := s.copied.Sync(); err != nil {
			return err
		}
	}
	var wait sync.WaitGroup
	part := (len(src) + copiers - 1) / copiers
	for lo := 0; lo < len(src); lo += part {
		hi := min(lo+part, len(src))
		wait.Go(func() { copy(s.memory[lo:hi], src[lo:hi]) })
	}
	wait.Wait()
	if err := dev.Upload(to, s.memory[:len(src)]); err != nil {
		return err
	}
	s.used = true
	return dev.Record(s.copied)
}

// close gives the memory back. The device has nothing more to do.
func (s *stages) close(dev *driver.Device) error {
	var first error
	for _, s := range s.all {
		if s.memory != nil {
			first = cmp.Or(first, s.copied.Close(), dev.FreeHost(s.memory))
		}
	}
	*s = stages{}
	return first
}
