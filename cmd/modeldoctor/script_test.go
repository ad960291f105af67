package main

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"modeldoctor": main, "measured": measured})
}

// TestScripts runs the command line as users do. The scripts are in testdata;
// besides testscript's own commands they have
//
//	makemodel KIND FILE   a small model, see models
//	makeimages DIR        three classes of plain colours, 8×8, 32 images each in
//	                      val; makeimages DIR splits writes train and test
//	                      instead, with 48 and 64 each, some of them mislabelled
//	makefloats N FILE     N float32 values
//	exits CODE [ARG...]   run modeldoctor, compare its exit status, and look at the
//	                      reports that it has written; see checkReports
//	interrupts PHASE ARG...   run modeldoctor, and interrupt it once it reports
//	                      that phase
//	killed FILE ARG...    run modeldoctor, and kill it once FILE is there
//	limited BYTES CODE ARG...  exits, with no file allowed to grow beyond BYTES
//	recovers A B LAYER    of two reports of check, B shows less ΔL̂ for a layer
//	validates SCHEMA FILE compare a report with a schema of docs/schema
//	agrees A B TOLERANCE  two JSON reports are the same outside of their provenance,
//	                      but for times, memory, and rounding within a tolerance
//	documented FILE       the last command has printed what a document shows
//
// On condition [gpu] $FAKEGPU is the driver of a GPU that the CPU plays; see the
// package fake.
func TestScripts(t *testing.T) {
	fixtures, err := filepath.Abs(filepath.Join("..", "..", "fixtures"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"makemodel":  makeModel,
			"makeimages": makeImages,
			"makefloats": makeFloats,
			"exits":      exits,
			"interrupts": interrupts,
			"killed":     killed,
			"limited":    limited,
			"recovers":   recovers,
			"validates":  validates,
			"agrees":     agrees,
			"documented": documented,
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root": // who may write anywhere
				return os.Geteuid() == 0, nil
			case "gpu":
				return fakeGPU() != "", nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIXTURES", fixtures)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("CI", "true")
			e.Setenv("FAKEGPU", fakeGPU())
			return nil
		},
	})
}

// exits runs modeldoctor and checks the exit status, which testscript's own
// exec does not tell.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: exits CODE [ARG...]")
	}
	script := fmt.Sprintf(`"$@"; code=$?; if [ $code -ne %s ]; then echo "exit status $code, want %s" >&2; exit 99; fi`, args[0], args[0])
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh", "modeldoctor"}, args[1:]...)...))
	checkReports(ts, args[0], args[1:])
}

// limited is exits with a limit on the size of files, as a full disk has it.
func limited(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: limited BYTES CODE ARG...")
	}
	bytes, err := strconv.Atoi(args[0])
	ts.Check(err)
	// The shell counts in blocks of 512 bytes; the signal is ignored so that
	// writing fails with an error instead.
	script := fmt.Sprintf(`trap '' XFSZ; ulimit -f %d; "$@"; code=$?; if [ $code -ne %s ]; then echo "exit status $code, want %s" >&2; exit 99; fi`, bytes/512, args[1], args[1])
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh", "modeldoctor"}, args[2:]...)...))
}

// interrupts sends the signal of Ctrl-C and expects the exit status for it.
func interrupts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupts PHASE ARG...")
	}
	phase, args := args[0], args[1:]
	last, sent := "", false
	program, err := exec.LookPath(filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "modeldoctor"))
	ts.Check(err)
	cmd := exec.Command(program, args...)
	cmd.Dir = ts.Getenv("WORK")
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		ts.Logf("%s", lines.Text())
		if last = lines.Text(); strings.Contains(last, phase) && !sent { // a second one would end it at once
			sent = true
			ts.Check(cmd.Process.Signal(os.Interrupt))
		}
	}
	_ = cmd.Wait() // its status is looked at below
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		ts.Fatalf("exit status %d, want %d", code, exitInterrupted)
	}
	if !strings.HasPrefix(last, "modeldoctor: interrupted at ") || !strings.Contains(last, " %); no") {
		ts.Fatalf("the last line does not say what was reached: %s", last)
	}
}

// killed ends a run by the signal that no program can handle. It fails where the run
// comes to its end before.
func killed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: killed FILE ARG...")
	}
	script := fmt.Sprintf(`"$@" & while [ ! -e %s ]; do kill -0 $! || exit 98; done; kill -9 $!; wait $!; [ $? -eq 137 ] || exit 99`, args[0])
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh", "modeldoctor"}, args[1:]...)...))
}

