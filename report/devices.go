package report

import "fmt"

// Devices is the result of the command devices: what models can be run on.
type Devices struct {
	Document
	CPU  CPU   `json:"cpu"`
	GPUs []GPU `json:"gpus"`
	// NoGPU is why there is none; empty where there is one.
	NoGPU Optional `json:"no_gpu"`
}

// CPU is the processor of the host.
type CPU struct {
	Architecture string `json:"architecture"` // as Go names it
	Kernels      string `json:"kernels"`      // the instructions that kernels use: plain, avx2, avx512, neon
	Threads      int    `json:"threads"`
}

// GPU is a graphics processor and the libraries that drive it. Versions of CUDA
// are major.minor.
type GPU struct {
	Ordinal    int      `json:"ordinal"`
	Name       string   `json:"name"`
	Memory     int64    `json:"memory_bytes"`
	Capability string   `json:"compute_capability"`
	Driver     string   `json:"driver_cuda"` // the newest CUDA that the driver serves
	CUBLAS     Optional `json:"cublas"`      // empty where it cannot be loaded: the GPU is not used then
	Library    string   `json:"library"`     // the file of the driver
}

// text lists the devices, a line each.
func (d *Devices) text(p *printer) {
	p.fields("cpu     ", d.CPU.Architecture+" "+d.CPU.Kernels, plural(d.CPU.Threads, "thread"))
	for _, g := range d.GPUs {
		cublas := "no cuBLAS: not used"
		if g.CUBLAS != "" {
			cublas = "cuBLAS " + string(g.CUBLAS)
		}
		label := fmt.Sprintf("gpu %-4d", g.Ordinal)
		p.fields(label, printable(g.Name), size(g.Memory), "compute capability "+g.Capability, "CUDA "+g.Driver, cublas)
	}
	if d.NoGPU != "" {
		p.fields("no gpu  ", printable(string(d.NoGPU)))
	}
}
