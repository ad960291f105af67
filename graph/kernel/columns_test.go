package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func softmaxColumnsOf[T Float](c *Context, in rowInput[T], out []T) {
	copy(out, in.x)
	SoftmaxColumns(c, out, in.rows, in.d, in.d)
}

func softmaxColumnsGradOf[T Float](c *Context, in rowInput[T], out []T) {
	copy(out, in.dy)
	SoftmaxColumnsGrad(c, in.x, out, in.rows, in.d, in.d)
}

// In float64 the kernels are those of the rows of the transposed matrix.
func TestColumnsAreRowsTransposed(t *testing.T) {
	c := NewContext(1)
	const rows, cols = 9, 14
	in := newRowInput(t, rows, cols).wide()
	transposed := func(x []float64, rows, cols int) []float64 {
		y := make([]float64, len(x))
		for i := range rows {
			for j := range cols {
				y[j*rows+i] = x[i*cols+j]
			}
		}
		return y
	}
	across := rowInput[float64]{x: transposed(in.x, rows, cols), dy: transposed(in.dy, rows, cols), rows: cols, d: rows}
	for _, k := range []struct {
		name       string
		down, over func(*Context, rowInput[float64], []float64)
	}{
		{"SoftmaxColumns", softmaxColumnsOf[float64], softmaxOf[float64]},
		{"SoftmaxColumnsGrad", softmaxColumnsGradOf[float64], softmaxGradOf[float64]},
	} {
		got, want := make([]float64, rows*cols), make([]float64, rows*cols)
		k.down(c, in, got)
		k.over(c, across, want)
		if !slices.Equal(got, transposed(want, cols, rows)) {
			t.Errorf("%s differs from the rows of the transposed matrix", k.name)
		}
	}
}

// A column has the same bits whatever lies beside it, and what lies between the rows is left alone.
func TestColumnsByThemselves(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	const rows, pitch, unused = 7, 83, 12345
	for _, v := range Variants() {
		c := NewContext(1, WithVariant(v))
		for _, cols := range []int{1, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 51, 64, 65, 81} {
			x, dx := guarded(t, (rows-1)*pitch+cols), guarded(t, (rows-1)*pitch+cols)
			for i := range x {
				x[i], dx[i] = unused, unused
				if i%pitch < cols {
					x[i], dx[i] = rng.Float32()*8-4, rng.Float32()
				}
			}
			y, z := slices.Clone(x), slices.Clone(dx)
			SoftmaxColumns(c, x, rows, cols, pitch)
			SoftmaxColumnsGrad(c, x, dx, rows, cols, pitch)
			for j := range cols {
				SoftmaxColumns(c, y[j:], rows, 1, pitch)
				SoftmaxColumnsGrad(c, y[j:], z[j:], rows, 1, pitch)
			}
			equalBits(t, fmt.Sprintf("%v: softmax of %d columns", v, cols), x, y)
			equalBits(t, fmt.Sprintf("%v: gradient of %d columns", v, cols), dx, z)
		}
	}
}

func TestSoftmaxColumnsSpecial(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, v := range Variants() {
		x := []float32{
			2, -inf, nan, inf, 1000,
			-inf, -inf, 1, 1, -1000,
			-inf, -inf, 1, 1, -1000,
		}
		SoftmaxColumns(NewContext(1, WithVariant(v)), x, 3, 5, 5)
		equalBits(t, v.String(), x, []float32{
			1, nan, nan, nan, 1,
			0, nan, nan, nan, 0,
			0, nan, nan, nan, 0,
		})
	}
}
