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
	"github.com/modeldoctor/modeldoctor/graph/shapes"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestBinary(t *testing.T) {
	operators := []struct {
		f  kernels.Operator
		o  op.Op // nil: by
		by func(a, b float64) float64
	}{
		{f: kernels.Add, o: op.Add{}}, {f: kernels.Sub, o: op.Sub{}}, {f: kernels.Mul, o: op.Mul{}}, {f: kernels.Div, o: op.Div{}},
		{f: kernels.Pow, o: op.Pow{}}, {f: kernels.Max, o: op.Max{}}, {f: kernels.Min, o: op.Min{}},
		{f: kernels.PowByBase, by: func(a, b float64) float64 {
			if b == 0 {
				return 0
			}
			return b * math.Pow(a, b-1)
		}},
		{f: kernels.PowByExponent, by: func(a, b float64) float64 {
			if a == 0 {
				return 0
			}
			return math.Pow(a, b) * math.Log(a)
		}},
	}
	shapes := []struct{ a, b, y []int }{
		{[]int{}, []int{}, []int{}},
		{[]int{0, 3}, []int{3}, []int{0, 3}},
		{[]int{1000}, []int{1000}, []int{1000}},
		{[]int{5, 7}, []int{7}, []int{5, 7}},
		{[]int{7}, []int{5, 1}, []int{5, 7}},
		{[]int{1}, []int{3, 4, 5}, []int{3, 4, 5}},
		{[]int{2, 3, 33}, []int{3, 1}, []int{2, 3, 33}},
		{[]int{2, 1, 3, 1, 2, 1}, []int{1, 3, 1, 2, 1, 5}, []int{2, 3, 3, 2, 2, 5}},
		{[]int{4500, 2}, []int{4500, 1}, []int{4500, 2}},
	}
	for _, c := range operators {
		t.Run(string(c.f), func(t *testing.T) {
			d := open(t)
			want := func(a, b op.Array, shape []int) []float64 {
				if c.o != nil {
					return d.want(c.o, a, b)
				}
				u, v := d.want(op.Expand{Shape: shape}, a), d.want(op.Expand{Shape: shape}, b)
				for i := range u {
					u[i] = c.by(u[i], v[i])
				}
				return u
			}
			for _, s := range shapes {
				a, b := d.positive(count(s.a...)), d.normal(count(s.b...))
				if c.f == kernels.Div {
					b = d.positive(len(b))
				}
				pa, pb, n := upload(d, a), upload(d, b), count(s.y...)
				y := d.result(n, func(y driver.Ptr) error {
					return kernels.Binary(d.q, c.f, kernels.Float32(pa), s.a, kernels.Float32(pb), s.b, kernels.Float32(y), s.y)
				})
				d.close(fmt.Sprint(s), y, want(doubles(a, s.a...), doubles(b, s.b...), s.y), 2e-6)
			}
			two := []float32{2, 0.5, 0, 1, -1}
			a := []float32{-1.5, 2, 0, 3, 4}
			if c.f == kernels.Div {
				a, two = two, []float32{1, 2, 3, 4, 5}
			}
			pa, pb := upload(d, a), upload(d, two)
			y := d.result(5, func(y driver.Ptr) error {
				return kernels.Binary(d.q, c.f, kernels.Float32(pa), []int{5}, kernels.Float32(pb), []int{5}, kernels.Float32(y), []int{5})
			})
			d.close("special", y, want(doubles(a, 5), doubles(two, 5), []int{5}), 1e-6)
		})
	}
}

func TestCompareAndSelect(t *testing.T) {
	d := open(t)
	nan := float32(math.NaN())
	a, b := []float32{1, 2, nan, 3, 3, -1}, []float32{2, 2, nan}
	pa, pb := upload(d, a), upload(d, b)
	for f, o := range map[kernels.Comparison]op.Op{kernels.Equal: op.Equal{}, kernels.Less: op.Less{}, kernels.LessOrEqual: op.LessOrEqual{}} {
		y := result[byte](d, 6, func(y driver.Ptr) error {
			return kernels.Compare(d.q, f, pa, []int{2, 3}, pb, []int{3}, y, []int{2, 3})
		})
		for i, v := range op.Elem[bool](d.forward(o, doubles(a, 2, 3), doubles(b, 3))) {
			if v != (y[i] == 1) {
				t.Errorf("%s of %v and %v: %v", f, a, b, y)
			}
		}
	}
	y := result[byte](d, 6, func(y driver.Ptr) error { return kernels.IsNaN(d.q, pa, y, 6) })
	if want := []byte{0, 0, 1, 0, 0, 0}; !slices.Equal(y, want) {
		t.Errorf("NaN of %v: %v", a, y)
	}
	pc := upload(d, y)
	d.close("floats", d.result(6, func(y driver.Ptr) error { return kernels.FromBool(d.q, pc, y, 6) }), []float64{0, 0, 1, 0, 0, 0}, 0)

	c, x, z := []byte{1, 0, 1}, d.normal(5*7), d.normal(3*7)
	pc, px, pz := upload(d, c), upload(d, x), upload(d, z)
	condition := op.NewArray(op.Type{DType: onnx.Bool, Shape: []int{3, 1}})
	copy(op.Elem[bool](condition), []bool{true, false, true})
	shape := []int{5, 3, 7}
	got := d.result(105, func(y driver.Ptr) error {
		return kernels.Select(d.q, pc, []int{3, 1}, px, []int{5, 1, 7}, pz, []int{3, 7}, y, shape)
	})
	d.close("where", got, d.want(op.Where{}, condition, doubles(x, 5, 1, 7), doubles(z, 3, 7)), 0)
	masked := op.Mask{}
	got = d.result(21, func(y driver.Ptr) error {
		return kernels.Select(d.q, pc, []int{3, 1}, pz, []int{3, 7}, 0, nil, y, []int{3, 7})
	})
	d.close("mask", got, d.want(masked, condition, doubles(z, 3, 7)), 0)
	masked.Not = true
	got = d.result(21, func(y driver.Ptr) error {
		return kernels.Select(d.q, pc, []int{3, 1}, 0, nil, pz, []int{3, 7}, y, []int{3, 7})
	})
	d.close("mask not", got, d.want(masked, condition, doubles(z, 3, 7)), 0)
}

