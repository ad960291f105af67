// Package driver is everything between Go and a GPU: it loads NVIDIA's libraries, and gives memory, copies, kernels,
// matrix products and time. It knows nothing of networks.
//
// # Building
//
// Without the build tag gpu the package is a stub whose Open and List say so, and needs no C compiler. With it, it needs
// gcc, and no CUDA toolkit:
//
//	CGO_CFLAGS="-O2 -I$PWD/graph/gpu/driver/include" go build -tags gpu ./cmd/modeldoctor
//
// The variable is there because gorgonia.org/cu includes <cuda.h>: the flags that one module's #cgo lines set do not reach
// another's, and a replace or a workspace would break go install. include/cuda.h is ours. With the toolkit of CUDA 12 in
// /usr/local/cuda, where cu looks, the build works without the variable; with CUDA 13 it does not, because cu does not
// compile with that header. The tag is not called cuda because Gorgonia has files with that tag, which do not compile.
// Go's cache does not notice a change of cuda.h: build once with -a.
//
// # Loading
//
// The program is linked with the C library alone. It starts on a machine without a GPU, and the same file works with the
// drivers and the cuBLAS of CUDA 11, 12 and 13: they are opened by Open and List. So that cu, which expects to be linked
// with libcuda, needs no change,
//
//   - trampolines.c defines every function of libcuda that cu or this package calls, and those of cuBLAS that gemm.go
//     and gemm_lt.go call. Each passes its arguments on to the library's function if that is loaded, and otherwise says
//     that it is not. cuInit answers success before, because cu calls it as the program starts and would end the program;
//   - lib/libcuda.a is an empty archive for the -lcuda of cu.
//
// cuBLASLt needs no loading of its own: libcublas is linked with it, and its functions are found through libcublas. Where
// they are not, or have no algorithm for a product, GemmAdd says so, and no error is made of it.
//
// libcuda.so.1 is left to the system's loader, and so is libcublas.so.N, where N is what the driver serves or, failing
// that, one less, down to 11. The environment variables MODELDOCTOR_LIBCUDA and MODELDOCTOR_LIBCUBLAS each name a file
// to load instead.
//
// To call one more function, declare it, on one line, in include/cuda_functions.h (with a #define, if CUDA has more than
// one version of it: the name with _v2 or what else 11, 12 and 13 all export) or in cublas.h, and run go generate. When
// cu changes, the linker names what it lacks. TestHeaderAgreesWithToolkit compares the header with a toolkit's.
//
// # Threads
//
// CUDA looks for its context in the thread that calls, and goroutines move between threads. Each method therefore pins the
// goroutine to its thread and makes the context current before the call, so a Device and its Streams can be used by any
// goroutine. That takes about 0.1 µs on the fake libraries; a launch takes some microseconds on a GPU. Having one
// goroutine make all calls for the others, which is the other way to be safe, took 20 µs and more for each, and would not
// let one wait for a copy while another launches.
//
// # Errors
//
// A call that fails gives an [Error]. This package prints nothing and never ends the program.
//
// # Tests
//
// The tests use the machine's GPU if it has one, and otherwise compile the fake libraries of testdata. Those that need a
// failure always use the fake ones.
package driver

//go:generate go run ./internal/trampolines include/cuda_functions.h cublas.h trampolines.c
