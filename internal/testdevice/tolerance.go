package testdevice

import (
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// How far results may lie from what they are compared with. The first two are relative
// to 1 + the largest magnitude of the reference ([CloseTo]).
const (
	// Operation: of one operation in float32, from float64 on the host.
	Operation = 2e-6
	// OperationOnDevice: of one operation on a device, from float32 on the host, both of
	// which round.
	OperationOnDevice = 4e-6
	// Network: losses, logits and gradients of a whole network on a device, from the
	// host's.
	Network = 1e-5
)

// Precisions are what the factors of a device's products can be rounded to.
var Precisions = []driver.Precision{driver.FP32, driver.TF32, driver.BF16}

// Agreement is how far the figures of a diagnosis or a treatment on a device in a
// precision may lie from the host's, relative to max(1, |figure|): the table of
// docs/gpu.md.
func Agreement(p driver.Precision) float64 {
	return map[driver.Precision]float64{driver.FP32: 1e-4, driver.TF32: 1e-2, driver.BF16: 5e-2}[p]
}

// Figure returns Agreement for a device as [Each] opens it; on the host figures
// are to be the same to the bit.
func (b Backend) Figure() float64 {
	if b.OnHost() {
		return 0
	}
	return Agreement(driver.FP32)
}

// CloseTo asserts |got-want| <= tolerance*(1+max|want|) elementwise; NaN and
// infinities must agree exactly.
func CloseTo(t testing.TB, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	scale := 1.0
	for _, x := range want {
		if a := math.Abs(x); !math.IsInf(a, 0) && a > scale-1 {
			scale = 1 + a
		}
	}
	for i := range want {
		same := math.IsNaN(got[i]) && math.IsNaN(want[i]) || got[i] == want[i]
		if !same && !(math.Abs(got[i]-want[i]) <= tolerance*scale) {
			t.Fatalf("%s: element %d is %g, want %g", what, i, got[i], want[i])
		}
	}
}

// Near asserts |got-want| <= tolerance*max(1, |want|).
func Near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s: %v, want %v within %v", what, got, want, tolerance)
	}
}