// TestMove: the operations that only move elements, against a plain loop.
func TestMove(t *testing.T) {
	for _, c := range []struct {
		name     string
		shape    []int
		to, from []int // strides
		toOffset int
		offset   int
		size     [2]int // elements of target and source
	}{
		{"nothing", []int{3, 0}, []int{1, 1}, []int{1, 1}, 0, 0, [2]int{1, 1}},
		{"one", []int{}, []int{}, []int{}, 0, 2, [2]int{1, 3}},
		{"all", []int{4, 5}, []int{5, 1}, []int{5, 1}, 0, 0, [2]int{20, 20}},
		{"transpose", []int{50, 70}, []int{70, 1}, []int{1, 50}, 0, 0, [2]int{3500, 3500}},
		{"transpose a stack", []int{3, 33, 40}, []int{1320, 40, 1}, []int{1320, 1, 33}, 0, 0, [2]int{3960, 3960}},
		{"transpose narrow", []int{50, 3}, []int{3, 1}, []int{1, 50}, 0, 0, [2]int{150, 150}},
		{"heads", []int{2, 3, 17, 8}, []int{408, 136, 8, 1}, []int{17 * 72, 8, 72, 1}, 0, 24, [2]int{816, 2 * 17 * 72}},
		{"channels last", []int{2, 9, 9, 12}, []int{972, 108, 12, 1}, []int{972, 9, 1, 81}, 0, 0, [2]int{1944, 1944}},
		{"reversed", []int{4, 6}, []int{6, 1}, []int{6, -1}, 0, 5, [2]int{24, 24}},
		{"every other", []int{4, 3}, []int{3, 1}, []int{12, 2}, 0, 1, [2]int{12, 48}},
		{"repeated", []int{40, 30}, []int{30, 1}, []int{0, 1}, 0, 0, [2]int{1200, 30}},
		{"repeated element", []int{40, 30}, []int{30, 1}, []int{1, 0}, 0, 0, [2]int{1200, 40}},
		{"placed", []int{4, 6}, []int{20, 2}, []int{6, 1}, 3, 0, [2]int{80, 24}},
		{"patches", []int{2, 3, 2, 3, 4, 5}, []int{720, 120, 60, 20, 5, 1}, []int{3 * 13 * 11, 4 * 11, 5, 13 * 11, 11, 1}, 0, 0, [2]int{1440, 2 * 3 * 13 * 11}},
		{"six loops transposed", []int{2, 3, 2, 9, 2, 10}, []int{2160, 720, 360, 40, 20, 2}, []int{1, 2000, 600, 2, 300, 20}, 0, 0, [2]int{4320, 8000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			x := d.normal(c.size[1])
			px := upload(d, x)
			want := make([]float32, c.size[0])
			var walk func(axis, to, from int)
			walk = func(axis, to, from int) {
				if axis == len(c.shape) {
					want[to] = x[from]
					return
				}
				for i := range c.shape[axis] {
					walk(axis+1, to+i*c.to[axis], from+i*c.from[axis])
				}
			}
			walk(0, c.toOffset, c.offset)
			got := d.result(c.size[0], func(y driver.Ptr) error {
				if err := d.Clear(y, int64(4*c.size[0])); err != nil {
					return err
				}
				return kernels.Move(d.q, c.shape, kernels.Placement{Array: kernels.Float32(y), Offset: c.toOffset, Strides: c.to}, kernels.Placement{Array: kernels.Float32(px), Offset: c.offset, Strides: c.from})
			})
			if !slices.Equal(got, want) {
				t.Errorf("%v\nexpected %v", got, want)
			}
		})
	}
}

