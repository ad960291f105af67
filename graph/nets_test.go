package graph

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// net builds networks of every structure without a single name that says anything:
// values and weights are numbered, nodes have no names.
type net struct {
	*onnxtest.Builder
	count    int
	channels map[string]int // of the values
	split    bool           // biases are added by nodes of their own
	names    []string       // of the next weights, in order; none: a number
	nodes    []string       // likewise of the next linear maps
}

// newNet begins a network of images of 3 channels and a size, and returns the image.
func newNet(size int) (*net, string) {
	n := &net{Builder: onnxtest.New(17), channels: map[string]int{"image": 3}}
	n.Input("image", onnx.Float, "batch", 3, size, size)
	return n, "image"
}

func (n *net) id(prefix string) string {
	n.count++
	return fmt.Sprintf("%s_%d", prefix, n.count)
}

// op adds a node; the result has as many channels as its first input.
func (n *net) op(kind string, in []string, attrs ...onnxtest.Attr) string {
	out := n.id("v")
	n.Node(kind, in, []string{out}, attrs...)
	n.channels[out] = n.channels[in[0]]
	return out
}

// linear is op for a linear map, whose node may have a name.
func (n *net) linear(kind string, in []string, attrs ...onnxtest.Attr) string {
	out := n.id("v")
	node := n.Node(kind, in, []string{out}, attrs...)
	if len(n.nodes) > 0 {
		node.Name(n.nodes[0])
		n.nodes = n.nodes[1:]
	}
	return out
}

func (n *net) weight(shape ...int) string {
	name, size := n.id("w"), 1
	if len(n.names) > 0 {
		name, n.names = n.names[0], n.names[1:]
	}
	for _, d := range shape {
		size *= d
	}
	values := make([]float32, size)
	for i := range values {
		values[i] = float32(math.Sin(float64(i+31*n.count))) / float32(math.Sqrt(float64(size/shape[0])))
	}
	n.Float(name, shape, values)
	return name
}

// conv adds a convolution without a change of size, with a bias.
func (n *net) conv(x string, out, kernel, group int) string {
	in := []string{x, n.weight(out, n.channels[x]/group, kernel, kernel)}
	if !n.split {
		in = append(in, n.weight(out))
	}
	pad := int64(kernel / 2)
	y := n.linear("Conv", in, onnxtest.Ints("pads", pad, pad, pad, pad), onnxtest.Int("group", int64(group)))
	n.channels[y] = out
	if n.split {
		y = n.op("Add", []string{y, n.weight(out, 1, 1)})
	}
	return y
}

func (n *net) relu(x string) string { return n.op("Relu", []string{x}) }

func (n *net) pool(x string) string {
	return n.op("MaxPool", []string{x}, onnxtest.Ints("kernel_shape", 2, 2), onnxtest.Ints("strides", 2, 2))
}

func (n *net) norm(x string) string {
	c := n.channels[x]
	return n.op("BatchNormalization", []string{x, n.weight(c), n.weight(c), n.weight(c), n.ones(c)})
}

func (n *net) ones(size int) string {
	name, values := n.id("o"), make([]float32, size)
	for i := range values {
		values[i] = 1 + float32(i)/64
	}
	n.Float(name, []int{size}, values)
	return name
}

func (n *net) add(a, b string) string { return n.op("Add", []string{a, b}) }

func (n *net) concat(parts ...string) string {
	y := n.op("Concat", parts, onnxtest.Int("axis", 1))
	n.channels[y] = 0
	for _, p := range parts {
		n.channels[y] += n.channels[p]
	}
	return y
}

// global is the mean over all pixels, as [N, C].
func (n *net) global(x string) string {
	return n.op("Flatten", []string{n.op("GlobalAveragePool", []string{x})})
}

// flat is [N, C·size·size].
func (n *net) flat(x string, size int) string {
	y := n.op("Flatten", []string{x})
	n.channels[y] = n.channels[x] * size * size
	return y
}

