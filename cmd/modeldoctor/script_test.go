package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"modeldoctor/onnx"
	"modeldoctor/onnx/onnxtest"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"modeldoctor": main})
}

// TestScripts runs the command line as users do. The scripts are in testdata;
// besides testscript's own commands they have
//
//	makemodel KIND FILE   a small model, see models
//	makeimages DIR        three classes of plain colours, 8×8, 32 images each
//	makefloats N FILE     N float32 values
//	exits CODE ARG...     run modeldoctor and compare its exit status
func TestScripts(t *testing.T) {
	fixtures, err := filepath.Abs(filepath.Join("..", "..", "fixtures"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"makemodel":  makeModel,
			"makeimages": makeImages,
			"makefloats": makeFloats,
			"exits":      exits,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIXTURES", fixtures)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("CI", "true")
			return nil
		},
	})
}

// exits runs modeldoctor and checks the exit status, which testscript's own
// exec does not tell.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARG...")
	}
	script := fmt.Sprintf(`"$@"; code=$?; if [ $code -ne %s ]; then echo "exit status $code, want %s" >&2; exit 99; fi`, args[0], args[0])
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh", "modeldoctor"}, args[1:]...)...))
}

// models are the kinds that makemodel writes. All take images of 8×8.
var models = map[string]func(b *onnxtest.Builder){
	// linear sees the colour: it is right always, but not sure of it.
	"linear":    func(b *onnxtest.Builder) { linear(b, colourWeights(3, 8, 0.05), []string{"pixels"}, 1, 3) },
	"nan":       func(b *onnxtest.Builder) { linear(b, colourWeights(3, 8, math.NaN()), []string{"pixels"}, 1, 3) },
	"twoinputs": func(b *onnxtest.Builder) { linear(b, colourWeights(3, 8, 0.05), []string{"pixels", "mask"}, 1, 3) },
	"rank3":     func(b *onnxtest.Builder) { linear(b, colourWeights(3, 8, 0.05), []string{"pixels"}, 1, 1, 3) },
	// blind gives every class the same score.
	"blind": func(b *onnxtest.Builder) { linear(b, colourWeights(3, 8, 0), []string{"pixels"}, 1, 3) },
	// unknown has an operator that does not exist.
	"unknown": func(b *onnxtest.Builder) {
		b.Input("pixels", onnx.Float, "batch", 3, 8, 8)
		b.Node("Frobnicate", []string{"pixels"}, []string{"logits"}).Name("odd one")
		b.Output("logits", onnx.Float, "batch", 3)
	},
	// missingdata refers to a data file that is not there.
	"missingdata": func(b *onnxtest.Builder) {
		b.Input("pixels", onnx.Float, "batch", 3, 8, 8)
		b.Node("Flatten", []string{"pixels"}, []string{"flat"})
		b.External("weight", onnx.Float, []int{192, 3}, "model.onnx.data", 0, 4*192*3)
		b.Node("MatMul", []string{"flat", "weight"}, []string{"logits"})
		b.Output("logits", onnx.Float, "batch", 3)
	},
}

// colourWeights sum each class's own colour, with the given weight per pixel.
func colourWeights(classes, size int, w float64) []float32 {
	weights := make([]float32, 3*size*size*classes)
	for i := range 3 * size * size {
		weights[i*classes+i/(size*size)] = float32(w)
	}
	return weights
}

func linear(b *onnxtest.Builder, weights []float32, inputs []string, shape ...int64) {
	for _, name := range inputs {
		b.Input(name, onnx.Float, "batch", 3, 8, 8)
	}
	b.Node("Flatten", []string{inputs[0]}, []string{"flat"})
	b.Float("head.weight", []int{192, 3}, weights)
	b.Node("MatMul", []string{"flat", "head.weight"}, []string{"scores"})
	dims := []any{"batch"}
	for _, d := range shape[1:] {
		dims = append(dims, int(d))
	}
	shape[0] = -1
	b.Int64("shape", []int{len(shape)}, shape)
	b.Node("Reshape", []string{"scores", "shape"}, []string{"logits"})
	b.Output("logits", onnx.Float, dims...)
}

func makeModel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || models[args[0]] == nil {
		ts.Fatalf("usage: makemodel KIND FILE, with one of %d kinds", len(models))
	}
	b := onnxtest.New(20)
	models[args[0]](b)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
}

func makeImages(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: makeimages DIR")
	}
	for class, colour := range []color.RGBA{{R: 200, A: 255}, {G: 200, A: 255}, {B: 200, A: 255}} {
		for i := range 32 {
			img := image.NewRGBA(image.Rect(0, 0, 8, 8))
			for p := range 64 {
				c := colour
				// The colours differ a little from image to image.
				c.R, c.G, c.B = c.R/2+uint8(i*3), c.G/2+uint8(i*2), c.B/2+uint8(i)
				img.SetRGBA(p%8, p/8, c)
			}
			dir := filepath.Join(ts.MkAbs(args[0]), "val", [...]string{"1-red", "2-green", "3-blue"}[class])
			ts.Check(os.MkdirAll(dir, 0o755))
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%02d.png", i)))
			ts.Check(err)
			ts.Check(png.Encode(f, img))
			ts.Check(f.Close())
		}
	}
}

func makeFloats(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if neg || len(args) != 2 {
		ts.Fatalf("usage: makefloats N FILE")
	}
	_, err := fmt.Sscan(args[0], &n)
	ts.Check(err)
	data := make([]byte, 0, 4*n)
	for i := range n {
		bits := math.Float32bits(float32(i%7) / 7)
		data = append(data, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}
