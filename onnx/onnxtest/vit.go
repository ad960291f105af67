package onnxtest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// ViT describes a vision transformer with random weights, for tests and
// benchmarks that need a model of a real size but not a trained one. The graph
// is what PyTorch's current exporter writes for timm's VisionTransformer at
// opset 20, with a dynamic batch.
type ViT struct {
	Image   int // height and width of the input in pixels
	Patch   int
	Width   int
	Depth   int
	Heads   int
	Hidden  int // width of the MLP
	Classes int
	Seed    uint64
	// External puts the weights into a file beside the model, as the exporter
	// does by default.
	External bool
}

// ViTB16 is ViT-B/16 at 224×224 with 100 classes: 85.9 M parameters, 344 MB.
func ViTB16() ViT {
	return ViT{Image: 224, Patch: 16, Width: 768, Depth: 12, Heads: 12, Hidden: 3072, Classes: 100}
}

// WriteFile writes the model, and with External the file path + ".data".
func (v ViT) WriteFile(path string) (err error) {
	w := &vitWriter{ViT: v, b: New(20), location: filepath.Base(path) + ".data"}
	w.build()
	if err := writeTo(path, w.b.Write); err != nil {
		return err
	}
	if !v.External {
		return nil
	}
	return writeTo(path+".data", func(out io.Writer) error {
		for _, fill := range w.external {
			if err := fill(out); err != nil {
				return err
			}
		}
		return nil
	})
}

func writeTo(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// vitWriter builds one model.
type vitWriter struct {
	ViT
	b        *Builder
	location string
	offset   int64
	external []func(io.Writer) error
	next     uint64 // stream of random numbers of the next tensor
}

// inlineBytes is the size up to which the exporter keeps a tensor inline.
const inlineBytes = 256

// tensor adds a weight of normal numbers around mean.
func (w *vitWriter) tensor(name string, mean, deviation float64, shape ...int) string {
	n := 1
	for _, d := range shape {
		n *= d
	}
	w.next++
	stream := w.next
	fill := func(out io.Writer) error {
		r := rand.New(rand.NewPCG(w.Seed, stream))
		var chunk [4096]byte
		for done := 0; done < 4*n; {
			part := chunk[:min(len(chunk), 4*n-done)]
			for i := 0; i < len(part); i += 4 {
				binary.LittleEndian.PutUint32(part[i:], math.Float32bits(float32(mean+deviation*r.NormFloat64())))
			}
			if _, err := out.Write(part); err != nil {
				return err
			}
			done += len(part)
		}
		return nil
	}
	t := Tensor(name, onnx.Float, shape)
	if w.External && 4*n > inlineBytes {
		t.External(w.location, w.offset, int64(4*n))
		w.external = append(w.external, fill)
		w.offset += int64(4 * n)
	} else {
		t.Stream(4*n, fill)
	}
	w.b.Initializer(t)
	return name
}

func (w *vitWriter) ints(name string, v ...int64) string {
	w.b.Int64(name, []int{len(v)}, v)
	return name
}

// node adds a node with one output, named after it.
func (w *vitWriter) node(op, output string, inputs []string, attrs ...Attr) string {
	w.b.Node(op, inputs, []string{output}, attrs...).Name("node_" + output)
	return output
}

func (w *vitWriter) build() {
	b, d := w.b, w.Width
	grid := w.Image / w.Patch
	tokens := grid*grid + 1
	b.Producer("onnxtest", "vit")
	b.Input("pixel_values", onnx.Float, "batch", 3, w.Image, w.Image)
	b.Output("logits", onnx.Float, "batch", w.Classes)

	kernel := w.tensor("patch_embed.proj.weight", 0, 0.02, d, 3, w.Patch, w.Patch)
	bias := w.tensor("patch_embed.proj.bias", 0, 0.02, d)
	p := int64(w.Patch)
	x := w.node("Conv", "conv2d", []string{"pixel_values", kernel, bias}, Ints("strides", p, p), Ints("kernel_shape", p, p), Ints("pads", 0, 0, 0, 0))
	x = w.node("Reshape", "view", []string{x, w.ints("patches", 0, int64(d), int64(grid*grid))})
	x = w.node("Transpose", "transpose", []string{x}, Ints("perm", 0, 2, 1))
	batch := w.node("Shape", "batch_size", []string{"pixel_values"}, Int("start", 0), Int("end", 1))
	one := w.ints("one", 1)
	shape := w.node("Concat", "token_shape", []string{batch, one, one}, Int("axis", 0))
	cls := w.node("Expand", "expand", []string{w.tensor("cls_token", 0, 0.02, 1, 1, d), shape})
	x = w.node("Concat", "cat", []string{cls, x}, Int("axis", 1))
	x = w.node("Add", "embedded", []string{x, w.tensor("pos_embed", 0, 0.02, 1, tokens, d)})
	w.ints("packed_heads", 0, 0, 3, int64(w.Heads), int64(d/w.Heads))
	w.ints("merged_heads", 0, 0, int64(d))
	w.ints("zero", 0)
	w.ints("sizes", 1, 1, 1)
	b.Tensor("scale", onnx.Float, []int{1}, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.Pow(float64(d/w.Heads), -0.25)))))
	for i := range w.Depth {
		x = w.block(fmt.Sprintf("blocks.%d.", i), x)
	}
	x = w.norm("norm", x)
	b.Tensor("class_index", onnx.Int64, []int{}, make([]byte, 8))
	x = w.node("Gather", "select", []string{x, "class_index"}, Int("axis", 1))
	head := w.tensor("head.weight", 0, 0.02, w.Classes, d)
	w.node("Gemm", "logits", []string{x, head, w.tensor("head.bias", 0, 0.02, w.Classes)}, Int("transB", 1))
}

