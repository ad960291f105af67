//go:build gpu && linux && cgo

package driver

import (
	"errors"
	"strings"
	"testing"
)

func TestOpenSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name      string
		cuda      string // instead of the fake libcuda
		cublas    string
		variables []string
		ordinal   int
		want      []string
	}{
		{name: "no driver", cuda: "/nowhere/libcuda.so.1",
			want: []string{"/nowhere/libcuda.so.1 cannot be loaded: ", "install the NVIDIA driver, or set MODELDOCTOR_LIBCUDA"}},
		{name: "another library", cuda: "libm.so.6", want: []string{"libm.so.6: has no function cuInit"}},
		{name: "no GPU", variables: []string{"FAKE_CUDA_FAIL", "cuInit=100"},
			want: []string{"finds no GPU: cuInit: CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected"}},
		{name: "hidden GPU", variables: []string{"FAKE_CUDA_DEVICES", "0"}, want: []string{"finds no GPU"}},
		{name: "driver does not start", variables: []string{"FAKE_CUDA_FAIL", "cuInit=803"},
			want: []string{"does not start: cuInit: unknown error (803)"}},
		{name: "old driver", variables: []string{"FAKE_CUDA_VERSION", "10020"},
			want: []string{"serves CUDA 10.2; 11.0 or newer is needed: update the driver"}},
		{name: "no such GPU", variables: []string{"FAKE_CUDA_DEVICES", "2"}, ordinal: 2,
			want: []string{"there is no GPU 2: they are numbered from 0 to 1"}},
		{name: "no cuBLAS", cublas: "/nowhere/libcublas.so",
			want: []string{"/nowhere/libcublas.so cannot be loaded: ", "install cuBLAS of CUDA 11 to 13", "set MODELDOCTOR_LIBCUBLAS"}},
		{name: "no context", variables: []string{"FAKE_CUDA_FAIL", "cuDevicePrimaryCtxRetain=2"},
			want: []string{"cuDevicePrimaryCtxRetain: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory"}},
		{name: "no stream", variables: []string{"FAKE_CUDA_FAIL", "cuStreamCreate=719"},
			want: []string{"cuStreamCreate: CUDA_ERROR_LAUNCH_FAILED (719)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			useFakes(t, c.variables...)
			if c.cuda != "" {
				t.Setenv(cudaVariable, c.cuda)
			}
			if c.cublas != "" {
				t.Setenv(cublasVariable, c.cublas)
			}
			_, err := Open(c.ordinal)
			if err == nil {
				t.Fatal("opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is %q\nwant %q in it", err, want)
				}
			}
		})
	}
}

// The versions of cuBLAS that are tried end with the newest that the driver serves.
func TestCublasIsNotNewerThanTheDriver(t *testing.T) {
	useFakes(t, "FAKE_CUDA_VERSION", "12040", cublasVariable, "")
	_, err := loadCUBLAS()
	if err == nil {
		t.Skip("this machine has cuBLAS")
	}
	if !strings.Contains(err.Error(), "libcublas.so.12, libcublas.so.11 cannot be loaded") {
		t.Error(err)
	}
}

func TestListNeedsNoCublas(t *testing.T) {
	useFakes(t, "FAKE_CUDA_DEVICES", "2", cublasVariable, "/nowhere/libcublas.so")
	list, err := List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[1].Name != "Fake GPU 1" || list[1].CublasVersion != 0 || list[1].Ordinal != 1 {
		t.Errorf("%+v", list)
	}
}

func TestErrors(t *testing.T) {
	useFakes(t)
	d := openDevice(t)
	f := loadAxpy(t, d)
	p := alloc(t, d, 16)
	m := Matrix{Data: p, Lead: 2}
	for _, c := range []struct {
		name, variable, value string
		call                  func() error
		outOfMemory, lost     bool
		want                  string
	}{
		{name: "memory", call: func() error { _, err := d.Alloc(2 << 30); return err },
			outOfMemory: true, want: "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory"},
		{name: "pinned memory", variable: "FAKE_CUDA_FAIL", value: "cuMemHostAlloc=2",
			call: func() error { _, err := d.AllocHost(1); return err }, outOfMemory: true, want: "cuMemHostAlloc: "},
		{name: "launch", variable: "FAKE_CUDA_FAIL", value: "cuLaunchKernel=719",
			call: func() error { return d.Launch(f, [3]int{3, 1, 1}, [3]int{32, 1, 1}, 0) },
			lost: true, want: "kernel axpy, grid [3 1 1], block [32 1 1]: cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED (719): unspecified launch failure"},
		{name: "sync", variable: "FAKE_CUDA_FAIL", value: "cuStreamSynchronize=700", call: d.Sync, lost: true,
			want: "cuStreamSynchronize: unknown error (700)"},
		{name: "context", variable: "FAKE_CUDA_FAIL", value: "cuCtxSetCurrent=4", call: d.Sync, lost: true, want: "cuCtxSetCurrent: "},
		{name: "bad PTX", call: func() error { _, err := d.Load([]byte("nonsense")); return err },
			want: "a PTX JIT compilation failed; the GPU has compute capability 7.5: line 1: missing .version"},
		{name: "new PTX", variable: "FAKE_CUDA_FAIL", value: "cuModuleLoadDataEx=222",
			call: func() error { _, err := d.Load([]byte(".version 6.3")); return err },
			want: "the driver serves CUDA 13.0, too old for these kernels: update it"},
		{name: "kernel", call: func() error {
			m, err := d.Load([]byte(".version 6.3"))
			if err == nil {
				_, err = m.Function("nothing")
			}
			return err
		}, want: "kernel nothing: cuModuleGetFunction: CUDA_ERROR_NOT_FOUND (500): named symbol not found"},
		{name: "product", variable: "FAKE_CUBLAS_FAIL", value: "3",
			call:        func() error { return d.Gemm(TF32, 2, 2, 2, 1, m, m, 0, m) },
			outOfMemory: true, want: "tf32 product, 1 of 2×2 by 2×2: cublasGemmEx: CUBLAS_STATUS_ALLOC_FAILED (3): the resource allocation failed"},
		{name: "cuBLAS without texts", variable: "FAKE_CUBLAS_FAIL", value: "13",
			call: func() error { return d.Gemm(FP32, 2, 2, 2, 1, m, m, 0, m) }, want: "cuBLAS error (13)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.variable != "" {
				t.Setenv(c.variable, c.value)
			}
			err := c.call()
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %q\nwant %q in it", err, c.want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T is no *Error", err)
			}
			if e.OutOfMemory() != c.outOfMemory || e.DeviceLost() != c.lost {
				t.Errorf("out of memory %v, device lost %v; want %v, %v", e.OutOfMemory(), e.DeviceLost(), c.outOfMemory, c.lost)
			}
		})
	}
}

// Without the workspace there is no product, and the next one tries again.
func TestNoRoomForTheWorkspace(t *testing.T) {
	useFakes(t)
	d := openDevice(t)
	p := alloc(t, d, 16)
	m := Matrix{Data: p, Lead: 2}
	product := func() error { return d.Gemm(FP32, 2, 2, 2, 1, m, m, 0, m) }
	t.Setenv("FAKE_CUDA_FAIL", "cuMemAlloc_v2=2")
	var e *Error
	if err := product(); !errors.As(err, &e) || !e.OutOfMemory() || !strings.Contains(err.Error(), "workspace of cuBLAS") {
		t.Errorf("error is %v", err)
	}
	t.Setenv("FAKE_CUDA_FAIL", "")
	do(t, product())
}
