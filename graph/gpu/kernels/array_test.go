//go:build gpu && linux && cgo

package kernels_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

// shorten is what numbers are in bfloat16.
func shorten(d *device, x []float32) []uint16 {
	p := upload(d, x)
	return result[uint16](d, len(x), func(y driver.Ptr) error {
		return kernels.Convert(d.q, kernels.Float32(p), kernels.Array{Data: y, BFloat16: true}, len(x))
	})
}

func lengthen(short []uint16) []float32 {
	x := make([]float32, len(short))
	for i, v := range short {
		x[i] = math.Float32frombits(uint32(v) << 16)
	}
	return x
}

func TestConvert(t *testing.T) {
	d := open(t)
	x := append(d.normal(2000), 0, 1, 1+1.0/256, 1+3.0/256, 3.4e38, float32(math.Inf(-1)), float32(math.NaN()), 1e-40)
	short := shorten(d, x)
	for i, v := range x {
		low := float64(math.Float32frombits(math.Float32bits(v) &^ 0xffff))
		high := float64(math.Float32frombits((math.Float32bits(v) &^ 0xffff) + 0x10000))
		got := float64(lengthen(short[i : i+1])[0])
		down, up := float64(v)-low, high-float64(v)
		want := low
		if math.Abs(up) < math.Abs(down) || math.Abs(up) == math.Abs(down) && math.Float32bits(v)>>16&1 == 1 {
			want = high
		}
		if got != want && !(math.IsNaN(got) && v != v) && !math.IsInf(float64(v), 0) && math.Abs(float64(v)) < 3e38 {
			t.Errorf("%v becomes %v, expected %v", v, got, want)
		}
	}
	p := kernels.Array{Data: upload(d, short), BFloat16: true}
	back := d.result(len(x), func(y driver.Ptr) error { return kernels.Convert(d.q, p, kernels.Float32(y), len(x)) })
	if want := lengthen(short); string(driver.Bytes(back)) != string(driver.Bytes(want)) {
		t.Errorf("to float32 they become %v, expected %v", back, want)
	}
	if a := p.From(3); a.Data != p.Data+6 || !a.BFloat16 || a.Bytes(5) != 10 || kernels.Float32(0).Bytes(5) != 20 {
		t.Errorf("element 3 of %v is at %v, with %d bytes after it", p, a, a.Bytes(5))
	}
}

// mixed is a kernel that takes operands in either format, and writes either: with the
// numbers of elements of each, the result's last.
type mixed struct {
	name  string
	sizes []int
	run   func(a []kernels.Array) error
}

// TestFormats: a kernel reads the same numbers from either format, and writes in
// bfloat16 what it writes in float32, rounded.
func TestFormats(t *testing.T) {
	d := open(t)
	for _, k := range mixedKernels(d) {
		t.Run(k.name, func(t *testing.T) {
			last := len(k.sizes) - 1
			var operands [2][]kernels.Array // by format
			for _, n := range k.sizes[:last] {
				short := shorten(d, d.positive(n))
				operands[0] = append(operands[0], kernels.Float32(upload(d, lengthen(short))))
				operands[1] = append(operands[1], kernels.Array{Data: upload(d, short), BFloat16: true})
			}
			var want []float32
			for formats := range 1 << last {
				arrays := make([]kernels.Array, last+1)
				for i := range last {
					arrays[i] = operands[formats>>i&1][i]
				}
				got := d.result(k.sizes[last], func(y driver.Ptr) error {
					arrays[last] = kernels.Float32(y)
					return k.run(arrays)
				})
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Fatalf("operands %b: %v, in float32 %v", formats, got, want)
				}
				short := result[uint16](d, k.sizes[last], func(y driver.Ptr) error {
					arrays[last] = kernels.Array{Data: y, BFloat16: true}
					return k.run(arrays)
				})
				if rounded := shorten(d, want); !slices.Equal(short, rounded) {
					t.Fatalf("operands %b, to bfloat16: %x, rounded afterwards %x", formats, short, rounded)
				}
			}
		})
	}
}

