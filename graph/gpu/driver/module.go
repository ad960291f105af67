//go:build gpu && linux && cgo

package driver

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"gorgonia.org/cu"
)

// Module is a set of kernels on a device.
type Module struct {
	device *Device
	module cu.Module
}

// Function is a kernel.
type Function struct {
	name     string
	function cu.Function
}

// Codes that Load can explain.
const (
	invalidImage          = 200
	noBinaryForGPU        = 209
	invalidPTX            = 218
	unsupportedPTXVersion = 222
)

// Load has the driver compile PTX for the device. The driver keeps what it compiled in a cache on disk.
func (d *Device) Load(ptx []byte) (*Module, error) {
	m := &Module{device: d}
	log := make([]byte, 8<<10)
	err := d.do("cuModuleLoadDataEx", func() (err error) {
		m.module, err = cu.LoadDataEx(string(ptx), &cu.JITErrorLogBuffer{Buffer: log})
		return err
	})
	var e *Error
	if errors.As(err, &e) {
		e.Detail += d.explain(e.Code)
		if text, _, _ := bytes.Cut(log, []byte{0}); len(text) > 0 {
			e.Detail += ": " + strings.TrimSpace(string(text))
		}
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// explain says what the device and its driver are, if that may be why they do not take a PTX.
func (d *Device) explain(code int) string {
	switch code {
	case unsupportedPTXVersion:
		return fmt.Sprintf("; the driver serves CUDA %s, too old for these kernels: update it", versionString(d.info.DriverVersion))
	case invalidImage, noBinaryForGPU, invalidPTX:
		return fmt.Sprintf("; the GPU has compute capability %d.%d", d.info.Major, d.info.Minor)
	}
	return ""
}

// Function returns the kernel of that name.
func (m *Module) Function(name string) (*Function, error) {
	f := &Function{name: name}
	err := m.device.do("cuModuleGetFunction", func() (err error) {
		f.function, err = m.module.Function(name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	return f, nil
}

// Unload takes the kernels off the device.
func (m *Module) Unload() error {
	return m.device.do("cuModuleUnload", func() error { return m.module.Unload() })
}
