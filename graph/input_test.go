package graph

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestInputSpec recognises the layouts of images, and refuses by name what could be
// two things.
func TestInputSpec(t *testing.T) {
	const n = -1 // open
	size := func(h, w int) func(*onnx.Model) (int, int, error) {
		return func(*onnx.Model) (int, int, error) { return h, w, nil }
	}
	for name, c := range map[string]struct {
		dims    []int64
		options Options
		layout  Layout
		want    [3]int // channels, height, width
		err     string
	}{
		"NCHW":                      {[]int64{n, 3, 32, 24}, Options{}, NCHW, [3]int{3, 32, 24}, ""},
		"NHWC":                      {[]int64{n, 32, 24, 3}, Options{}, NHWC, [3]int{3, 32, 24}, ""},
		"one channel":               {[]int64{n, 1, 28, 28}, Options{}, NCHW, [3]int{1, 28, 28}, ""},
		"one channel, last":         {[]int64{1, 28, 28, 1}, Options{}, NHWC, [3]int{1, 28, 28}, ""},
		"four channels":             {[]int64{n, 4, 32, 32}, Options{}, NCHW, [3]int{4, 32, 32}, ""},
		"four channels, last":       {[]int64{n, 32, 32, 4}, Options{}, NHWC, [3]int{4, 32, 32}, ""},
		"told apart by the flag":    {[]int64{n, 3, 32, 3}, Options{Layout: NHWC}, NHWC, [3]int{3, 3, 32}, ""},
		"no channels":               {[]int64{n, 28, 28}, Options{}, NHW, [3]int{1, 28, 28}, ""},
		"no channels, one image":    {[]int64{1, 28, 28}, Options{}, NHW, [3]int{1, 28, 28}, ""},
		"no channels, not square":   {[]int64{n, 28, 20}, Options{}, "", [3]int{}, "rank 3"},
		"the same, with the flag":   {[]int64{n, 28, 20}, Options{Layout: NHW}, NHW, [3]int{1, 28, 20}, ""},
		"one image of three planes": {[]int64{3, 32, 32}, Options{}, "", [3]int{}, "rank 3"},
		"flat, grey":                {[]int64{n, 784}, Options{}, FlatCHW, [3]int{1, 28, 28}, ""},
		"flat, one image":           {[]int64{1, 784}, Options{}, FlatCHW, [3]int{1, 28, 28}, ""},
		"flat, colour":              {[]int64{n, 3072}, Options{}, "", [3]int{}, "does not say"},
		"flat, colour, planes":      {[]int64{n, 3072}, Options{Layout: FlatCHW}, FlatCHW, [3]int{3, 32, 32}, ""},
		"flat, colour, pixels":      {[]int64{n, 3072}, Options{Layout: FlatHWC}, FlatHWC, [3]int{3, 32, 32}, ""},
		"flat, of a size":           {[]int64{n, 600}, Options{Layout: FlatHWC, Height: 10, Width: 20}, FlatHWC, [3]int{3, 10, 20}, ""},
		"flat, of a wrong size":     {[]int64{n, 600}, Options{Layout: FlatHWC, Height: 10, Width: 19}, "", [3]int{}, "600 values"},
		"flat, no image":            {[]int64{n, 13}, Options{}, "", [3]int{}, "rank 2"},
		"flat, open":                {[]int64{n, n}, Options{}, "", [3]int{}, "rank 2"},
		"flat, open, of a size":     {[]int64{n, n}, Options{Height: 28, Width: 28}, FlatCHW, [3]int{1, 28, 28}, ""},
		"a wrong rank":              {[]int64{n, 3, 32, 32}, Options{Layout: NHW}, "", [3]int{}, "rank 4"},
		"rank 5":                    {[]int64{n, 3, 8, 32, 32}, Options{}, "", [3]int{}, "rank 5"},
		"no rank":                   {nil, Options{}, "", [3]int{}, "rank 0"},
		"open":                      {[]int64{n, 3, n, n}, Options{}, "", [3]int{}, "open"},
		"open, as the user says":    {[]int64{n, 3, n, n}, Options{Height: 8, Width: 9, ImageSize: size(5, 5)}, NCHW, [3]int{3, 8, 9}, ""},
		"open, as a file says":      {[]int64{n, 3, n, n}, Options{ImageSize: size(5, 6)}, NCHW, [3]int{3, 5, 6}, ""},
		"open, and no file says":    {[]int64{n, 3, n, n}, Options{ImageSize: size(0, 0)}, "", [3]int{}, "open"},
		"half open":                 {[]int64{n, 3, 7, n}, Options{ImageSize: size(5, 6)}, NCHW, [3]int{3, 7, 6}, ""},
		"not what the user says":    {[]int64{n, 3, 7, 7}, Options{Height: 8, Width: 8}, "", [3]int{}, "7×7"},
	} {
		in := onnx.ValueInfo{Name: "image", DType: onnx.Float}
		for _, d := range c.dims {
			in.Shape = append(in.Shape, onnx.Dim{Value: d})
		}
		spec, err := inputSpec(&onnx.Model{Inputs: []onnx.ValueInfo{in}}, c.options)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: got %+v, %v, want an error with %q", name, spec, err, c.err)
		case c.err == "" && (err != nil || spec.Layout != c.layout || [3]int{spec.Channels, spec.Height, spec.Width} != c.want):
			t.Errorf("%s: got %+v, %v, want %v %v", name, spec, err, c.layout, c.want)
		}
	}
}