// recovers compares what a layer holds according to two reports of check.
func recovers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: recovers A B LAYER")
	}
	var transfer [2]float64
	for i, file := range args[:2] {
		read, err := report.ReadCheck(strings.NewReader(ts.ReadFile(file)))
		ts.Check(err)
		k := slices.IndexFunc(read.Layers, func(l report.Layer) bool { return l.Name == args[2] })
		if k < 0 || read.Layers[k].Transfer == nil {
			ts.Fatalf("%s has no figure of %s", file, args[2])
		}
		transfer[i] = read.Layers[k].Transfer.Mean
	}
	if !(transfer[1] < transfer[0]) {
		ts.Fatalf("ΔL̂ of %s was %g and is %g", args[2], transfer[0], transfer[1])
	}
}

// validates compares a report with the published schema.
func validates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: validates SCHEMA FILE")
	}
	validate(ts, filepath.Join("docs", "schema", args[0]), ts.ReadFile(args[1]))
}

// linearModel is what most kinds of models are: the images' values times a
// matrix, with something wrong in one respect.
type linearModel struct {
	weight float64  // of each class's own colour
	inputs []string // nil: pixels
	output []any    // further dimensions of the scores; nil: the classes
	batch  any      // nil: free
	end    string   // an operator behind the scores
	// quantise stores the matrix as INT8, of which the weight is 2.
	quantise bool
	flat     bool // an input of one dimension
	// blind gives the first class no weights: no temperature makes up for that.
	blind bool
	// skewed adds the second class's colour to the scores of the third.
	skewed bool
}

// models are the kinds that makemodel writes.
func models() map[string]func(path string) error {
	build := func(write func(b *onnxtest.Builder)) func(string) error {
		return func(path string) error {
			b := onnxtest.New(20)
			write(b)
			return os.WriteFile(path, b.Bytes(), 0o644)
		}
	}
	const certainty = 0.05 // right always, but not sure of it
	return map[string]func(path string) error{
		"linear":    build(linearModel{weight: certainty}.write),
		"unsure":    build(linearModel{weight: certainty / 10}.write), // right, and could say so louder
		"softmax":   build(linearModel{weight: certainty, blind: true, end: "Softmax"}.write),
		"batch4":    build(linearModel{weight: certainty, blind: true, batch: 4}.write),
		"flat":      build(linearModel{weight: certainty, flat: true}.write),
		"nan":       build(linearModel{weight: math.NaN()}.write),
		"sick":      build(linearModel{weight: certainty / 10, blind: true}.write),                 // wrong about one class
		"sicker":    build(linearModel{weight: certainty / 10, blind: true, skewed: true}.write),   // and mistakes another for it
		"wrong":     build(linearModel{weight: -certainty}.write),                                  // of every image
		"int8":      build(linearModel{weight: certainty / 10, blind: true, quantise: true}.write), // sick, on a grid
		"twoinputs": build(linearModel{weight: certainty, inputs: []string{"pixels", "mask"}}.write),
		"rank3":     build(linearModel{weight: certainty, output: []any{7, 3}}.write),
		"blind":     build(linearModel{}.write), // every class has the same score
		"vit":       onnxtest.ViT{Image: 8, Patch: 4, Width: 8, Depth: 2, Heads: 2, Hidden: 16, Classes: 3}.WriteFile,
		// External weights, in FILE.data.
		"external": onnxtest.ViT{Image: 8, Patch: 4, Width: 8, Depth: 2, Heads: 2, Hidden: 16, Classes: 3, External: true}.WriteFile,
		// As many classes as the built-in sample has.
		"hundred": onnxtest.ViT{Image: 32, Patch: 16, Width: 8, Depth: 1, Heads: 2, Hidden: 16, Classes: 100}.WriteFile,
		// The classifier is a function that holds its weights, and which of two
		// ways the images are flattened is an If's choice.
		"functions": build(func(b *onnxtest.Builder) {
			linearModel{weight: certainty}.write(b)
			b.Domain("local", 1)
			b.Node("Size", []string{"logits"}, []string{"size"})
			b.Int64("none", nil, []int64{0})
			b.Node("Greater", []string{"size", "none"}, []string{"some"})
			branches := map[string]*onnxtest.Builder{"then_branch": onnxtest.New(20), "else_branch": onnxtest.New(20)}
			branches["then_branch"].Node("Identity", []string{"logits"}, []string{"chosen"})
			branches["else_branch"].Node("Loop", []string{"", "", "logits"}, []string{"chosen"}, onnxtest.Graph("body", nil))
			choice := b.Node("If", []string{"some"}, []string{"same"}).Name("choice")
			for name, branch := range branches {
				branch.Output("chosen", onnx.Float, "batch", 3)
				choice.Attr(onnxtest.Graph(name, branch.GraphBytes()))
			}
			body := onnxtest.New(20)
			body.Constant("weight", onnxtest.Tensor("", onnx.Float, []int{3, 3}).Floats(1, 0.1, 0, 0, 1, 0.1, 0.1, 0, 1))
			body.Node("MatMul", []string{"in", "weight"}, []string{"out"}).Name("product")
			b.Function("local", "Mix", "", []string{"in"}, []string{"out"}, body, nil)
			b.Node("Mix", []string{"same"}, []string{"mixed"}).Domain("local").Name("mix").Metadata("pkg.torch.onnx.name_scopes", "['', 'mixer', 'mix']")
			b.Output("mixed", onnx.Float, "batch", 3)
		}),
		"unknown": build(func(b *onnxtest.Builder) {
			b.Input("pixels", onnx.Float, "batch", 3, 8, 8)
			b.Node("Frobnicate", []string{"pixels"}, []string{"logits"}).Name("odd one")
			b.Output("logits", onnx.Float, "batch", 3)
		}),
	}
}