// TestTranspose: permutations of random shapes.
func TestTranspose(t *testing.T) {
	d := open(t)
	for range 60 {
		perm := d.rng.Perm(1 + d.rng.IntN(5))
		shape, moved := make([]int, len(perm)), make([]int, len(perm))
		for i := range shape {
			shape[i] = 1 + d.rng.IntN([]int{3, 5, 40}[d.rng.IntN(3)])
			if count(shape[:i]...) > 300 {
				shape[i] = 1 + d.rng.IntN(3)
			}
		}
		from := kernels.Placement{Strides: make([]int, len(perm))}
		for i, p := range perm {
			moved[i], from.Strides[i] = shape[p], shapes.RowMajor(shape)[p]
		}
		n := count(shape...)
		x := d.normal(n)
		from.Data = upload(d, x)
		y := d.result(n, func(y driver.Ptr) error {
			return kernels.Move(d.q, moved, kernels.Contiguous(kernels.Float32(y), moved), from)
		})
		d.close(fmt.Sprint(shape, perm), y, d.want(op.Transpose{Perm: perm}, doubles(x, shape...)), 0)
	}
}

func TestGather(t *testing.T) {
	for _, c := range []struct {
		outer, size, inner int
		index              []int64
	}{{3, 5, 7, []int64{0, -1, 4, 4, 2}}, {1, 1, 1, []int64{0}}, {2, 197, 40, []int64{0}}, {2, 3, 4, nil}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			d := open(t)
			count := len(c.index)
			x, dy := d.normal(c.outer*c.size*c.inner), d.normal(c.outer*count*c.inner)
			px, pi, pdy := upload(d, x), upload(d, c.index), upload(d, dy)
			o, in := op.Gather{Axis: 1}, []op.Array{doubles(x, c.outer, c.size, c.inner), integers(c.index, count)}
			y := d.result(len(dy), func(y driver.Ptr) error {
				return kernels.Gather(d.q, kernels.Float32(px), pi, kernels.Float32(y), c.outer, c.size, c.inner, count)
			})
			d.close("y", y, d.want(o, in...), 0)
			dx := d.result(len(x), func(dx driver.Ptr) error {
				return kernels.GatherGrad(d.q, kernels.Float32(pdy), pi, kernels.Float32(dx), c.outer, c.size, c.inner, count)
			})
			d.close("dx", dx, d.gradient(o, 0, dy, in...), 1e-6)
		})
	}
}

func TestReduce(t *testing.T) {
	folds := []struct {
		f kernels.Fold
		o func(axes []int) op.Op
	}{
		{kernels.Sum, func(a []int) op.Op { return op.Reduce{By: op.ReduceSum, Axes: a} }},
		{kernels.Product, func(a []int) op.Op { return op.Reduce{By: op.ReduceProd, Axes: a} }},
		{kernels.Largest, func(a []int) op.Op { return op.Reduce{By: op.ReduceMax, Axes: a} }},
		{kernels.Least, func(a []int) op.Op { return op.Reduce{By: op.ReduceMin, Axes: a} }},
		{kernels.Squares, nil},
	}
	for _, c := range []struct{ shape, axes []int }{
		{[]int{}, nil}, {[]int{3, 4}, nil}, {[]int{1}, []int{0}}, {[]int{0, 3}, []int{0}}, {[]int{3, 0}, []int{1}}, {[]int{0, 3}, []int{1}},
		{[]int{5, 49}, []int{1}}, {[]int{3, 9000}, []int{1}}, {[]int{700, 40}, []int{0}}, {[]int{3, 300, 5}, []int{1}},
		{[]int{4, 5, 6}, []int{0, 1, 2}}, {[]int{7, 3, 6}, []int{0, 2}}, {[]int{2, 3, 2, 3, 2}, []int{0, 2, 4}}, {[]int{2, 3, 2, 3, 2}, []int{1, 3}},
	} {
		t.Run(fmt.Sprint(c.shape, c.axes), func(t *testing.T) {
			d := open(t)
			x := d.normal(count(c.shape...))
			px, work := upload(d, x), d.memory(kernels.ReduceWork(c.shape, c.axes))
			for _, f := range folds {
				var want []float64
				if f.o != nil {
					want = d.want(f.o(c.axes), doubles(x, c.shape...))
				} else {
					want = d.want(op.Reduce{By: op.ReduceSum, Axes: c.axes}, d.forward(op.Mul{}, doubles(x, c.shape...), doubles(x, c.shape...)))
				}
				for i := range want {
					want[i] *= 0.5
				}
				y := d.result(len(want), func(y driver.Ptr) error {
					return kernels.Reduce(d.q, f.f, kernels.Float32(px), kernels.Float32(y), c.shape, c.axes, 0.5, work)
				})
				d.close(string(f.f), y, want, 5e-7)
			}
		})
	}
}
