package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/peak"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"

	"google.golang.org/protobuf/encoding/protowire"
)

// What a hostile file may take, in bytes: as much for each of its own, and so
// much besides. A file that keeps the program busy for longer than patience is a
// failure too.
const (
	hostilePerByte = 4
	hostileBase    = 72 << 20 // of which the program itself is up to 40
	patience       = 2 * time.Minute
)

// hostileFile is a file that was made to do harm.
type hostileFile struct {
	name string
	file func() []byte
	says string // part of what the program says
}

// TestHostileFiles gives the program, in a process of its own, files that claim
// what they do not hold or ask for what no machine has. Each must end in an error
// that says why, in bounded memory.
func TestHostileFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("short tests are run under the race detector, which takes memory of its own")
	}
	for _, h := range append(hostileStructures(), hostileConstants()...) {
		t.Run(strings.ReplaceAll(h.name, " ", "-"), func(t *testing.T) {
			data := h.file()
			path := filepath.Join(t.TempDir(), "hostile.onnx")
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			said, peak := runHostile(t, exitUnreadable, "inspect", path)
			if !strings.Contains(said, h.says) || !strings.Contains(said, "hostile.onnx") {
				t.Errorf("%s\nexpected %q", said, h.says)
			}
			if limit := hostilePerByte*int64(len(data)) + hostileBase; peak > limit {
				t.Errorf("%d MiB for a file of %d bytes, expected at most %d MiB", peak>>20, len(data), limit>>20)
			}
		})
	}
}

// runHostile runs the program and returns the beginning of what it says and the
// largest resident set of its process, 0 where the system does not tell.
func runHostile(t *testing.T, code int, args ...string) (said string, peak int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "measured", append([]string{"modeldoctor"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	const most = 4 << 10
	if stderr.Len() > most {
		t.Errorf("%d bytes on standard error", stderr.Len())
	}
	said = string(stderr.Bytes()[:min(most, stderr.Len())])
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("exit status %d, want %d: %v\n%s", cmd.ProcessState.ExitCode(), code, err, said)
	}
	if strings.Contains(said, "goroutine ") || strings.Contains(said, "internal error") {
		t.Errorf("a panic:\n%s", said)
	}
	if _, err := fmt.Sscan(stdout.String(), &peak); err != nil {
		t.Fatal(err)
	}
	return said, peak
}

// measured runs a program and writes its largest resident set, in bytes, to
// standard output, where that of the program does not go; 0 where the system does
// not tell. It is a process of its own because a child's figure begins with what
// its parent holds when it starts it.
func measured() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stderr = os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitInternal)
	}
	resident := int64(0)
	if runtime.GOOS == "linux" {
		resident = peak.ResidentOf(cmd.ProcessState)
	}
	fmt.Println(resident)
	os.Exit(cmd.ProcessState.ExitCode())
}

// classifier writes a model of 8×8 images whose nodes write makes: they lead from
// "pixels" to "logits".
func classifier(write func(b *onnxtest.Builder)) func() []byte { return ofOpset(20, write) }

// ofOpset is classifier with the operators of some version.
func ofOpset(version int64, write func(b *onnxtest.Builder)) func() []byte {
	return func() []byte {
		b := onnxtest.New(version)
		b.Input("pixels", onnx.Float, "batch", 3, 8, 8)
		write(b)
		b.Output("logits", onnx.Float, "batch", 192)
		return b.Bytes()
	}
}

// sum ends a model in the images' values plus the sum of a value.
func sum(b *onnxtest.Builder, value string) {
	b.Node("Flatten", []string{"pixels"}, []string{"flat"})
	b.Node("ReduceMax", []string{value}, []string{"most"}, onnxtest.Int("keepdims", 0))
	b.Node("Cast", []string{"most"}, []string{"number"}, onnxtest.Int("to", int64(onnx.Float)))
	b.Node("Add", []string{"flat", "number"}, []string{"logits"})
}

// field is one field of a message.
func field(num protowire.Number, payload ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(payload, nil))
}

// insideGraph is a model with the given bytes within its graph.
func insideGraph(payload ...[]byte) []byte {
	return append([]byte{0x08, 0x0a}, field(7, payload...)...)
}