// dense adds a linear layer on [N, features], or on the last axis of a rank of 3.
func (n *net) dense(x string, out int) string {
	y := n.linear("MatMul", []string{x, n.weight(n.channels[x], out)})
	n.channels[y] = out
	return n.add(y, n.weight(out))
}

func (n *net) layerNorm(x string) string {
	c := n.channels[x]
	return n.op("LayerNormalization", []string{x, n.ones(c), n.weight(c)}, onnxtest.Int("axis", -1))
}

func (n *net) transpose(x string, channels int) string {
	y := n.op("Transpose", []string{x}, onnxtest.Ints("perm", 0, 2, 1))
	n.channels[y] = channels
	return y
}

// tokens is a map of pixels as [N, pixels, C].
func (n *net) tokens(x string, pixels int) string {
	shape := n.id("s")
	n.Int64(shape, []int{3}, []int64{0, int64(n.channels[x]), int64(pixels)})
	y := n.op("Reshape", []string{x, shape})
	return n.transpose(y, n.channels[x])
}

// end makes the value the output.
func (n *net) end(logits string) *onnxtest.Builder {
	n.Output(logits, onnx.Float, "batch", n.channels[logits])
	return n.Builder
}

func (n *net) convRelu(x string, out, kernel int) string {
	return n.relu(n.conv(x, out, kernel, 1))
}

func lenet() *onnxtest.Builder { return namedLenet(&net{}) }

// namedLenet takes the names, and how biases are added, from another net.
func namedLenet(of *net) *onnxtest.Builder {
	n, x := newNet(8)
	n.names, n.nodes, n.split = of.names, of.nodes, of.split
	x = n.pool(n.convRelu(x, 6, 5))
	x = n.pool(n.convRelu(x, 16, 5))
	x = n.relu(n.dense(n.flat(x, 2), 40))
	x = n.relu(n.dense(x, 20))
	return n.end(n.dense(x, 10))
}

func vgg() *onnxtest.Builder {
	n, x := newNet(8)
	for _, width := range []int{8, 16, 32} {
		x = n.convRelu(x, width, 3)
		x = n.convRelu(x, width, 3)
		x = n.pool(x)
	}
	x = n.relu(n.dense(n.flat(x, 1), 32))
	return n.end(n.dense(x, 10))
}

// resnet has three residual units per width, the first of which widens.
func resnet() *onnxtest.Builder {
	n, x := newNet(8)
	x = n.relu(n.norm(n.conv(x, 8, 3, 1)))
	for _, width := range []int{8, 10, 12} {
		for range 3 {
			y := n.relu(n.norm(n.conv(x, width, 3, 1)))
			y = n.norm(n.conv(y, width, 3, 1))
			if n.channels[x] != width {
				x = n.norm(n.conv(x, width, 1, 1))
			}
			x = n.relu(n.add(y, x))
		}
	}
	return n.end(n.dense(n.global(x), 10))
}

func inception() *onnxtest.Builder {
	n, x := newNet(8)
	x = n.convRelu(x, 8, 3)
	for range 4 {
		a := n.convRelu(x, 4, 1)
		b := n.convRelu(n.convRelu(x, 4, 1), 6, 3)
		c := n.convRelu(n.convRelu(x, 2, 1), 4, 5)
		x = n.concat(a, b, c)
	}
	return n.end(n.dense(n.global(x), 10))
}

// densenet concatenates all that came before, as torchvision's does: a dense block
// has no neck.
func densenet() *onnxtest.Builder {
	n, x := newNet(8)
	x = n.convRelu(x, 8, 3)
	for block := range 2 {
		features := []string{x}
		for range 4 {
			all := x
			if len(features) > 1 {
				all = n.concat(features...)
			}
			y := n.conv(n.relu(n.norm(all)), 16, 1, 1)
			features = append(features, n.conv(n.relu(n.norm(y)), 4, 3, 1))
		}
		x = n.concat(features...)
		if block == 0 {
			x = n.conv(n.relu(n.norm(x)), 12, 1, 1)
		}
	}
	return n.end(n.dense(n.global(n.relu(n.norm(x))), 10))
}

