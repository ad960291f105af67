package graph

import (
	"strings"
	"testing"

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