// hostileStructures are files whose protobuf, names or types are the attack.
func hostileStructures() []hostileFile {
	const million = 1_000_000
	flat := func(b *onnxtest.Builder) { b.Node("Flatten", []string{"pixels"}, []string{"logits"}) }
	shaped := func(dims ...int) func() []byte {
		return classifier(func(b *onnxtest.Builder) {
			b.Initializer(onnxtest.Tensor("weight", onnx.Double, dims).Raw(make([]byte, 8)))
			b.Node("Flatten", []string{"pixels"}, []string{"flat"})
			b.Node("Add", []string{"flat", "weight"}, []string{"logits"})
		})
	}
	repeat := func(n int, message []byte) []byte { return bytes.Repeat(message, n) }
	long := strings.Repeat("n", 100<<20)
	return []hostileFile{
		{"deep messages", func() []byte {
			var deep []byte
			for range 200_000 {
				deep = field(5, field(6, deep[:min(len(deep), 1<<10)]))
			}
			for range 100 {
				deep = field(1, field(5, field(6, deep)))
			}
			return insideGraph(deep)
		}, "nested more than 100 deep"},
		{"overlong number", func() []byte { return append([]byte{0x08}, bytes.Repeat([]byte{0x80}, 1<<20)...) }, "overflow"},
		{"claimed length", func() []byte { return []byte{0x08, 0x0a, 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f} }, "the file ends after 0"},
		{"claimed length of 4 GiB", func() []byte { return append([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, 100)...) }, "needs 4294967295 bytes"},
		{"size that overflows", shaped(1<<31, 1<<31, 1<<31), "more elements than can be counted"},
		{"bytes that overflow", shaped(1 << 60), "more elements than can be counted"},
		{"bytes that wrap to a few", shaped(1<<32, 1<<32), "more elements than can be counted"},
		{"negative size", shaped(-1), "dimension 0 has the size -1"},
		{"size without data", shaped(1<<31, 2), "raw_data has 8"},
		{"rank of a million", func() []byte {
			return classifier(func(b *onnxtest.Builder) {
				dims := make([]int, million)
				for i := range dims {
					dims[i] = 1
				}
				b.Initializer(onnxtest.Tensor("weight", onnx.Float, dims).Raw(make([]byte, 4)))
				b.Node("Flatten", []string{"pixels"}, []string{"flat"})
				b.Node("Add", []string{"flat", "weight"}, []string{"logits"})
			})()
		}, "rank 1000000"},
		{"duplicate value", classifier(func(b *onnxtest.Builder) { flat(b); flat(b) }), "made a second time"},
		{"duplicate initializer", classifier(func(b *onnxtest.Builder) {
			b.Float("w", []int{1}, []float32{1})
			b.Float("w", []int{1}, []float32{2})
			flat(b)
		}), "two initializers have this name"},
		{"duplicate input", classifier(func(b *onnxtest.Builder) { b.Input("pixels", onnx.Float, 1); flat(b) }), `two inputs have the name "pixels"`},
		{"duplicate attribute", classifier(func(b *onnxtest.Builder) {
			b.Node("Flatten", []string{"pixels"}, []string{"logits"}, onnxtest.Int("axis", 1), onnxtest.Int("axis", 2))
		}), `attribute "axis" is given twice`},
		{"cycle", classifier(func(b *onnxtest.Builder) {
			b.Node("Add", []string{"pixels", "b"}, []string{"a"})
			b.Node("Neg", []string{"a"}, []string{"b"})
			b.Node("Flatten", []string{"b"}, []string{"logits"})
		}), "depends on its own output"},
		{"node of itself", classifier(func(b *onnxtest.Builder) { b.Node("Add", []string{"pixels", "logits"}, []string{"logits"}) }), "depends on its own output"},
		{"undefined value", classifier(func(b *onnxtest.Builder) { b.Node("Add", []string{"pixels", "nowhere"}, []string{"logits"}) }), `input "nowhere" is neither`},
		{"output that is a constant", classifier(func(b *onnxtest.Builder) {
			b.Constant("logits", onnxtest.Tensor("", onnx.Float, []int{1, 192}).Raw(make([]byte, 4*192)))
		}), "does not depend on the image"},
		{"output that is not made", classifier(func(b *onnxtest.Builder) {
			b.Node("Flatten", []string{"pixels"}, []string{"flat"})
			b.Float("scale", []int{192}, make([]float32, 192))
			b.Node("LayerNormalization", []string{"flat", "scale"}, []string{"normal", "", "", "logits"})
		}), "logits"},
		{"absurd opset", ofOpset(1<<62, flat), "opset 4611686018427387904"},
		{"negative opset", ofOpset(-1, flat), "opset -1"},
		{"huge image", func() []byte {
			b := onnxtest.New(20)
			b.Input("pixels", onnx.Float, "batch", 3, 1<<31, 1<<31)
			flat(b)
			b.Output("logits", onnx.Float)
			return b.Bytes()
		}, "dimension 2 is 2147483648"},
		{"strings as weights", classifier(func(b *onnxtest.Builder) {
			texts := make([]string, million)
			b.Initializer(onnxtest.Tensor("w", onnx.String, []int{million}).Strings(texts...))
			b.Node("Flatten", []string{"pixels"}, []string{"flat"})
			b.Node("Add", []string{"flat", "w"}, []string{"logits"})
		}), "more than 100000 pieces"},
		{"long name", classifier(func(b *onnxtest.Builder) { b.Node("Add", []string{"pixels", long}, []string{"logits"}) }), "a name of 104857600 bytes"},
		{"long operator", classifier(func(b *onnxtest.Builder) { b.Node(long, []string{"pixels"}, []string{"logits"}) }), "a name of 104857600 bytes"},
		{"long list", classifier(func(b *onnxtest.Builder) {
			b.Int64("pads", []int{million}, make([]int64, million))
			b.Node("Pad", []string{"pixels", "pads"}, []string{"padded"})
			b.Node("Flatten", []string{"padded"}, []string{"logits"})
		}), "pads"},
		{"a quarter of a million empty attributes", func() []byte {
			return insideGraph(field(1, field(2, []byte("y")), field(4, []byte("A")), repeat(million/4, field(5))), field(12, field(1, []byte("y"))))
		}, "has no name"},
		{"a quarter of a million outputs", func() []byte {
			return insideGraph(field(1, repeat(million/4, field(2, nil)), field(4, []byte("Split"))), field(12, field(1, []byte("y"))))
		}, "made by no node"},
		{"a thousand dimensions of an input", func() []byte {
			return insideGraph(field(1, field(1, []byte("x")), field(2, []byte("y")), field(4, []byte("Flatten"))),
				field(11, field(1, []byte("x")), field(2, field(1, []byte{0x08, 0x01}, field(2, repeat(1000, field(1)))))), field(12, field(1, []byte("y"))))
		}, "rank of more than 64"},
		{"long value", classifier(func(b *onnxtest.Builder) {
			b.Node("Identity", []string{"pixels"}, []string{long})
			b.Node("Frobnicate", []string{long}, []string{"logits"})
		}), "a name of 104857600 bytes"},
		{"a million empty nodes", func() []byte { return insideGraph(repeat(million, field(1))) }, "more than 150000 nodes"},
		{"a million small nodes", func() []byte {
			return insideGraph(field(11, field(1, []byte("x"))), repeat(million, field(1, field(1, []byte("x")), field(2, nil), field(4, []byte("Abs")))), field(12, field(1, []byte("x"))))
		}, "more than 150000 nodes"},
		{"a million empty attributes", func() []byte {
			return insideGraph(field(1, field(2, []byte("y")), field(4, []byte("A")), repeat(million, field(5))))
		}, "more than 800000 operands"},
		{"a million small tensors", func() []byte {
			var all []byte
			for i := range million {
				all = append(all, field(5, []byte{0x10, 0x01, 0x08, 0x00}, field(8, fmt.Append(nil, i)))...)
			}
			return insideGraph(all, field(12, field(1, []byte("x"))))
		}, "more than 300000 initializers"},
		{"a million inputs", func() []byte {
			return insideGraph(field(1, repeat(million, field(1, []byte("x"))), field(2, []byte("y")), field(4, []byte("Concat"))), field(11, field(1, []byte("x"))), field(12, field(1, []byte("y"))))
		}, "more than 800000 operands"},
		{"a million outputs", func() []byte {
			return insideGraph(field(1, repeat(million, field(2, nil)), field(4, []byte("Split"))), field(12, field(1, []byte("y"))))
		}, "more than 800000 operands"},
		{"a million keys", func() []byte {
			var all []byte
			for i := range million {
				all = append(all, field(14, field(1, fmt.Append(nil, i)), field(2, []byte("v")))...)
			}
			return append([]byte{0x08, 0x0a}, all...)
		}, "more than 100000 entries"},
		{"a million dimensions of an input", func() []byte {
			return insideGraph(field(1, field(1, []byte("x")), field(2, []byte("y")), field(4, []byte("Flatten"))),
				field(11, field(1, []byte("x")), field(2, field(1, []byte{0x08, 0x01}, field(2, repeat(million, field(1)))))), field(12, field(1, []byte("y"))))
		}, "more than 800000 operands"},
	}
}