// mobilenet has inverted residual units, of which those that widen have no sum.
func mobilenet() *onnxtest.Builder { return mobilenetOf(8) }

// mobilenetOf takes images of another size.
func mobilenetOf(size int) *onnxtest.Builder {
	n, x := newNet(size)
	x = n.convRelu(x, 4, 3)
	for _, width := range []int{6, 6, 8, 8, 8, 8} {
		inner := 4 * n.channels[x]
		y := n.convRelu(x, inner, 1)
		y = n.relu(n.conv(y, inner, 3, inner))
		y = n.conv(y, width, 1, 1)
		if n.channels[x] == width {
			y = n.add(y, x)
		}
		x = y
	}
	x = n.convRelu(x, 16, 1)
	return n.end(n.dense(n.global(x), 10))
}

// yolo is a classifier of YOLO's kind: convolutions, and modules that split, refine
// and concatenate.
func yolo() *onnxtest.Builder {
	n, x := newNet(8)
	silu := func(x string) string { return n.op("Mul", []string{x, n.op("Sigmoid", []string{x})}) }
	conv := func(x string, out, kernel int) string { return silu(n.conv(x, out, kernel, 1)) }
	x = conv(x, 8, 3)
	for _, width := range []int{12, 12, 12} {
		x = conv(x, width, 3)
		x = conv(x, width, 1)
		half := n.id("v")
		other := n.id("v")
		n.Node("Split", []string{x}, []string{half, other}, onnxtest.Int("axis", 1))
		n.channels[half], n.channels[other] = width/2, width/2
		y := n.add(conv(conv(other, width/2, 3), width/2, 3), other)
		x = conv(n.concat(half, other, y), width, 1)
	}
	x = conv(x, 24, 1)
	return n.end(n.dense(n.global(x), 10))
}

func mlp() *onnxtest.Builder {
	n, x := newNet(4)
	x = n.flat(x, 4)
	for _, width := range []int{32, 24, 16} {
		x = n.relu(n.dense(x, width))
	}
	return n.end(n.dense(x, 10))
}

// attention adds self-attention of one head to [N, T, C].
func (n *net) attention(x string) string {
	c := n.channels[x]
	q, k, v := n.dense(x, c), n.dense(x, c), n.dense(x, c)
	scores := n.op("Softmax", []string{n.op("MatMul", []string{q, n.transpose(k, 0)})}, onnxtest.Int("axis", -1))
	y := n.op("MatMul", []string{scores, v})
	n.channels[y] = c
	return n.dense(y, c)
}

func (n *net) mlpBranch(x string, hidden, out int) string {
	return n.dense(n.relu(n.dense(x, hidden)), out)
}

// hybrid is a convolutional stem larger than the transformer behind it.
func hybrid() *onnxtest.Builder {
	n, x := newNet(4)
	for _, width := range []int{24, 32, 32, 16} {
		x = n.convRelu(x, width, 3)
	}
	x = n.tokens(x, 16)
	for range 2 {
		x = n.add(x, n.attention(n.layerNorm(x)))
		x = n.add(x, n.mlpBranch(n.layerNorm(x), 32, 16))
	}
	x = n.op("ReduceMean", []string{n.layerNorm(x)}, onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 0))
	n.channels[x] = 16
	return n.end(n.dense(x, 10))
}

func mixer() *onnxtest.Builder {
	n, x := newNet(4)
	x = n.tokens(n.conv(x, 12, 1, 1), 16)
	for range 5 {
		y := n.transpose(n.layerNorm(x), 16)
		y = n.transpose(n.mlpBranch(y, 8, 16), 12)
		x = n.add(x, y)
		x = n.add(x, n.mlpBranch(n.layerNorm(x), 24, 12))
	}
	x = n.op("ReduceMean", []string{n.layerNorm(x)}, onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 0))
	n.channels[x] = 12
	return n.end(n.dense(x, 10))
}