func mixedKernels(d *device) []mixed {
	const rows, columns, n = 5, 70, 350
	scale, bias := upload(d, d.normal(columns)), upload(d, d.normal(columns))
	index := upload(d, []int64{3, 0, -1})
	work := d.memory(1 << 16)
	layer := kernels.Moments{Epsilon: 1e-6, Centred: true}
	shape := []int{rows, columns}
	all := []mixed{
		{"BiasResidual", []int{n, n, n}, func(a []kernels.Array) error {
			return kernels.BiasResidual(d.q, a[0], bias, a[1], a[2], rows, columns)
		}},
		{"Fill", []int{n}, func(a []kernels.Array) error { return kernels.Fill(d.q, a[0], 0.3, n) }},
		{"Normalize", []int{n, n}, func(a []kernels.Array) error {
			return kernels.Normalize(d.q, layer, a[0], scale, bias, a[1], rows, columns)
		}},
		{"NormalizeGrad", []int{n, n, n}, func(a []kernels.Array) error {
			return kernels.NormalizeGrad(d.q, layer, a[0], scale, a[1], a[2], rows, columns)
		}},
		{"NormalizeScaleGrad", []int{n, n, columns}, func(a []kernels.Array) error {
			return kernels.NormalizeScaleGrad(d.q, layer, a[0], a[1], a[2], rows, columns, work)
		}},
		{"BatchNorm", []int{n, n}, func(a []kernels.Array) error {
			return kernels.BatchNorm(d.q, a[0], scale, bias, bias, scale, a[1], rows, 7, 10, 9, work)
		}},
		{"BatchNormInputGrad", []int{n, n}, func(a []kernels.Array) error {
			return kernels.BatchNormInputGrad(d.q, scale, scale, a[0], a[1], rows, 7, 10, 9, work)
		}},
		{"SoftmaxColumns", []int{n, n}, func(a []kernels.Array) error { return kernels.Softmax(d.q, a[0], a[1], 5, 7, 10, false) }},
		{"SoftmaxColumnsGrad", []int{n, n, n}, func(a []kernels.Array) error {
			return kernels.SoftmaxGrad(d.q, a[0], a[1], a[2], 5, 7, 10, false)
		}},
		{"Move", []int{n, n}, func(a []kernels.Array) error {
			return kernels.Move(d.q, shape, kernels.Contiguous(a[1], shape), kernels.Contiguous(a[0], shape))
		}},
		{"Move transposed", []int{n, n}, func(a []kernels.Array) error {
			turned := []int{columns, rows * 1}
			return kernels.Move(d.q, turned, kernels.Contiguous(a[1], turned), kernels.Placement{Array: a[0], Strides: []int{1, columns}})
		}},
		{"Move by tiles", []int{n, n}, func(a []kernels.Array) error {
			return kernels.Move(d.q, []int{10, 35}, kernels.Contiguous(a[1], []int{10, 35}), kernels.Placement{Array: a[0], Strides: []int{1, 10}})
		}},
		{"Move from an element", []int{n, 40}, func(a []kernels.Array) error {
			return kernels.Move(d.q, []int{4, 10}, kernels.Contiguous(a[1], []int{4, 10}), kernels.Placement{Array: a[0], Offset: 3, Strides: []int{70, 2}})
		}},
		{"Gather", []int{n, 3 * columns}, func(a []kernels.Array) error {
			return kernels.Gather(d.q, a[0], index, a[1], 1, rows, columns, 3)
		}},
		{"GatherGrad", []int{3 * columns, n}, func(a []kernels.Array) error {
			return kernels.GatherGrad(d.q, a[0], index, a[1], 1, rows, columns, 3)
		}},
	}
	for _, length := range []int{columns, 300} { // of rows that are kept in registers, and that are not
		for _, logarithm := range []bool{false, true} {
			name := fmt.Sprintf(" of %d, %v", length, logarithm)
			m := 2 * length
			all = append(all, mixed{"Softmax" + name, []int{m, m}, func(a []kernels.Array) error {
				return kernels.Softmax(d.q, a[0], a[1], 2, length, 1, logarithm)
			}}, mixed{"SoftmaxGrad" + name, []int{m, m, m}, func(a []kernels.Array) error {
				return kernels.SoftmaxGrad(d.q, a[0], a[1], a[2], 2, length, 1, logarithm)
			}})
		}
	}
	all = append(all, mixed{"GELU from an element", []int{n + 1, n}, func(a []kernels.Array) error {
		return kernels.Unary(d.q, kernels.GELU, a[0].From(1), a[1], n, 0, 0)
	}}, mixed{"gradient of GELU from an element", []int{n, n + 1, n}, func(a []kernels.Array) error {
		return kernels.UnaryGrad(d.q, kernels.GELU, a[0], a[1].From(1), a[2], n, 0, 0)
	}})
	for _, f := range functions {
		all = append(all, mixed{string(f.f), []int{n, n}, func(a []kernels.Array) error { return kernels.Unary(d.q, f.f, a[0], a[1], n, f.a, f.b) }})
		if f.grad {
			all = append(all, mixed{"gradient of " + string(f.f), []int{n, n, n}, func(a []kernels.Array) error {
				return kernels.UnaryGrad(d.q, f.f, a[0], a[1], a[2], n, f.a, f.b)
			}})
		}
	}
	for _, f := range []kernels.Operator{kernels.Add, kernels.Sub, kernels.Mul, kernels.Div, kernels.Pow, kernels.PowByBase, kernels.PowByExponent, kernels.Max, kernels.Min} {
		all = append(all, mixed{string(f), []int{n, columns, n}, func(a []kernels.Array) error {
			return kernels.Binary(d.q, f, a[0], shape, a[1], shape[1:], a[2], shape)
		}})
	}
	for _, f := range []kernels.Fold{kernels.Sum, kernels.Squares, kernels.Product, kernels.Largest, kernels.Least} {
		all = append(all, mixed{string(f) + " of rows", []int{n, rows}, func(a []kernels.Array) error {
			return kernels.Reduce(d.q, f, a[0], a[1], shape, []int{1}, 0.5, work)
		}}, mixed{string(f) + " of columns", []int{n, columns}, func(a []kernels.Array) error {
			return kernels.Reduce(d.q, f, a[0], a[1], shape, []int{0}, 0.5, work)
		}})
	}
	return append(all, mixed{"sum of several dimensions", []int{n, 7}, func(a []kernels.Array) error {
		return kernels.Reduce(d.q, kernels.Sum, a[0], a[1], []int{5, 7, 10}, []int{0, 2}, 0.5, work)
	}})
}