// hostileConstants are files that ask for large constants, or for many.
func hostileConstants() []hostileFile {
	const over = "is over the limit"
	// known makes a file from a node whose result is known and huge.
	known := func(op string, inputs []string, attrs ...onnxtest.Attr) func() []byte {
		return classifier(func(b *onnxtest.Builder) {
			b.Int64("one", []int{1}, []int64{1})
			b.Int64("huge", []int{1}, []int64{1 << 29})
			b.Int64("wide", []int{2}, []int64{1 << 15, 1 << 15})
			b.Int64("absurd", []int{3}, []int64{1 << 30, 1 << 30, 1 << 30})
			b.Int64("wrapping", []int{2}, []int64{1 << 32, 1 << 32})
			b.Int64("pads", []int{2}, []int64{1 << 29, 1 << 29})
			b.Int64("zero", nil, []int64{0})
			b.Int64("step", nil, []int64{1})
			b.Int64("end", nil, []int64{1 << 29})
			b.Int64("endless", nil, []int64{1<<63 - 1})
			b.Float("values", []int{2}, []float32{0, 1})
			b.Tensor("image", onnx.Double, []int{1, 1, 4, 4}, make([]byte, 8*16))
			b.Float("scales", []int{4}, []float32{1, 1, 1 << 13, 1 << 13})
			b.Float("scalesWide", []int{4}, []float32{1, 1, 1 << 28, 1})
			b.Node(op, inputs, []string{"result"}, attrs...)
			sum(b, "result")
		})
	}
	text := onnxtest.String
	return []hostileFile{
		{"ConstantOfShape", known("ConstantOfShape", []string{"huge"}), over},
		{"ConstantOfShape that overflows", known("ConstantOfShape", []string{"absurd"}), "more than"},
		{"ConstantOfShape that wraps", known("ConstantOfShape", []string{"wrapping"}), "out of range"},
		{"Expand", known("Expand", []string{"one", "wide"}), over},
		{"Tile", known("Tile", []string{"one", "huge"}), over},
		{"Range", known("Range", []string{"zero", "end", "step"}), over},
		{"Range without end", known("Range", []string{"zero", "endless", "step"}), "range of INT64"},
		{"Pad", known("Pad", []string{"one", "pads"}), over},
		{"OneHot", known("OneHot", []string{"one", "huge", "values"}), "OneHot"},
		{"Resize nearest", known("Resize", []string{"image", "", "scales"}), over},
		{"Resize linear", known("Resize", []string{"image", "", "scalesWide"}, text("mode", "linear")), over},
		{"Resize cubic", known("Resize", []string{"image", "", "scales"}, text("mode", "cubic")), over},
		{"Reshape that wraps", known("Reshape", []string{"one", "wrapping"}), "out of range"},
		{"Reshape of negative sizes", classifier(func(b *onnxtest.Builder) {
			b.Int64("shape", []int{2}, []int64{-5, -1})
			b.Node("Reshape", []string{"pixels", "shape"}, []string{"logits"})
		}), "shape"},
		{"Concat that doubles", classifier(func(b *onnxtest.Builder) {
			b.Int64("c0", []int{1}, []int64{1})
			for i := range 40 {
				v := fmt.Sprintf("c%d", i)
				b.Node("Concat", []string{v, v}, []string{fmt.Sprintf("c%d", i+1)}, onnxtest.Int("axis", 0))
			}
			sum(b, "c40")
		}), over},
		{"weight that doubles", classifier(func(b *onnxtest.Builder) {
			b.Float("w0", []int{2}, []float32{1, 2})
			for i := range 60 {
				v := fmt.Sprintf("w%d", i)
				b.Node("Concat", []string{v, v}, []string{fmt.Sprintf("w%d", i+1)}, onnxtest.Int("axis", 0))
			}
			sum(b, "w60")
		}), "more than 1099511627776 elements"},
		{"many constants", classifier(func(b *onnxtest.Builder) {
			b.Int64("shape", []int{1}, []int64{1 << 20})
			b.Node("ConstantOfShape", []string{"shape"}, []string{"c0"})
			for i := range 2000 {
				b.Node("Neg", []string{fmt.Sprintf("c%d", i)}, []string{fmt.Sprintf("c%d", i+1)})
			}
			sum(b, "c2000")
		}), over},
		{"masks of dropouts", classifier(func(b *onnxtest.Builder) {
			b.Int64("pads", []int{8}, []int64{0, 0, 0, 0, 0, 0, 1000, 1000})
			b.Node("Pad", []string{"pixels", "pads"}, []string{"v0"})
			for i := range 100 {
				b.Node("Dropout", []string{fmt.Sprintf("v%d", i)}, []string{fmt.Sprintf("v%d", i+1), fmt.Sprintf("kept%d", i)})
			}
			b.Node("GlobalAveragePool", []string{"v100"}, []string{"pooled"})
			b.Node("Flatten", []string{"pooled"}, []string{"logits"})
		}), over},
		{"value that is no tensor", known("ConstantOfShape", []string{"one"}, onnxtest.Int("value", 1)), "value is not a tensor"},
		{"constant that is no tensor", known("Constant", nil, onnxtest.Int("value", 1)), "neither a tensor, a number nor a string"},
		{"narrow integers", classifier(func(b *onnxtest.Builder) {
			b.Tensor("w", onnx.Uint8, []int{32 << 20}, make([]byte, 32<<20))
			sum(b, "w")
		}), over},
	}
}

