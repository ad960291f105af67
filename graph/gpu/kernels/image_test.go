//go:build gpu && linux && cgo

package kernels_test

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

// TestDecode: each byte becomes what its channel's table has for it, where channels
// are planes and where they lie side by side.
func TestDecode(t *testing.T) {
	for _, c := range []struct{ rows, channels, run int }{{0, 3, 5}, {6, 3, 700}, {4, 1, 9}, {8, 4, 300}, {5000, 3, 33}, {9000, 3, 1}} {
		d := open(t)
		x, table := make([]byte, c.rows*c.run), d.normal(c.channels*256)
		for i := range x {
			x[i] = byte(d.rng.IntN(256))
		}
		want := make([]float64, len(x))
		for i, b := range x {
			want[i] = float64(table[i/c.run%c.channels*256+int(b)])
		}
		px, pt := upload(d, x), upload(d, table)
		d.close("y", d.result(len(x), func(y driver.Ptr) error {
			return kernels.Decode(d.q, px, pt, y, c.rows, c.channels, c.run)
		}), want, 0)
	}
}
