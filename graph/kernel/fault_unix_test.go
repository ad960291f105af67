//go:build unix

package kernel

import (
	"runtime/debug"
	"testing"
	"unsafe"
)

// TestFault: operands that cannot be read, such as those in a mapped file that was cut short,
// are a panic of the caller's, whichever goroutine comes upon them, and the crew goes on.
func TestFault(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	const n = 1 << 20
	x, y := unsafe.Slice(&guarded(t, 1)[0], n), make([]float32, n)
	for threads := 1; threads <= 3; threads++ {
		for _, variant := range Variants() {
			c := NewContext(threads, WithVariant(variant))
			for range 20 {
				func() {
					defer func() {
						if _, ok := recover().(interface{ Addr() uintptr }); !ok {
							t.Errorf("%d threads, %v: what cannot be read was read", threads, variant)
						}
					}()
					Sigmoid(c, x, y)
				}()
			}
			Sigmoid(c, y, y)
			if y[n-1] <= 0 {
				t.Errorf("%d threads, %v: Sigmoid did not run", threads, variant)
			}
			clear(y)
		}
	}
}