// TestHostileActivations runs a model that is small but whose activations no machine
// holds. The program says so rather than being ended for it.
func TestHostileActivations(t *testing.T) {
	dir := t.TempDir()
	path, input := filepath.Join(dir, "hostile.onnx"), filepath.Join(dir, "in.f32")
	data := classifier(func(b *onnxtest.Builder) {
		b.Int64("last", []int{2}, []int64{2, 3})
		b.Node("Flatten", []string{"pixels"}, []string{"flat"})
		b.Node("Unsqueeze", []string{"flat", "last"}, []string{"column"})
		b.Int64("wide", []int{4}, []int64{1, 1, 1 << 14, 1 << 14})
		b.Node("Expand", []string{"column", "wide"}, []string{"huge"})
		b.Node("Sqrt", []string{"huge"}, []string{"roots"})
		b.Node("GlobalAveragePool", []string{"roots"}, []string{"pooled"})
		b.Node("Flatten", []string{"pooled"}, []string{"logits"})
	})()
	if err := errors.Join(os.WriteFile(path, data, 0o644), os.WriteFile(input, make([]byte, 4*192), 0o644)); err != nil {
		t.Fatal(err)
	}
	said, peak := runHostile(t, exitUnreadable, "probe", path, "--input", input)
	if !strings.Contains(said, "GiB for a batch of 1, the machine has") {
		t.Error(said)
	}
	if peak > hostilePerByte*int64(len(data))+hostileBase {
		t.Errorf("%d MiB", peak>>20)
	}
}
