package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// blocksOf are the names of a network's blocks.
func blocksOf(n *Network) string {
	return strings.Join(layerNames(n.Layers(ByBlock)), " ")
}

// TestStructures: networks without a name have the layers that a person would call
// theirs, fused or not, at any batch, with biases in the operators or behind them.
func TestStructures(t *testing.T) {
	for name, c := range map[string]struct {
		net  func() *onnxtest.Builder
		want string
	}{
		"LeNet":     {lenet, "conv1 conv2 fc1 fc2 fc3"},
		"CNTK's":    {func() *onnxtest.Builder { return namedLenet(&net{split: true}) }, "conv1 conv2 fc1 fc2 fc3"},
		"VGG":       {vgg, "conv1 conv2 conv3 conv4 conv5 conv6 fc1 fc2"},
		"ResNet":    {resnet, "conv1 block1 block2 block3 block4 block5 block6 block7 block8 block9 fc1"},
		"Inception": {inception, "conv1 block1 block2 block3 block4 fc1"},
		"DenseNet": {densenet, "conv1 block1.layer1 block1.layer2 block1.layer3 block1.layer4 conv2 " +
			"block2.layer1 block2.layer2 block2.layer3 block2.layer4 fc1"},
		"MobileNet": {mobilenet, "conv1 block1 block2 block3 block4 block5 block6 conv2 fc1"},
		"YOLO":      {yolo, "conv1 conv2 block1 conv3 block2 conv4 block3 conv5 fc1"},
		"MLP":       {mlp, "fc1 fc2 fc3 fc4"},
		"hybrid":    {hybrid, "conv1 conv2 conv3 conv4 blocks.0 blocks.1 head"},
		"Mixer":     {mixer, "conv1 block1 block2 block3 block4 block5 fc1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, opt := range []Options{{}, {NoFuse: true}, {Batch: 1}, {Batch: 8}} {
				n, err := Build(parse(t, c.net()), opt)
				if err != nil {
					t.Fatal(err)
				}
				if got := blocksOf(n); got != c.want {
					t.Errorf("%+v: blocks %s, want %s", opt, got, c.want)
				}
				checkLayers(t, n)
			}
		})
	}
}

// checkLayers holds for the layers of any network: each weight is in one, an
// operator's weights are in the same, none of several operators is too large, and no
// two weights have one name.
func checkLayers(t *testing.T, n *Network) {
	t.Helper()
	block := map[int]string{}
	for _, l := range n.Layers(ByBlock) {
		for _, w := range l.Weights {
			if block[w] != "" {
				t.Errorf("%s is in %s and %s", n.Weights[w].Name, block[w], l.Name)
			}
			block[w] = l.Name
		}
	}
	operators := map[string]int{}
	for _, o := range n.operators() {
		operators[block[o.weights[0]]]++
		for _, w := range o.weights {
			if block[w] != block[o.weights[0]] {
				t.Errorf("%s is in %s, %s of the same operator in %s", n.Weights[w].Name, block[w], n.Weights[o.weights[0]].Name, block[o.weights[0]])
			}
		}
	}
	for _, l := range n.Layers(ByBlock) {
		if share := float64(l.Parameters) / float64(n.Parameters()); n.structured && share > maxShare && operators[l.Name] > 1 {
			t.Errorf("%s has %d operators and %.2f of the parameters", l.Name, operators[l.Name], share)
		}
	}
	names := map[string]bool{}
	for _, w := range n.Weights {
		if names[w.Name] {
			t.Errorf("two weights are called %s", w.Name)
		}
		names[w.Name] = true
	}
}

