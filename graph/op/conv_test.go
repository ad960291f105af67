package op

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestConvGradient(t *testing.T) {
	for _, test := range []struct {
		o       Conv
		x       []int
		filters []int
	}{
		{Conv{Kernel: []int{2}, Strides: []int{1}, Dilations: []int{1}, Pads: []int{0, 0}, Group: 1}, []int{2, 3, 5}, []int{2, 3, 2}},
		{Conv{Kernel: []int{3, 2}, Strides: []int{2, 1}, Dilations: []int{1, 2}, Pads: []int{1, 0, 2, 1}, Group: 1}, []int{2, 2, 5, 4}, []int{3, 2, 3, 2}},
		{Conv{Kernel: []int{2, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}, Group: 1}, []int{2, 3, 4, 6}, []int{4, 3, 2, 2}},
		{Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 2}, []int{2, 4, 4, 3}, []int{6, 2, 3, 3}},
		{Conv{Kernel: []int{3, 3}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 3}, []int{2, 3, 5, 4}, []int{6, 1, 3, 3}},
		{Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 2}, []int{2, 2, 3, 7}, []int{2, 1, 3, 3}},
		{Conv{Kernel: []int{2, 1, 2}, Strides: []int{1, 1, 1}, Dilations: []int{1, 1, 1}, Pads: []int{1, 0, 0, 0, 0, 1}, Group: 1}, []int{1, 2, 3, 2, 3}, []int{2, 2, 2, 1, 2}},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			r := random()
			x, w, b := normal(r, test.x...), normal(r, test.filters...), normal(r, test.filters[0])
			checkGradient(t, test.o, x, w)
			checkGradient(t, test.o, x, w, b)
		})
	}
}

// TestConvTiles has more positions than a tile. The result is compared with the
// definition, the gradients by what holds for a function linear in x and in w:
// ⟨dout, y⟩ = ⟨dx, x⟩ = ⟨dw, w⟩.
func TestConvTiles(t *testing.T) {
	const images, channels, filters, height, width = 2, 300, 2, 12, 11
	r := random()
	o := Conv{Kernel: []int{2, 2}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{0, 1, 1, 0}, Group: 1}
	x, w := normal(r, images, channels, height, width), normal(r, filters, channels, 2, 2)
	y := apply(t, o, x, w)
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
									sum += Elem[float64](x)[((n*channels+c)*height+h)*width+v] * Elem[float64](w)[((m*channels+c)*2+a)*2+b]
								}
							}
						}
					}
					want = append(want, sum)
				}
			}
		}
	}
	closeTo(t, "convolution", y.AsFloats(), want, 1e-13)
	n, err := o.convolution([]Type{x.Type, w.Type})
	if err != nil {
		t.Fatal(err)
	}
	if n.tile() >= height*width {
		t.Fatalf("a tile of %d positions holds all %d", n.tile(), height*width)
	}
	dout := normal(r, y.Shape...)
	dx := apply(t, convGradient{Conv: o, Shape: x.Shape}, w, dout)
	dw := apply(t, convGradient{Conv: o, Filters: true, Shape: w.Shape}, x, dout)
	checkAdjoint(t, dout, y, dx, x, dw, w)
}

// apply computes an Op.
func apply(t *testing.T, o Op, in ...Array) Array {
	t.Helper()
	p := NewProgram(0)
	values := make([]*Value, len(in))
	for i, a := range in {
		values[i] = p.Constant(a)
	}
	y, err := p.Emit(o, values...)
	if err != nil {
		t.Fatal(err)
	}
	return *y.Const
}

// checkAdjoint asserts that the products of consecutive pairs are equal.
func checkAdjoint(t *testing.T, pairs ...Array) {
	t.Helper()
	product := func(i int) float64 { return kernel.Dot(Elem[float64](pairs[i]), Elem[float64](pairs[i+1])) }
	for i := 2; i < len(pairs); i += 2 {
		closeTo(t, fmt.Sprint("inner product ", i/2), []float64{product(i)}, []float64{product(0)}, 1e-12)
	}
}

// TestPatchTiles is TestConvTiles for a PatchEmbedding, of images that the
// patches do not cover.
func TestPatchTiles(t *testing.T) {
	r := random()
	o := PatchEmbedding{Kernel: []int{2, 3}}
	x, w := normal(r, 2, 2, 27, 37), normal(r, 3, 2, 2, 3)
	y := apply(t, o, x, w)
	if y.Shape[0]*y.Shape[1] <= patchRows {
		t.Fatalf("one tile holds all patches of %v", y.Shape)
	}
	planes := apply(t, o.conv(), x, w)
	closeTo(t, "tokens", y.AsFloats(), apply(t, Transpose{Perm: []int{0, 2, 1}}, planes.View([]int{2, 3, 13 * 12})).AsFloats(), 1e-14)
	dout := normal(r, y.Shape...)
	dx := apply(t, patchGradient{Kernel: o.Kernel, Shape: x.Shape}, w, dout)
	dw := apply(t, patchGradient{Kernel: o.Kernel, Filters: true, Shape: w.Shape}, x, dout)
	checkAdjoint(t, dout, y, dx, x, dw, w)
}

