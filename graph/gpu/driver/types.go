package driver

import (
	"fmt"
	"math"
	"strings"
	"unsafe"
)

// Info describes a device and the libraries that drive it.
type Info struct {
	Ordinal       int
	Name          string
	Memory        int64  // bytes
	Major, Minor  int    // compute capability
	DriverVersion int    // the newest CUDA that the driver serves, as 1000·major + 10·minor
	CublasVersion int    // in the same form; 0 if cuBLAS cannot be loaded
	Library       string // the file that libcuda was loaded from
}

// Ptr is an address in a device's memory. 0 is no address.
type Ptr uintptr

// Arg is a kernel's argument: its bytes, in the lower part if they are fewer than eight.
type Arg uint64

// Address makes an argument of a pointer parameter.
func Address(p Ptr) Arg { return Arg(p) }

// Int32 makes an argument of an int parameter.
func Int32(v int32) Arg { return Arg(uint32(v)) }

// Int64 makes an argument of a long long parameter.
func Int64(v int64) Arg { return Arg(v) }

// Float32 makes an argument of a float parameter.
func Float32(v float32) Arg { return Arg(math.Float32bits(v)) }

// Float64 makes an argument of a double parameter.
func Float64(v float64) Arg { return Arg(math.Float64bits(v)) }

// Bytes is the memory of a slice of numbers, for the copies.
func Bytes[T ~uint8 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~float32 | ~float64](s []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(t)))
}

// Precision says in which format the factors of a matrix product enter it. Sums are always float32, of which the result
// may be bfloat16 (Matrix).
type Precision int

const (
	FP32 Precision = iota // float32
	TF32                  // float32 in memory, rounded to 10 bits of mantissa as they are read
	BF16                  // bfloat16, in memory too
)

func (p Precision) String() string {
	switch p {
	case FP32:
		return "fp32"
	case TF32:
		return "tf32"
	case BF16:
		return "bf16"
	}
	return fmt.Sprintf("Precision(%d)", int(p))
}

// Matrix is a matrix in a device's memory, stored row by row, or the first of a batch of them.
type Matrix struct {
	Data     Ptr
	Lead     int   // elements from one row to the next
	Stride   int64 // elements from one matrix of a batch to the next; 0 uses the same one throughout
	Trans    bool  // as a factor of a product, it stands for its transpose
	BFloat16 bool  // its elements are bfloat16, as those of the factors of a BF16 product; otherwise float32
}

// Error is a call of CUDA or cuBLAS that failed.
type Error struct {
	Call   string // "cuMemAlloc"
	Code   int    // a CUresult, or a cublasStatus_t if Call is one of cuBLAS
	Name   string // "CUDA_ERROR_OUT_OF_MEMORY"
	Detail string // the library's description of the code, and what else is known
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s (%d): %s", e.Call, e.Name, e.Code, e.Detail)
}

func (e *Error) cublas() bool { return strings.HasPrefix(e.Call, "cublas") }

// OutOfMemory reports whether the device, or the host's pinned memory, had no room. The device is usable as before.
func (e *Error) OutOfMemory() bool {
	if e.cublas() {
		return e.Code == 3 // CUBLAS_STATUS_ALLOC_FAILED
	}
	return e.Code == 2 // CUDA_ERROR_OUT_OF_MEMORY
}

// DeviceLost reports whether nothing more can be done with the device in this process: CUDA answers every later call
// with the same error.
func (e *Error) DeviceLost() bool {
	if e.cublas() {
		return false // the next call of CUDA's says it
	}
	switch e.Code {
	case 4, // CUDA_ERROR_DEINITIALIZED
		46,       // CUDA_ERROR_DEVICE_UNAVAILABLE
		201,      // CUDA_ERROR_INVALID_CONTEXT
		214,      // CUDA_ERROR_ECC_UNCORRECTABLE
		220,      // CUDA_ERROR_NVLINK_UNCORRECTABLE
		226,      // CUDA_ERROR_CONTAINED, of a memory error
		700,      // CUDA_ERROR_ILLEGAL_ADDRESS
		702,      // CUDA_ERROR_LAUNCH_TIMEOUT
		709, 710, // CUDA_ERROR_CONTEXT_IS_DESTROYED, ASSERT
		714, 715, 716, 717, 718, // a kernel's HARDWARE_STACK_ERROR to INVALID_PC
		719, // CUDA_ERROR_LAUNCH_FAILED
		999: // CUDA_ERROR_UNKNOWN
		return true
	}
	return false
}
