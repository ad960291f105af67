package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// A netWriter writes a convolutional network with random weights as PyTorch exports it
// for inference: batch normalisations are part of the convolutions before them.
type netWriter struct {
	b        *onnxtest.Builder
	random   *rand.Rand
	next     int    // names
	x        string // the value at the top
	channels int    // of x
}

const classes = 100

// newNet begins a network of images of so many pixels.
func newNet(size int) *netWriter {
	w := &netWriter{b: onnxtest.New(17), random: rand.New(rand.NewPCG(1, 2)), x: "images", channels: 3}
	w.b.Input("images", onnx.Float, "n", 3, size, size)
	w.b.Output("logits", onnx.Float, "n", classes)
	return w
}

// weight adds normal numbers of a deviation.
func (w *netWriter) weight(deviation float64, shape ...int) string {
	n := 1
	for _, d := range shape {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(deviation * w.random.NormFloat64())
	}
	name := w.name("weight")
	w.b.Float(name, shape, values)
	return name
}

func (w *netWriter) name(kind string) string {
	w.next++
	return fmt.Sprintf("%s_%d", kind, w.next)
}

// node puts an operator on top.
func (w *netWriter) node(operator string, inputs []string, attributes ...onnxtest.Attr) {
	out := w.name(operator)
	w.b.Node(operator, inputs, []string{out}, attributes...)
	w.x = out
}

// conv puts a convolution with a bias on top, padded to keep the size at stride 1.
func (w *netWriter) conv(filters, kernel, stride, groups int) {
	depth, k, s, pad := w.channels/groups, int64(kernel), int64(stride), int64(kernel/2)
	weight := w.weight(math.Sqrt(2/float64(depth*kernel*kernel)), filters, depth, kernel, kernel)
	w.node("Conv", []string{w.x, weight, w.weight(0.1, filters)},
		onnxtest.Ints("kernel_shape", k, k), onnxtest.Ints("strides", s, s), onnxtest.Ints("pads", pad, pad, pad, pad), onnxtest.Int("group", int64(groups)))
	w.channels = filters
}

func (w *netWriter) relu() { w.node("Relu", []string{w.x}) }

// relu6 is Clip with bounds that the network defines once.
func (w *netWriter) relu6() { w.node("Clip", []string{w.x, "zero", "six"}) }

// write ends the network with a classifier of the channels' means.
func (w *netWriter) write(path string) error {
	w.node("GlobalAveragePool", []string{w.x})
	w.node("Flatten", []string{w.x}, onnxtest.Int("axis", 1))
	head := w.weight(math.Sqrt(1/float64(w.channels)), classes, w.channels)
	w.b.Node("Gemm", []string{w.x, head, w.weight(0.1, classes)}, []string{"logits"}, onnxtest.Int("transB", 1))
	return os.WriteFile(path, w.b.Bytes(), 0o600)
}

// writeResNet20 writes the network of He et al. for CIFAR (https://arxiv.org/abs/1512.03385,
// section 4.2), with 1 × 1 convolutions where the size changes.
func writeResNet20(path string) error {
	w := newNet(32)
	w.conv(16, 3, 1, 1)
	w.relu()
	for _, width := range []int{16, 32, 64} {
		for i := range 3 {
			stride := 1
			if i == 0 && width > 16 {
				stride = 2
			}
			below, channels := w.x, w.channels
			w.conv(width, 3, stride, 1)
			w.relu()
			w.conv(width, 3, 1, 1)
			top := w.x
			if stride > 1 {
				w.x, w.channels = below, channels
				w.conv(width, 1, stride, 1)
				below = w.x
			}
			w.node("Add", []string{top, below})
			w.relu()
		}
	}
	return w.write(path)
}

// writeMobileNetV2 writes the network of Sandler et al. (https://arxiv.org/abs/1801.04381,
// table 2).
func writeMobileNetV2(path string) error {
	w := newNet(224)
	w.b.Float("zero", nil, []float32{0})
	w.b.Float("six", nil, []float32{6})
	w.conv(32, 3, 2, 1)
	w.relu6()
	for _, stage := range []struct{ expansion, channels, repeats, stride int }{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	} {
		for i := range stage.repeats {
			stride := 1
			if i == 0 {
				stride = stage.stride
			}
			below, channels := w.x, w.channels
			if stage.expansion > 1 {
				w.conv(stage.expansion*channels, 1, 1, 1)
				w.relu6()
			}
			w.conv(w.channels, 3, stride, w.channels)
			w.relu6()
			w.conv(stage.channels, 1, 1, 1)
			if stride == 1 && channels == stage.channels {
				w.node("Add", []string{w.x, below})
			}
		}
	}
	w.conv(1280, 1, 1, 1)
	w.relu6()
	return w.write(path)
}