func TestPatchEmbeddingGradient(t *testing.T) {
	r := random()
	x, w, b := normal(r, 2, 3, 4, 6), normal(r, 5, 3, 2, 3), normal(r, 5)
	o := PatchEmbedding{Kernel: []int{2, 3}}
	checkGradient(t, o, x, w)
	checkGradient(t, o, x, w, b)
	if !o.conv().Patches() {
		t.Error("a patch embedding is not a convolution over patches")
	}
}

func poolWindows() []struct {
	w PoolWindow
	x []int
} {
	return []struct {
		w PoolWindow
		x []int
	}{
		{PoolWindow{Kernel: []int{2}, Strides: []int{1}, Dilations: []int{2}, Pads: []int{1, 0}}, []int{2, 2, 6}},
		{PoolWindow{Kernel: []int{3, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 0}, Ceil: true}, []int{2, 3, 6, 5}},
		{PoolWindow{Kernel: []int{2, 2, 2}, Strides: []int{1, 2, 1}, Dilations: []int{1, 1, 1}, Pads: []int{0, 0, 0, 0, 0, 0}}, []int{1, 2, 3, 4, 3}},
	}
}

func TestPoolGradient(t *testing.T) {
	for _, test := range poolWindows() {
		x := normal(random(), test.x...)
		checkGradient(t, MaxPool{test.w}, x)
		checkGradient(t, AveragePool{test.w, false}, x)
		checkGradient(t, AveragePool{test.w, true}, x)
	}
}

func TestMaxPoolIndicesPointAtTheMaxima(t *testing.T) {
	for _, test := range poolWindows() {
		p := NewProgram(0)
		x := p.Constant(normal(random(), test.x...))
		y, err := p.Emit(MaxPool{test.w}, x)
		if err != nil {
			t.Fatal(err)
		}
		indices, err := p.Emit(MaxPoolIndices{PoolWindow: test.w}, x)
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range Elem[int64](*indices.Const) {
			if got, want := x.Const.AsFloats()[at], y.Const.AsFloats()[i]; got != want {
				t.Errorf("%v: index %d points at %g, want %g", test.w, at, got, want)
			}
		}
	}
}

// TestMaxPoolTies: of equal elements the first takes the cotangent.
func TestMaxPoolTies(t *testing.T) {
	o := maxPoolGradient{PoolWindow{Kernel: []int{3}, Strides: []int{1}, Dilations: []int{1}, Pads: []int{0, 0}}}
	p := NewProgram(0)
	dx, err := p.Emit(o, p.Constant(Floats([]float32{1, 1, 1, 1}, 1, 1, 4)), p.Constant(Floats([]float32{1, 1}, 1, 1, 2)), p.Constant(Floats([]float32{3, 5}, 1, 1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "cotangent", dx.Const.AsFloats(), []float64{3, 5, 0, 0}, 0)
}

func TestWindowRefusesWrongSizes(t *testing.T) {
	x := Type{onnx.Float, []int{1, 2, 5, 5}}
	good := Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}, Group: 1}
	filters := Type{onnx.Float, []int{4, 2, 3, 3}}
	if _, err := good.Infer([]Type{x, filters}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change  func(*Conv)
		filters []int
	}{
		{func(o *Conv) { o.Strides = []int{0, 1} }, filters.Shape},
		{func(o *Conv) { o.Dilations = []int{3, 1} }, filters.Shape},
		{func(o *Conv) { o.Pads = []int{0, 0, -1, 0} }, filters.Shape},
		{func(o *Conv) { o.Group = 2 }, filters.Shape},
		{func(o *Conv) { o.Group = 0 }, filters.Shape},
		{func(*Conv) {}, []int{4, 3, 3, 3}},
		{func(*Conv) {}, []int{4, 2, 3, 2}},
		{func(*Conv) {}, []int{4, 2, 3}},
	} {
		o := good
		test.change(&o)
		if got, err := o.Infer([]Type{x, x.With(test.filters...)}); err == nil {
			t.Errorf("%+v with filters %v: accepted, result %v", o, test.filters, got)
		}
	}
	if !slices.Equal(good.Kernel, []int{3, 3}) {
		t.Error("a test changed what it shares")
	}
}
