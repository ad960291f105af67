//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
	"github.com/modeldoctor/modeldoctor/graph/op"
)

func TestAttention(t *testing.T) {
	for _, c := range []struct{ examples, heads, width, queries, keys, round int }{{0, 2, 3, 4, 4, 0}, {1, 1, 1, 1, 1, 0}, {2, 3, 4, 5, 5, 0}, {3, 2, 2, 3, 9, 2}, {1, 4, 3, 6, 2, 0}} {
		for i, precision := range []driver.Precision{driver.FP32, driver.TF32, driver.BF16, driver.BF16} {
			half := i == 3 // the operands are bfloat16
			t.Run(fmt.Sprint(c, precision, half), func(t *testing.T) {
				d := open(t)
				o := kernels.Attention{Examples: c.examples, Heads: c.heads, HeadDim: c.width, Queries: c.queries, Keys: c.keys, Scale: 0.5, Round: c.round}
				row := c.heads * c.width
				shapes := [3][]int{{c.examples, c.queries, row}, {c.examples, c.keys, row}, {c.examples, c.keys, row}}
				var x [3][]float32
				var rows [3]kernels.Rows
				var in []op.Array
				for i, s := range shapes {
					x[i] = d.normal(count(s...))
					rows[i] = kernels.Rows{Array: kernels.Float32(upload(d, x[i])), ByExample: s[1] * row, ByRow: row}
					if half {
						rows[i].Array = kernels.Array{Data: upload(d, shorten(d, x[i])), BFloat16: true}
					}
					in = append(in, doubles(x[i], s...))
				}
				dy := d.normal(count(shapes[0]...))
				placed := func(p driver.Ptr, i int) kernels.Rows {
					return kernels.Rows{Array: kernels.Array{Data: p, BFloat16: half}, ByExample: shapes[i][1] * row, ByRow: row}
				}
				pdy, work := upload(d, dy), d.memory(o.Work())
				tolerance := map[driver.Precision]float64{driver.FP32: 1e-5, driver.TF32: 3e-3, driver.BF16: 3e-3}[precision]
				run := d.result
				if half {
					pdy, tolerance = upload(d, shorten(d, dy)), 2e-2
					run = func(n int, f func(driver.Ptr) error) []float32 { return lengthen(result[uint16](d, n, f)) }
				}
				reference := op.PackedAttention{Heads: c.heads, HeadDim: c.width, Scale: 0.5}
				y := run(len(dy), func(y driver.Ptr) error {
					return o.Forward(d.q, precision, rows[0], rows[1], rows[2], placed(y, 0), work)
				})
				d.close("y", y, d.want(reference, in...), tolerance)
				for i, name := range []string{"dq", "dk", "dv"} {
					got := run(len(x[i]), func(to driver.Ptr) error {
						var grads [3]kernels.Rows
						grads[i] = placed(to, i)
						return o.Grad(d.q, precision, rows[0], rows[1], rows[2], placed(pdy, 0), grads[0], grads[1], grads[2], false, work)
					})
					d.close(name, got, d.gradient(reference, i, dy, in...), tolerance)
				}
			})
		}
	}
}

// TestAttentionIsOfOneExample: the scores with the next example's keys, which pad
// an example's, are thrown away whatever they are.
func TestAttentionIsOfOneExample(t *testing.T) {
	for _, heads := range []int{2, 5} { // fewer and more than examples
		d := open(t)
		const examples, tokens, width = 3, 5, 4
		row := heads * width
		n := examples * tokens * row
		o := kernels.Attention{Examples: examples, Heads: heads, HeadDim: width, Queries: tokens, Keys: tokens, Scale: 0.5}
		in := [3][]float32{d.normal(n), d.normal(n), d.normal(n)}
		run := func() []float32 {
			var rows [3]kernels.Rows
			for i, x := range in {
				rows[i] = kernels.Rows{Array: kernels.Float32(upload(d, x)), ByExample: tokens * row, ByRow: row}
			}
			work := d.memory(o.Work())
			return d.result(n, func(y driver.Ptr) error {
				return o.Forward(d.q, driver.FP32, rows[0], rows[1], rows[2], kernels.Rows{Array: kernels.Float32(y), ByExample: tokens * row, ByRow: row}, work)
			})
		}
		want := run()[:tokens*row]
		for i := tokens * row; i < n; i++ {
			in[1][i] = float32(math.Inf(i%2*2 - 1))
		}
		if got := run()[:tokens*row]; !slices.Equal(got, want) {
			t.Errorf("%d heads: the first example's result is %v, with other examples %v", heads, want, got)
		}
	}
}

// TestPackedAttention: q, k and v are columns of one array, which they may share,
// and so are their cotangents.
func TestPackedAttention(t *testing.T) {
	for _, offsets := range [][3]int{{1, 8, 14}, {7, 1, 1}, {0, 0, 0}} {
		t.Run(fmt.Sprint(offsets), func(t *testing.T) { testPackedAttention(t, offsets) })
	}
}

func testPackedAttention(t *testing.T, offsets [3]int) {
	d := open(t)
	const examples, tokens, heads, width, row = 2, 7, 2, 3, 20
	o := kernels.Attention{Examples: examples, Heads: heads, HeadDim: width, Queries: tokens, Keys: tokens, Scale: 0.3}
	x, dy := d.normal(examples*tokens*row), d.normal(examples*tokens*heads*width)
	parts := func(p driver.Ptr) (r [3]kernels.Rows) {
		for i, offset := range offsets {
			r[i] = kernels.Rows{Array: kernels.Float32(p), Offset: offset, ByExample: tokens * row, ByRow: row}
		}
		return r
	}
	px, pdy, work := upload(d, x), upload(d, dy), d.memory(o.Work())
	plain := func(p driver.Ptr) kernels.Rows {
		return kernels.Rows{Array: kernels.Float32(p), ByExample: tokens * heads * width, ByRow: heads * width}
	}
	reference := op.PackedAttention{Heads: heads, HeadDim: width, Scale: 0.3, Offsets: offsets}
	in, r := doubles(x, examples, tokens, row), parts(px)
	y := d.result(len(dy), func(y driver.Ptr) error {
		return o.Forward(d.q, driver.FP32, r[0], r[1], r[2], plain(y), work)
	})
	d.close("y", y, d.want(reference, in), 1e-5)
	dx := d.result(len(x), func(dx driver.Ptr) error {
		if err := d.Clear(dx, int64(4*len(x))); err != nil {
			return err
		}
		dr := parts(dx)
		return o.Grad(d.q, driver.FP32, r[0], r[1], r[2], plain(pdy), dr[0], dr[1], dr[2], true, work)
	})
	d.close("dx", dx, d.gradient(reference, 0, dy, in), 1e-5)
}
