package op_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestConvGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, test := range []struct {
			o       op.Conv
			x       []int
			filters []int
		}{
			{op.Conv{Kernel: []int{2}, Strides: []int{1}, Dilations: []int{1}, Pads: []int{0, 0}, Group: 1}, []int{2, 3, 5}, []int{2, 3, 2}},
			{op.Conv{Kernel: []int{3, 2}, Strides: []int{2, 1}, Dilations: []int{1, 2}, Pads: []int{1, 0, 2, 1}, Group: 1}, []int{2, 2, 5, 4}, []int{3, 2, 3, 2}},
			{op.Conv{Kernel: []int{2, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}, Group: 1}, []int{2, 3, 4, 6}, []int{4, 3, 2, 2}},
			{op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 2}, []int{2, 4, 4, 3}, []int{6, 2, 3, 3}},
			{op.Conv{Kernel: []int{3, 3}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 3}, []int{2, 3, 5, 4}, []int{6, 1, 3, 3}},
			{op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 2}, []int{2, 2, 3, 7}, []int{2, 1, 3, 3}},
			{op.Conv{Kernel: []int{2, 1, 2}, Strides: []int{1, 1, 1}, Dilations: []int{1, 1, 1}, Pads: []int{1, 0, 0, 0, 0, 1}, Group: 1}, []int{1, 2, 3, 2, 3}, []int{2, 2, 2, 1, 2}},
		} {
			t.Run(fmt.Sprint(test), func(t *testing.T) {
				r := optest.Random()
				x, w, b := optest.Normal(r, test.x...), optest.Normal(r, test.filters...), optest.Normal(r, test.filters[0])
				optest.Gradient(t, on, test.o, x, w)
				optest.Gradient(t, on, test.o, x, w, b)
			})
		}
	})
}

// TestConvTiles has more positions than a tile. The result is compared with the
// definition, the gradients by what holds for a function linear in x and in w:
// ⟨dout, y⟩ = ⟨dx, x⟩ = ⟨dw, w⟩.
func TestConvTiles(t *testing.T) {
	const images, channels, filters, height, width = 2, 300, 2, 12, 11
	r := optest.Random()
	o := op.Conv{Kernel: []int{2, 2}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{0, 1, 1, 0}, Group: 1}
	x, w := optest.Normal(r, images, channels, height, width), optest.Normal(r, filters, channels, 2, 2)
	y := optest.Apply(t, o, x, w)
	var want []float64
	for n := range images {
		for m := range filters {
			for i := range height {
				for j := range width {
					sum := 0.0
					for c := range channels {
						for a := range 2 {
							for b := range 2 {
								if h, v := i+a, j+b-1; h < height && v >= 0 && v < width {
									sum += op.Elem[float64](x)[((n*channels+c)*height+h)*width+v] * op.Elem[float64](w)[((m*channels+c)*2+a)*2+b]
								}
							}
						}
					}
					want = append(want, sum)
				}
			}
		}
	}
	testdevice.CloseTo(t, "convolution", y.AsFloats(), want, 1e-13)
	tile, err := o.Tile([]op.Type{x.Type, w.Type})
	if err != nil {
		t.Fatal(err)
	}
	if tile >= height*width {
		t.Fatalf("a tile of %d positions holds all %d", tile, height*width)
	}
	dout := optest.Normal(r, y.Shape...)
	dx := optest.Apply(t, op.ConvGradient{Conv: o, Shape: x.Shape}, w, dout)
	dw := optest.Apply(t, op.ConvGradient{Conv: o, Filters: true, Shape: w.Shape}, x, dout)
	checkAdjoint(t, dout, y, dx, x, dw, w)
}

// checkAdjoint asserts that the products of consecutive pairs are equal.
func checkAdjoint(t *testing.T, pairs ...op.Array) {
	t.Helper()
	product := func(i int) float64 { return kernel.Dot(op.Elem[float64](pairs[i]), op.Elem[float64](pairs[i+1])) }
	for i := 2; i < len(pairs); i += 2 {
		testdevice.CloseTo(t, fmt.Sprint("inner product ", i/2), []float64{product(i)}, []float64{product(0)}, 1e-12)
	}
}

// TestPatchTiles is TestConvTiles for a PatchEmbedding, of images that the
// patches do not cover.
func TestPatchTiles(t *testing.T) {
	r := optest.Random()
	o := op.PatchEmbedding{Kernel: []int{2, 3}}
	x, w := optest.Normal(r, 2, 2, 27, 37), optest.Normal(r, 3, 2, 2, 3)
	y := optest.Apply(t, o, x, w)
	if y.Shape[0]*y.Shape[1] <= op.PatchRows {
		t.Fatalf("one tile holds all patches of %v", y.Shape)
	}
	planes := optest.Apply(t, o.Convolution(), x, w)
	testdevice.CloseTo(t, "tokens", y.AsFloats(), optest.Apply(t, op.Transpose{Perm: []int{0, 2, 1}}, planes.View([]int{2, 3, 13 * 12})).AsFloats(), 1e-14)
	dout := optest.Normal(r, y.Shape...)
	dx := optest.Apply(t, op.PatchGradient{Kernel: o.Kernel, Shape: x.Shape}, w, dout)
	dw := optest.Apply(t, op.PatchGradient{Kernel: o.Kernel, Filters: true, Shape: w.Shape}, x, dout)
	checkAdjoint(t, dout, y, dx, x, dw, w)
}

func TestPatchEmbeddingGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		x, w, b := optest.Normal(r, 2, 3, 4, 6), optest.Normal(r, 5, 3, 2, 3), optest.Normal(r, 5)
		o := op.PatchEmbedding{Kernel: []int{2, 3}}
		optest.Gradient(t, on, o, x, w)
		optest.Gradient(t, on, o, x, w, b)
		if !o.Convolution().Patches() {
			t.Error("a patch embedding is not a convolution over patches")
		}
	})
}

func TestWindowRefusesWrongSizes(t *testing.T) {
	x := op.Type{DType: onnx.Float, Shape: []int{1, 2, 5, 5}}
	good := op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}, Group: 1}
	filters := op.Type{DType: onnx.Float, Shape: []int{4, 2, 3, 3}}
	if _, err := good.Infer([]op.Type{x, filters}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change  func(*op.Conv)
		filters []int
	}{
		{func(o *op.Conv) { o.Strides = []int{0, 1} }, filters.Shape},
		{func(o *op.Conv) { o.Dilations = []int{3, 1} }, filters.Shape},
		{func(o *op.Conv) { o.Pads = []int{0, 0, -1, 0} }, filters.Shape},
		{func(o *op.Conv) { o.Group = 2 }, filters.Shape},
		{func(o *op.Conv) { o.Group = 0 }, filters.Shape},
		{func(*op.Conv) {}, []int{4, 3, 3, 3}},
		{func(*op.Conv) {}, []int{4, 2, 3, 2}},
		{func(*op.Conv) {}, []int{4, 2, 3}},
	} {
		o := good
		test.change(&o)
		if got, err := o.Infer([]op.Type{x, x.With(test.filters...)}); err == nil {
			t.Errorf("%+v with filters %v: accepted, result %v", o, test.filters, got)
		}
	}
	if !slices.Equal(good.Kernel, []int{3, 3}) {
		t.Error("a test changed what it shares")
	}
}

// TestConvFloat32 compares the cotangents of float32, which kernels compute, with those of
// float64, which plain Go does, and the results on the variants of kernels.
func TestConvFloat32(t *testing.T) {
	for _, test := range []struct {
		o       op.Conv
		x       []int
		filters []int
	}{
		{op.Conv{Kernel: []int{3}, Strides: []int{2}, Dilations: []int{1}, Pads: []int{1, 0}, Group: 1}, []int{2, 3, 50}, []int{5, 3, 3}},
		{op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 2}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 1}, []int{3, 9, 17, 12}, []int{13, 9, 3, 3}},
		{op.Conv{Kernel: []int{3, 2}, Strides: []int{1, 1}, Dilations: []int{2, 3}, Pads: []int{2, 3, 1, 0}, Group: 1}, []int{2, 4, 12, 13}, []int{6, 4, 3, 2}},
		{op.Conv{Kernel: []int{3, 3}, Strides: []int{2, 2}, Dilations: []int{2, 2}, Pads: []int{2, 2, 2, 2}, Group: 2}, []int{2, 4, 12, 13}, []int{6, 2, 3, 3}},
		{op.Conv{Kernel: []int{5, 5}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{2, 2, 2, 2}, Group: 7}, []int{3, 7, 15, 14}, []int{7, 1, 5, 5}},
		{op.Conv{Kernel: []int{1, 1}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}, Group: 1}, []int{2, 5, 9, 10}, []int{3, 5, 1, 1}},
		{op.Conv{Kernel: []int{1, 1}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{2, 0, 0, 1}, Group: 1}, []int{2, 5, 9, 10}, []int{3, 5, 1, 1}},
		{op.Conv{Kernel: []int{2, 2, 2}, Strides: []int{1, 1, 2}, Dilations: []int{1, 1, 1}, Pads: []int{0, 1, 0, 0, 1, 1}, Group: 1}, []int{2, 3, 3, 5, 4}, []int{2, 3, 2, 2, 2}},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			r := optest.Random()
			x, w := optest.Normal(r, test.x...), optest.Normal(r, test.filters...)
			dout := optest.Normal(r, optest.Apply(t, test.o, x, w).Shape...)
			for _, c := range []struct {
				o  op.Op
				in []op.Array
			}{
				{test.o, []op.Array{x, w, optest.Normal(r, test.filters[0])}},
				{op.ConvGradient{Conv: test.o, Shape: test.x}, []op.Array{w, dout}},
				{op.ConvGradient{Conv: test.o, Filters: true, Shape: test.filters}, []op.Array{x, dout}},
			} {
				want := optest.Apply(t, c.o, c.in...)
				single := make([]op.Array, len(c.in))
				for i, a := range c.in {
					single[i] = optest.Float32(a)
				}
				for _, v := range kernel.Variants() {
					got := op.Floats(make([]float32, want.Elements()), want.Shape...)
					c.o.Forward(kernel.NewContext(2, kernel.WithVariant(v)), got, single)
					testdevice.CloseTo(t, fmt.Sprint(c.o.Name(), " ", v), got.AsFloats(), want.AsFloats(), 1e-4)
				}
			}
		})
	}
}
