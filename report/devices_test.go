package report

import (
	"bytes"
	"testing"
)

// machines are devices as two machines have them.
func machines() map[string]*Devices {
	return map[string]*Devices{
		"devices": {
			CPU: CPU{Architecture: "amd64", Kernels: "avx512", Threads: 16},
			GPUs: []GPU{
				{Ordinal: 0, Name: "NVIDIA H100 80GB HBM3", Memory: 85_017_493_504, Capability: "9.0", Driver: "13.0", CUBLAS: "13.1", Library: "libcuda.so.1"},
				{Ordinal: 1, Name: "Tesla T4", Memory: 15_642_329_088, Capability: "7.5", Driver: "13.0", Library: "libcuda.so.1"},
			},
		},
		"devices-none": {
			CPU:   CPU{Architecture: "arm64", Kernels: "plain", Threads: 1},
			GPUs:  []GPU{},
			NoGPU: "libcuda.so.1 cannot be loaded: no such file\x1b[31m; install the NVIDIA driver",
		},
	}
}

func TestDevicesGolden(t *testing.T) {
	for name, d := range machines() {
		checkGolden(t, map[string]func(*bytes.Buffer) error{
			name + ".txt":  func(b *bytes.Buffer) error { return Write(b, d, "text", Style{}) },
			name + ".json": func(b *bytes.Buffer) error { return Write(b, d, "json", Style{}) },
		})
	}
}