// write builds a model of three classes, one for each colour.
func (m linearModel) write(b *onnxtest.Builder) {
	const classes, size = 3, 8
	if m.inputs == nil {
		m.inputs = []string{"pixels"}
	}
	if m.output == nil {
		m.output = []any{classes}
	}
	if m.batch == nil {
		m.batch = "batch"
	}
	for _, name := range m.inputs {
		if m.flat {
			b.Input(name, onnx.Float, m.batch, 3*size*size)
			continue
		}
		b.Input(name, onnx.Float, m.batch, 3, size, size)
	}
	weights := make([]float32, 3*size*size*classes)
	for i := range 3 * size * size {
		if colour := i / (size * size); colour > 0 || !m.blind {
			weights[i*classes+colour] = float32(m.weight)
		}
		if i/(size*size) == 1 && m.skewed {
			weights[i*classes+2] = float32(m.weight)
		}
	}
	matrix := []int{3 * size * size, classes}
	if m.quantise {
		stored := make([]byte, len(weights))
		for i, w := range weights {
			stored[i] = byte(math.Round(float64(w) / m.weight * 2))
		}
		b.Tensor("head.weight_quantized", onnx.Int8, matrix, stored)
		b.Float("head.weight_scale", nil, []float32{float32(m.weight / 2)})
		b.Node("DequantizeLinear", []string{"head.weight_quantized", "head.weight_scale"}, []string{"head.weight"})
	} else {
		b.Float("head.weight", matrix, weights)
	}
	shape := []int64{-1}
	for _, d := range m.output {
		shape = append(shape, int64(d.(int)))
	}
	b.Int64("shape", []int{len(shape)}, shape)
	b.Node("Flatten", m.inputs[:1], []string{"flat"})
	b.Node("MatMul", []string{"flat", "head.weight"}, []string{"scores"})
	last := "logits"
	if m.end != "" {
		last = "before"
		b.Node(m.end, []string{last}, []string{"logits"})
	}
	b.Node("Reshape", []string{"scores", "shape"}, []string{last})
	b.Output("logits", onnx.Float, append([]any{m.batch}, m.output...)...)
}

func makeModel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || models()[args[0]] == nil {
		ts.Fatalf("usage: makemodel KIND FILE, with KIND one of %v", slices.Sorted(maps.Keys(models())))
	}
	ts.Check(models()[args[0]](ts.MkAbs(args[1])))
}

func makeImages(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case !neg && len(args) == 1:
		makeSplit(ts, filepath.Join(ts.MkAbs(args[0]), "val"), 0, 32, 0)
	case !neg && len(args) == 2:
		makeSplit(ts, filepath.Join(ts.MkAbs(args[0]), "train"), 0, 48, 7)
		makeSplit(ts, filepath.Join(ts.MkAbs(args[0]), "test"), 100, 400, 7)
	default:
		ts.Fatalf("usage: makeimages DIR [splits]")
	}
}

// makeSplit writes n images of each class, no two alike. Of so many one has the
// colour of another class, so that no certainty is the best.
func makeSplit(ts *testscript.TestScript, dir string, first, n, wrong int) {
	colours := []color.RGBA{{R: 200, A: 255}, {G: 200, A: 255}, {B: 200, A: 255}}
	for class := range colours {
		for i := first; i < first+n; i++ {
			colour := colours[class]
			if wrong > 0 && i%wrong == 0 {
				colour = colours[(class+1)%len(colours)]
			}
			img := image.NewRGBA(image.Rect(0, 0, 8, 8))
			for p := range 64 {
				c := colour
				// The colours differ a little from image to image.
				c.R, c.G, c.B = c.R/2+uint8(i%32*3), c.G/2+uint8(i%32*2), c.B/2+uint8(i%32)
				if p == i/32 {
					c.B++
				}
				img.SetRGBA(p%8, p/8, c)
			}
			dir := filepath.Join(dir, [...]string{"1-red", "2-green", "3-blue"}[class])
			ts.Check(os.MkdirAll(dir, 0o755))
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%03d.png", i)))
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