// TestBuildLayouts reads models whose inputs have two and three dimensions.
func TestBuildLayouts(t *testing.T) {
	for layout, dims := range map[Layout][]any{NHW: {"n", 2, 2}, FlatCHW: {"n", 4}} {
		b := onnxtest.New(18)
		b.Input("image", onnx.Float, dims...)
		b.Node("Flatten", []string{"image"}, []string{"flat"})
		b.Float("w", []int{4, 3}, ramp(12))
		b.Node("MatMul", []string{"flat", "w"}, []string{"logits"})
		b.Output("logits", onnx.Float, "n", 3)
		n, err := Build(parse(t, b), Options{})
		if err != nil || n.Input.Layout != layout || n.Necks[0].Elements != 4 || n.Parameters() != 12 {
			t.Errorf("%s: %+v, %v", layout, n, err)
		}
	}
}

// preprocessing writes a network of images of 8×8 pixels in channels last that crops,
// resizes, turns around and normalises them before its convolution.
func preprocessing(input onnx.DType) *onnxtest.Builder {
	b := onnxtest.New(18)
	b.Input("image", input, "batch", 8, 8, 3)
	x := "image"
	if input != onnx.Float {
		b.Node("Transpose", []string{"image"}, []string{"same"}, onnxtest.Ints("perm", 0, 1, 2, 3))
		b.Node("Cast", []string{"same"}, []string{"floats"}, onnxtest.Int("to", int64(onnx.Float)))
		x = "floats"
	}
	b.Node("Transpose", []string{x}, []string{"planes"}, onnxtest.Ints("perm", 0, 3, 1, 2))
	b.Float("scales", []int{4}, []float32{1, 1, 0.5, 0.5})
	b.Node("Resize", []string{"planes", "", "scales"}, []string{"small"}, onnxtest.String("mode", "linear"))
	b.Int64("bgr", []int{3}, []int64{2, 1, 0})
	b.Node("Gather", []string{"small", "bgr"}, []string{"turned"}, onnxtest.Int("axis", 1))
	b.Float("mean", []int{1, 3, 1, 1}, []float32{100, 110, 120})
	b.Node("Sub", []string{"turned", "mean"}, []string{"centred"})
	b.Float("std", []int{1, 3, 1, 1}, []float32{50, 60, 70})
	b.Node("Div", []string{"centred", "std"}, []string{"normal"})
	b.Float("conv.weight", []int{2, 3, 4, 4}, ramp(96))
	b.Node("Conv", []string{"normal", "conv.weight"}, []string{"map"})
	b.Node("Flatten", []string{"map"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 2)
	return b
}

// TestPreprocessingInGraph: numbers that meet the image before anything is learned are
// none that are learned, whatever is done to it in between; images of bytes are those of
// the same numbers.
func TestPreprocessingInGraph(t *testing.T) {
	// By hand: a pixel that is v in all channels and all around stays v, and each channel
	// c of its 16 adds (v − mean[c]) / std[c] times its filter's sum.
	const v = 200
	want := make([]float64, 2)
	for i, w := range ramp(96) {
		c := i / 16 % 3
		want[i/48] += float64(w) * (v - float64([]int{100, 110, 120}[c])) / float64([]int{50, 60, 70}[c])
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, input := range []onnx.DType{onnx.Float, onnx.Uint8, onnx.Int32, onnx.Int64} {
			n, err := Build(parse(t, preprocessing(input)), Options{})
			if err != nil {
				t.Fatalf("%v: %v", input, err)
			}
			if len(n.Weights) != 1 || n.Weights[0].Name != "conv.weight" {
				t.Errorf("%v: %d weights: %v", input, len(n.Weights), n.Skipped)
			}
			if n.Input.DType != input || n.Input.Layout != NHWC || n.Input.Integers() != (input != onnx.Float) {
				t.Errorf("%v: input %+v", input, n.Input)
			}
			logits := logitsFor(t, on, n, slices.Repeat([]float32{v}, 3*64))
			testdevice.CloseTo(t, input.String(), []float64{float64(logits[0][0]), float64(logits[0][1])}, want, 1e-5)
		}
	})
}