// TestUnitsDivided: a residual unit with more than a quarter of the parameters is
// divided into its operators.
func TestUnitsDivided(t *testing.T) {
	n, x := newNet(4)
	x = n.convRelu(x, 8, 3)
	for range 2 {
		x = n.relu(n.add(n.conv(n.convRelu(x, 8, 3), 8, 3, 1), x))
	}
	network, err := Build(parse(t, n.end(n.dense(n.global(x), 4))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := blocksOf(network), "conv1 block1.conv1 block1.conv2 block2.conv1 block2.conv2 fc1"; got != want {
		t.Errorf("blocks %s, want %s", got, want)
	}
	checkLayers(t, network)
}

// TestUnitNames: layers are called what the file calls their weights or nodes.
func TestUnitNames(t *testing.T) {
	each := func(format string, operators ...string) []string {
		var names []string
		for _, o := range operators {
			for role := range strings.SplitSeq(format, "|") {
				names = append(names, fmt.Sprintf(role, o))
			}
		}
		return names
	}
	for name, c := range map[string]struct {
		of           *net
		want, weight string // blocks, and the name of the first weight
	}{
		"torchvision": {&net{names: each("%s.weight|%s.bias", "features.0", "features.3", "classifier.1", "classifier.4", "classifier.6")},
			"features.0 features.3 classifier.1 classifier.4 classifier.6", "features.0.weight"},
		"PyTorch": {&net{names: each("%s.weight|%s.bias", "conv1", "conv2", "fc1", "fc2", "head")},
			"conv1 conv2 fc1 fc2 head", "conv1.weight"},
		"Caffe": {&net{names: each("%s_w_0|%s_b_0", "conv1", "conv2", "fc6", "fc7", "fc8")},
			"conv1 conv2 fc6 fc7 fc8", "conv1.weight"},
		"Keras": {&net{names: each("net/%s/kernel:0|net/%s/bias:0", "conv2d", "conv2d_1", "dense", "dense_1", "predictions"), split: true},
			"net.conv2d net.conv2d_1 net.dense net.dense_1 net.predictions", "net.conv2d.weight"},
		"TensorFlow": {&net{names: each("net/%[1]s/Conv2D/ReadVariableOp:0|net/%[1]s/BiasAdd/ReadVariableOp:0", "a1", "a2", "b1", "b2", "b3"), split: true},
			"net.a1 net.a2 net.b1 net.b2 net.b3", "net.a1.weight"},
		"MXNet": {&net{names: each("%s_weight|%s_bias", "lenet0_conv0", "lenet0_conv1", "lenet0_dense0", "lenet0_dense1", "lenet0_dense2")},
			"lenet0_conv0 lenet0_conv1 lenet0_dense0 lenet0_dense1 lenet0_dense2", "lenet0_conv0_weight"},
		"CNTK": {&net{names: []string{"Parameter5", "Parameter6", "Parameter87", "Parameter88", "Parameter193", "Parameter194", "Parameter7", "Parameter8", "Parameter9", "Parameter10"},
			nodes: []string{"Convolution28", "Convolution110", "Times212", "Times213", "Times214"}, split: true},
			"Convolution28 Convolution110 Times212 Times213 Times214", "Parameter5"},
		"numbers alone": {&net{names: []string{"11", "12", "13", "14", "15", "16", "17", "18", "19", "20"}},
			"conv1 conv2 fc1 fc2 fc3", "conv1.weight"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := Build(parse(t, namedLenet(c.of)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := blocksOf(n); got != c.want {
				t.Errorf("blocks %s, want %s", got, c.want)
			}
			modules := strings.Join(layerNames(n.Layers(ByModule)), " ")
			if modules != c.want {
				t.Errorf("modules %s, want %s", modules, c.want)
			}
			if got := n.Weights[0].Name; got != c.weight {
				t.Errorf("the first weight is called %s, want %s", got, c.weight)
			}
			checkLayers(t, n)
		})
	}
}

// TestCommonLabel: a block of several operators has the name that theirs begin with.
func TestCommonLabel(t *testing.T) {
	for _, c := range []struct {
		want   string
		labels []string
	}{
		{"layer1.0", []string{"layer1.0.conv1", "layer1.0.conv2", "layer1.0.downsample.0"}},
		{"res2a", []string{"res2a_branch2a", "res2a_branch2b", "res2a_branch1"}},
		{"stage0_block1", []string{"stage0_block1_a", "", "stage0_block1_c"}},
		{"Mixed_5b", []string{"Mixed_5b.branch1x1.conv", "Mixed_5b.branch5x5_1.conv"}},
		{"conv2", []string{"conv2_expand", "conv2", "conv2_linear"}},
		{"fc7", []string{"fc7"}},
		{"", []string{"conv1", "conv2"}},
		{"", []string{"layers.3", "layers.4"}},
		{"", []string{"conv2d_3", "conv2d_4"}},
		{"", []string{"", ""}},
	} {
		if got := commonLabel(c.labels); got != c.want {
			t.Errorf("%q: %q, want %q", c.labels, got, c.want)
		}
	}
}

// TestSharedBias: an exporter that keeps one of several equal biases does not take the
// layers apart.
func TestSharedBias(t *testing.T) {
	shared := []string{"b", "b", "b", "b", "b", "b"}
	n, x := newNet(4)
	n.Float("b", []int{6}, ramp(6))
	for range shared {
		y := n.op("Conv", []string{x, n.weight(6, n.channels[x], 3, 3), "b"}, onnxtest.Ints("pads", 1, 1, 1, 1))
		n.channels[y] = 6
		x = n.relu(y)
	}
	network, err := Build(parse(t, n.end(n.dense(n.global(x), 6))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := blocksOf(network), "conv1 conv2 conv3 conv4 conv5 conv6 fc1"; got != want {
		t.Errorf("blocks %s, want %s", got, want)
	}
	if at := slices.IndexFunc(network.Weights, func(w *Weight) bool { return w.Tensor.Name == "b" }); network.Weights[at].member.block != "conv1" {
		t.Errorf("the bias is in %s", network.Weights[at].member.block)
	}
}

// TestNamesByPlace: a weight that a converter has stored in another type, and what is
// added to an attention's scores, have the name that their place in the block gives them
// where their own was made up.
func TestNamesByPlace(t *testing.T) {
	n, x := newNet(4)
	n.names = []string{"stem.weight", "stem.bias"}
	x = n.tokens(n.conv(x, 8, 1, 1), 16)
	for block := range 2 {
		name := func(path string) string { return fmt.Sprintf("blocks.%d.%s", block, path) }
		scale := func(module string) []string {
			names := []string{name(module + ".weight"), name(module + ".bias")}
			n.Float(names[0], []int{8}, ramp(8))
			n.Float(names[1], []int{8}, ramp(8))
			return names
		}
		norm := n.op("LayerNormalization", append([]string{x}, scale("norm1")...), onnxtest.Int("axis", -1))
		half := fmt.Sprintf("val_%d.half", 13+block)
		n.Tensor(half, onnx.Float16, []int{8, 24}, make([]byte, 2*8*24))
		cast := n.op("Cast", []string{half}, onnxtest.Int("to", int64(onnx.Float)))
		qkv := n.op("MatMul", []string{norm, cast})
		q, k, v := n.id("v"), n.id("v"), n.id("v")
		n.Node("Split", []string{qkv}, []string{q, k, v}, onnxtest.Int("axis", 2))
		bias := fmt.Sprintf("val_%d", 13+block)
		n.Float(bias, []int{1, 16, 16}, ramp(256))
		scores := n.op("Softmax", []string{n.op("Add", []string{bias, n.op("MatMul", []string{q, n.transpose(k, 0)})})}, onnxtest.Int("axis", -1))
		y := n.op("MatMul", []string{scores, v})
		n.channels[y] = 8
		n.names = []string{name("attn.proj.weight"), name("attn.proj.bias")}
		x = n.add(x, n.dense(y, 8))
		norm = n.op("LayerNormalization", append([]string{x}, scale("norm2")...), onnxtest.Int("axis", -1))
		n.names = []string{name("mlp.fc1.weight"), name("mlp.fc1.bias"), name("mlp.fc2.weight"), name("mlp.fc2.bias")}
		x = n.add(x, n.mlpBranch(norm, 16, 8))
	}
	x = n.op("ReduceMean", []string{x}, onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 0))
	n.channels[x], n.names = 8, []string{"head.weight", "head.bias"}
	network, err := Build(parse(t, n.end(n.dense(x, 4))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for block := range 2 {
		for suffix, module := range map[string]string{".half": "attn.qkv.weight", "": "attn.scores.bias"} {
			tensor := fmt.Sprintf("val_%d%s", 13+block, suffix)
			at := slices.IndexFunc(network.Weights, func(w *Weight) bool { return w.Tensor.Name == tensor })
			if at < 0 {
				t.Fatalf("%s is no weight: %v", tensor, network.Skipped)
			}
			if got, want := network.Weights[at].Name, fmt.Sprintf("blocks.%d.%s", block, module); got != want {
				t.Errorf("%s is called %s, want %s", tensor, got, want)
			}
		}
	}
	if got := blocksOf(network); got != "embed blocks.0 blocks.1 head" {
		t.Errorf("blocks %s", got)
	}
}

// TestJoined: a prefix that ends within what the name begins with does not say it twice.
func TestJoined(t *testing.T) {
	for _, c := range []struct{ prefix, name, want string }{
		{"blocks.0.", "attn.scores.bias", "blocks.0.attn.scores.bias"},
		{"stages.0.blocks.1.attn.qkv.", "attn.scores.bias", "stages.0.blocks.1.attn.scores.bias"},
		{"stages.1.downsample.attn_downsample.kv.", "attn.scores.bias", "stages.1.downsample.attn.scores.bias"},
		{"layers.0.mlp.", "mlp.fc1", "layers.0.mlp.fc1"},
		{"layers.0.mlp.", "norm1", "layers.0.mlp.norm1"},
		{"attn_blocks.3.", "attn.qkv", "attn_blocks.3.attn.qkv"},
	} {
		if got := joined(c.prefix, c.name); got != c.want {
			t.Errorf("%s in %s is %s, want %s", c.name, c.prefix, got, c.want)
		}
	}
}

// TestOneModuleNamed: where one module of each block has a name, deep within it, the others
// are not called as if they lay beside it.
func TestOneModuleNamed(t *testing.T) {
	n, x := newNet(4)
	n.names = []string{"stem.weight", "stem.bias"}
	x = n.tokens(n.conv(x, 8, 1, 1), 16)
	made := 0
	unnamed := func(shape ...int) string {
		made++
		name, size := fmt.Sprintf("val_%d", made), 1
		for _, d := range shape {
			size *= d
		}
		n.Float(name, shape, ramp(size))
		return name
	}
	norm := func(x string) string {
		return n.op("LayerNormalization", []string{x, unnamed(8), unnamed(8)}, onnxtest.Int("axis", -1))
	}
	for block := range 2 {
		qkv := n.op("MatMul", []string{norm(x), unnamed(8, 24)})
		q, k, v := n.id("v"), n.id("v"), n.id("v")
		n.Node("Split", []string{qkv}, []string{q, k, v}, onnxtest.Int("axis", 2))
		scores := n.op("Softmax", []string{n.op("MatMul", []string{q, n.transpose(k, 0)})}, onnxtest.Int("axis", -1))
		x = n.add(x, n.op("MatMul", []string{n.op("MatMul", []string{scores, v}), unnamed(8, 8)}))
		y := norm(x)
		n.channels[y] = 8
		fc1, fc2 := fmt.Sprintf("blocks.%d.mlp.fc1.", block), unnamed(16, 8)
		n.names = []string{fc1 + "weight", fc1 + "bias"}
		x = n.add(x, n.op("MatMul", []string{n.dense(y, 16), fc2}))
	}
	x = n.op("ReduceMean", []string{x}, onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 0))
	n.channels[x], n.names = 8, []string{"head.weight", "head.bias"}
	network, err := Build(parse(t, n.end(n.dense(x, 4))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for block := range 2 {
		for _, name := range []string{"norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.proj.weight", "norm2.weight", "norm2.bias", "mlp.fc1.weight"} {
			name = fmt.Sprintf("blocks.%d.%s", block, name)
			if !slices.ContainsFunc(network.Weights, func(w *Weight) bool { return w.Name == name }) {
				t.Errorf("no weight is called %s", name)
			}
		}
	}
}

// TestNamedLists: where names tell of lists, their elements are the blocks, and biases
// without a name are called, and are, what their map is.
func TestNamedLists(t *testing.T) {
	n, x := newNet(4)
	n.split = true
	conv := func(x, name string) string {
		n.names = []string{name + ".weight", fmt.Sprint(100 + n.count)}
		return n.conv(x, 6, 3, 1)
	}
	x = n.relu(conv(x, "conv1"))
	for _, block := range []string{"layer1.0", "layer1.1", "layer2.0"} {
		y := n.relu(conv(x, block+".conv1"))
		x = n.relu(n.add(conv(y, block+".conv2"), x))
	}
	n.names = []string{"fc.weight", "fc.bias"}
	network, err := Build(parse(t, n.end(n.dense(n.global(x), 4))), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := blocksOf(network), "embed layer1.0 layer1.1 layer2.0 head"; got != want {
		t.Errorf("blocks %s, want %s", got, want)
	}
	for _, name := range []string{"conv1.bias", "layer1.0.conv1.bias", "layer1.1.conv2.bias", "layer2.0.conv2.bias"} {
		if !slices.ContainsFunc(network.Weights, func(w *Weight) bool { return w.Name == name }) {
			t.Errorf("no weight is called %s", name)
		}
	}
	checkLayers(t, network)
}
