//go:build gpu && linux && cgo

package fake

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

static long count(const char *library, const char *what) {
	void *handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
	long (*f)(const char *) = handle ? (long (*)(const char *))dlsym(handle, "modeldoctor_fake_count") : NULL;
	return f ? f(what) : -1;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"unsafe"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Real reports whether tests run on a GPU.
func Real() bool { return os.Getenv(Variable) == "gpu" }

// Install has the driver load the fake device, which must not have loaded
// another one before. For a TestMain; tests call Open.
func Install() error {
	switch name := os.Getenv(Variable); name {
	case "gpu":
		return nil
	case "", "fake":
	default:
		return fmt.Errorf("%s is %q, neither gpu nor fake", Variable, name)
	}
	library, err := Build()
	if err != nil {
		return err
	}
	for _, variable := range []string{"MODELDOCTOR_LIBCUDA", "MODELDOCTOR_LIBCUBLAS"} {
		if err := os.Setenv(variable, library); err != nil {
			return err
		}
	}
	return nil
}

// Use installs the fake device, without faults, or skips the test where there
// is no compiler.
func Use(tb testing.TB) {
	tb.Helper()
	switch err := Install(); {
	case errors.Is(err, ErrNoCompiler):
		tb.Skip(err)
	case err != nil:
		tb.Fatal(err)
	}
}

// Open opens the fake device, or, where the environment asks for it, a GPU. The
// test fails if it does not free all memory of the device, or writes beside it.
func Open(tb testing.TB) *driver.Device {
	tb.Helper()
	Use(tb)
	d, err := driver.Open(0)
	if err != nil {
		tb.Fatal(err)
	}
	strays := Count(Strays)
	tb.Cleanup(func() {
		if n := Count(Strays); n > strays {
			tb.Errorf("bytes beside %d allocations were written", n-strays)
		}
	})
	CloseAfter(tb, d)
	return d
}

// CloseAfter closes a device when the test ends, which fails if that fails, or if
// not all memory of the device is free then.
func CloseAfter(tb testing.TB, d io.Closer) {
	tb.Cleanup(func() {
		if err := d.Close(); err != nil && !tb.Failed() {
			tb.Error(err)
		}
		if n := Count(Leaked); n > 0 && !tb.Failed() {
			tb.Errorf("%d allocations of device memory were not freed", n)
		}
	})
}

// Order is the order in which the threads and blocks of a kernel run.
type Order int

// The orders. Results must not depend on them.
const (
	Forward Order = iota
	Reverse
	Shuffled
)

// Faults are what goes wrong. Calls are counted from when the faults are set, 1
// being the next one; 0 is never.
type Faults struct {
	Alloc  int // the allocation of device memory that fails, for want of it
	Launch int // the launch, or product of matrices, that fails
	Lost   int // the call on the device from which on all fail: it is lost
	Memory int // bytes of device memory that there are; 0: 8 GiB
	Absent bool
	Order  Order
}

var faultsSet int

// Set has things go wrong until the test ends. On a GPU the test is skipped.
func Set(tb testing.TB, f Faults) {
	tb.Helper()
	if Real() {
		tb.Skip("a GPU does not fail when told to")
	}
	faultsSet++
	words := fmt.Sprintf("set=%d alloc=%d launch=%d lost=%d order=%d", faultsSet, f.Alloc, f.Launch, f.Lost, f.Order)
	if f.Memory > 0 {
		words += fmt.Sprintf(" memory=%d", f.Memory)
	}
	if f.Absent {
		words += " absent=1"
	}
	const variable = "MODELDOCTOR_FAKE"
	os.Setenv(variable, words)
	tb.Cleanup(func() { os.Unsetenv(variable) })
}

// Counted is what the fake device counts.
type Counted string

// What is counted: allocations that the context closed last had left;
// allocations beside which bytes were found written when they were freed; bytes
// allocated, now and at most since the faults were set; kernels and products of
// matrices launched since then, and copies to the host, for which the host waits.
const (
	Leaked    Counted = "leaked"
	Strays    Counted = "strays"
	Used      Counted = "used"
	Peak      Counted = "peak"
	Launches  Counted = "launches"
	Downloads Counted = "downloads"
)

// Count returns what the fake device counted; -1 where it is not loaded.
func Count(what Counted) int {
	if Real() {
		return -1
	}
	library, err := Build()
	if err != nil {
		return -1
	}
	path, name := C.CString(library), C.CString(string(what))
	defer C.free(unsafe.Pointer(path))
	defer C.free(unsafe.Pointer(name))
	return int(C.count(path, name))
}
