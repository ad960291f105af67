//go:build gpu && linux && cgo

package driver

/*
#cgo CFLAGS: -I${SRCDIR}/include
#cgo LDFLAGS: -L${SRCDIR}/lib -Wl,--as-needed -ldl
#include <stdlib.h>
#include "cuda.h"
#include "cublas.h"
#include "load.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unsafe"

	"gorgonia.org/cu"
)

// The oldest CUDA whose driver and cuBLAS will do: 11.0 brought cublasGemmEx its TF32.
const (
	oldestMajor  = 11
	oldestDriver = 1000 * oldestMajor
)

// Where to look first for the libraries: the path of a file each.
const (
	cudaVariable   = "MODELDOCTOR_LIBCUDA"
	cublasVariable = "MODELDOCTOR_LIBCUBLAS"
)

// loadedDriver is libcuda, initialised.
type loadedDriver struct {
	path    string
	version int // as Info.DriverVersion
}

// The libraries are loaded once, and stay; so does the reason if they cannot be.
var (
	loadCUDA   = sync.OnceValues(initCUDA)
	loadCUBLAS = sync.OnceValues(initCUBLAS)
)

// initCUDA loads libcuda and initialises it.
func initCUDA() (loadedDriver, error) {
	path, err := load(&C.modeldoctor_cuda, cudaVariable, "libcuda.so.1")
	if err != nil {
		return loadedDriver{}, fmt.Errorf("%w; install the NVIDIA driver, or set %s to its libcuda.so.1", err, cudaVariable)
	}
	if code := C.cuInit(0); code == C.CUDA_ERROR_NO_DEVICE {
		return loadedDriver{}, fmt.Errorf("the NVIDIA driver (%s) finds no GPU: %w", path, newError("cuInit", int(code)))
	} else if code != C.CUDA_SUCCESS {
		return loadedDriver{}, fmt.Errorf("the NVIDIA driver (%s) does not start: %w", path, newError("cuInit", int(code)))
	}
	d := loadedDriver{path, cu.Version()}
	if d.version < oldestDriver {
		return loadedDriver{}, fmt.Errorf("the NVIDIA driver (%s) serves CUDA %s; %s or newer is needed: update the driver",
			path, versionString(d.version), versionString(oldestDriver))
	}
	return d, nil
}

// initCUBLAS loads the newest cuBLAS that the driver serves and returns its version, in the form of Info.CublasVersion.
func initCUBLAS() (int, error) {
	driver, err := loadCUDA()
	if err != nil {
		return 0, err
	}
	var names []string
	for major := driver.version / 1000; major >= oldestMajor; major-- {
		names = append(names, fmt.Sprintf("libcublas.so.%d", major))
	}
	if _, err := load(&C.modeldoctor_cublas, cublasVariable, names...); err != nil {
		return 0, fmt.Errorf("%w; install cuBLAS of CUDA %d to %d where the loader finds it (ldconfig, LD_LIBRARY_PATH), "+
			"or set %s to its file", err, oldestMajor, driver.version/1000, cublasVariable)
	}
	var major, minor C.int
	if err := cublasError("cublasGetProperty", C.cublasGetProperty(C.MAJOR_VERSION, &major)); err != nil {
		return 0, err
	}
	if err := cublasError("cublasGetProperty", C.cublasGetProperty(C.MINOR_VERSION, &minor)); err != nil {
		return 0, err
	}
	return 1000*int(major) + 10*int(minor), nil
}

// load loads a library from the file that an environment variable names or else by the first of the names that the
// system's loader knows, and returns the file. The error ends with the loader's reasons.
func load(library *C.struct_library, variable string, names ...string) (string, error) {
	if file := os.Getenv(variable); file != "" {
		names = []string{file}
	}
	var reasons []string
	for _, name := range names {
		cname := C.CString(name)
		var cpath *C.char
		why := C.modeldoctor_load(library, cname, &cpath)
		C.free(unsafe.Pointer(cname))
		if why == nil {
			defer C.free(unsafe.Pointer(cpath))
			return C.GoString(cpath), nil
		}
		reasons = append(reasons, C.GoString(why))
		C.free(unsafe.Pointer(why))
	}
	return "", fmt.Errorf("%s cannot be loaded: %s", strings.Join(names, ", "), strings.Join(reasons, "; "))
}

func versionString(v int) string { return fmt.Sprintf("%d.%d", v/1000, v%1000/10) }

// List returns the devices that there are. The error says why there is none, and what to do.
func List() ([]Info, error) {
	if _, err := loadCUDA(); err != nil {
		return nil, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return nil, cudaError("cuDeviceGetCount", err)
	}
	if n == 0 {
		return nil, errors.New("the NVIDIA driver finds no GPU (is CUDA_VISIBLE_DEVICES set?)")
	}
	list := make([]Info, n)
	for i := range list {
		if list[i], err = describe(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// describe needs no context. Without cuBLAS it tells the rest.
func describe(ordinal int) (Info, error) {
	driver, err := loadCUDA()
	if err != nil {
		return Info{}, err
	}
	cublasVersion, _ := loadCUBLAS()
	info := Info{Ordinal: ordinal, DriverVersion: driver.version, CublasVersion: cublasVersion, Library: driver.path}
	device, err := cu.GetDevice(ordinal)
	if err != nil {
		return Info{}, cudaError("cuDeviceGet", err)
	}
	if info.Name, err = device.Name(); err != nil {
		return Info{}, cudaError("cuDeviceGetName", err)
	}
	if info.Memory, err = device.TotalMem(); err != nil {
		return Info{}, cudaError("cuDeviceTotalMem", err)
	}
	if info.Major, err = device.Attribute(cu.ComputeCapabilityMajor); err != nil {
		return Info{}, cudaError("cuDeviceGetAttribute", err)
	}
	if info.Minor, err = device.Attribute(cu.ComputeCapabilityMinor); err != nil {
		return Info{}, cudaError("cuDeviceGetAttribute", err)
	}
	return info, nil
}