// TestLearnedBesideImage: what is put beside the image, and not computed with it, may be
// learned.
func TestLearnedBesideImage(t *testing.T) {
	b := onnxtest.New(18)
	b.Input("image", onnx.Float, 1, 3, 2, 2)
	b.Float("position", []int{1, 2, 2, 2}, ramp(8))
	b.Node("Concat", []string{"image", "position"}, []string{"both"}, onnxtest.Int("axis", 1))
	b.Float("scale", []int{1, 5, 1, 1}, ramp(5))
	b.Node("Mul", []string{"both", "scale"}, []string{"scaled"})
	b.Node("GlobalAveragePool", []string{"scaled"}, []string{"pooled"})
	b.Node("Flatten", []string{"pooled"}, []string{"logits"})
	b.Output("logits", onnx.Float, 1, 5)
	n, err := Build(parse(t, b), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Weights) != 2 {
		t.Errorf("%d weights: %v", len(n.Weights), n.Skipped)
	}
}

// TestTracedWithOneImage: a graph whose shapes are those of one image is run image by
// image, whatever its input declares; one that fits no batch is refused as at first.
func TestTracedWithOneImage(t *testing.T) {
	traced := func(sizes ...int64) *onnxtest.Builder {
		b := onnxtest.New(18)
		b.Input("image", onnx.Float, "batch", 3, 2, 2)
		b.Int64("shape", []int{len(sizes)}, sizes)
		b.Node("Reshape", []string{"image", "shape"}, []string{"flat"})
		b.Float("head.weight", []int{12, 2}, ramp(24))
		b.Node("MatMul", []string{"flat", "head.weight"}, []string{"logits"})
		b.Output("logits", onnx.Float, "batch", 2)
		return b
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		free, err := Build(parse(t, traced(-1, 12)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		one, err := Build(parse(t, traced(1, 12)), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if free.Input.FixedBatch != 0 || one.Input.FixedBatch != 1 || one.Batch != 1 {
			t.Errorf("fixed batches %d and %d", free.Input.FixedBatch, one.Input.FixedBatch)
		}
		if want, got := logitsFor(t, on, free, ramp(36)), logitsFor(t, on, one, ramp(36)); !reflect.DeepEqual(got, want) {
			t.Errorf("logits %v, want %v", got, want)
		}
	})
	if _, err := Build(parse(t, traced(2, 12)), Options{}); err == nil || !strings.Contains(err.Error(), "[11 3 2 2]") {
		t.Errorf("error %v", err)
	}
}

// TestTracedTokensOfOneImage: a graph that would put the tokens of all images into one
// row is run image by image, too.
func TestTracedTokensOfOneImage(t *testing.T) {
	tokens := func(sizes ...int64) *Network {
		b := onnxtest.New(13)
		b.Input("image", onnx.Float, "batch", 3, 2, 2)
		b.Int64("shape", []int{3}, sizes)
		b.Node("Reshape", []string{"image", "shape"}, []string{"tokens"})
		b.Float("head.weight", []int{3, 2}, ramp(6))
		b.Node("MatMul", []string{"tokens", "head.weight"}, []string{"scores"})
		b.Node("ReduceMean", []string{"scores"}, []string{"logits"}, onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 0))
		b.Output("logits", onnx.Float, "batch", 2)
		n, err := Build(parse(t, b), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		free, one := tokens(-1, 4, 3), tokens(1, -1, 3)
		if free.Input.FixedBatch != 0 || one.Input.FixedBatch != 1 {
			t.Errorf("fixed batches %d and %d", free.Input.FixedBatch, one.Input.FixedBatch)
		}
		if want, got := logitsFor(t, on, free, ramp(36)), logitsFor(t, on, one, ramp(36)); !reflect.DeepEqual(got, want) {
			t.Errorf("logits %v, want %v", got, want)
		}
	})
}