func (w *vitWriter) block(prefix, x string) string {
	y := w.norm(prefix+"norm1", x)
	y = w.linear(prefix+"attn.qkv", y, w.Width, 3*w.Width)
	y = w.node("Reshape", prefix+"heads", []string{y, "packed_heads"})
	y = w.node("Transpose", prefix+"permute", []string{y}, Ints("perm", 2, 0, 3, 1, 4))
	parts := []string{prefix + "q5", prefix + "k5", prefix + "v5"}
	w.b.Node("Split", []string{y, "sizes"}, parts, Int("axis", 0)).Name(prefix + "unbind")
	q := w.node("Squeeze", prefix+"q", []string{parts[0], "zero"})
	k := w.node("Squeeze", prefix+"k", []string{parts[1], "zero"})
	v := w.node("Squeeze", prefix+"v", []string{parts[2], "zero"})
	k = w.node("Transpose", prefix+"kt", []string{k}, Ints("perm", 0, 1, 3, 2))
	q = w.node("Mul", prefix+"scaled_q", []string{q, "scale"})
	k = w.node("Mul", prefix+"scaled_k", []string{k, "scale"})
	y = w.node("MatMul", prefix+"scores", []string{q, k})
	y = w.node("Softmax", prefix+"weights", []string{y}, Int("axis", -1))
	y = w.node("MatMul", prefix+"attended", []string{y, v})
	y = w.node("Transpose", prefix+"unpermute", []string{y}, Ints("perm", 0, 2, 1, 3))
	y = w.node("Reshape", prefix+"merged", []string{y, "merged_heads"})
	y = w.linear(prefix+"attn.proj", y, w.Width, w.Width)
	x = w.node("Add", prefix+"add1", []string{x, y})
	y = w.norm(prefix+"norm2", x)
	y = w.linear(prefix+"mlp.fc1", y, w.Width, w.Hidden)
	y = w.node("Gelu", prefix+"gelu", []string{y})
	y = w.linear(prefix+"mlp.fc2", y, w.Hidden, w.Width)
	return w.node("Add", prefix+"add2", []string{x, y})
}

func (w *vitWriter) norm(name, x string) string {
	scale := w.tensor(name+".weight", 1, 0.02, w.Width)
	shift := w.tensor(name+".bias", 0, 0.02, w.Width)
	return w.node("LayerNormalization", name+".out", []string{x, scale, shift}, Int("axis", -1), Float("epsilon", 1e-6))
}

// linear adds a product with a [in, out] matrix and a bias; the exporter names
// the folded transpose of the weight val_N, here the parameter keeps its name.
func (w *vitWriter) linear(name, x string, in, out int) string {
	y := w.node("MatMul", name+".product", []string{x, w.tensor(name+".weight", 0, 0.02, in, out)})
	return w.node("Add", name+".out", []string{y, w.tensor(name+".bias", 0, 0.02, out)})
}
