//go:build gpu && linux && cgo

package gpu_test

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// TestConstants: a factor that was imported is rounded once, to what it is rounded to at
// each product where it was not, and nothing of it is left once it is freed. Where there
// is no room for that it is rounded each time.
func TestConstants(t *testing.T) {
	for _, c := range []struct {
		o      exec.Operation
		factor int // the operand that is a constant
		in     []op.Array
		out    op.Array
	}{
		{op.Linear{TransW: true}, 1, []op.Array{normal(7, 40), normal(24, 40)}, normal(7, 24)},
		{op.Linear{}, 1, []op.Array{normal(3, 16), normal(16, 8), normal(8)}, normal(3, 8)},
		{exec.LinearAdd{Linear: op.Linear{}}, 1, []op.Array{normal(3, 16), normal(16, 8), normal(8), normal(3, 8)}, normal(3, 8)},
		{op.MatMul{}, 1, []op.Array{normal(2, 3, 16), normal(2, 16, 5)}, normal(2, 3, 5)},
		{op.MatMul{TransA: true}, 0, []op.Array{normal(16, 3), normal(16, 5)}, normal(3, 5)},
		{op.PatchEmbedding{Kernel: []int{4, 4}}, 1, []op.Array{normal(2, 3, 8, 12), normal(8, 3, 4, 4), normal(8)}, normal(2, 8, 2, 3)},
		{op.PatchGradient{Kernel: []int{4, 4}, Shape: []int{2, 3, 8, 12}}, 0, []op.Array{normal(8, 3, 4, 4), normal(2, 8, 2, 3)}, normal(2, 3, 8, 12)},
	} {
		for _, room := range []bool{true, false} {
			options := gpu.Options{Threads: 1, Precision: driver.BF16}
			if !room {
				options.Memory = driver.WorkspaceBytes + 64<<10
			}
			d := testdevice.Open(t, options)
			operands := make([]op.Array, len(c.in))
			for i, a := range c.in {
				operands[i] = held(t, d, a.Type, false)
				if err := d.Update(operands[i], a); err != nil {
					t.Fatal(err)
				}
			}
			result := held(t, d, c.out.Type, false)
			run := func() (values []float32, launches int) {
				before := fake.Count(fake.Launches)
				if err := d.Forward(c.o, result, operands); err != nil {
					t.Fatal(err)
				}
				launches = fake.Count(fake.Launches) - before
				got := op.NewArray(c.out.Type)
				if err := d.DownloadArray(got, result); err != nil {
					t.Fatal(err)
				}
				return op.Elem[float32](got), launches
			}
			want, _ := run()
			constant, err := d.Import(op.Elem[float32](c.in[c.factor]))
			if err != nil {
				t.Fatal(err)
			}
			operands[c.factor].Data = constant
			if !room { // all that is left is taken
				for bytes := int64(64 << 10); bytes > 0; bytes /= 2 {
					if a, err := d.Arena(bytes); err == nil {
						defer a.Free()
					}
				}
			}
			first, most := run()
			again, launches := run()
			if !slices.Equal(first, want) || !slices.Equal(again, want) {
				t.Errorf("%s, operand %d: %v, then %v, want %v", c.o.Name(), c.factor, first, again, want)
			}
			if rounds := launches < most; rounds != room && !fake.Real() {
				t.Errorf("%s, operand %d, room %v: %d launches, then %d", c.o.Name(), c.factor, room, most, launches)
			}
			d.Free(constant)
		}
	}
}
