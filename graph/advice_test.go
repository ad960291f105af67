package graph

import (
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// refusedModel is a classifier whose "features", of shape [batch, 6], spoil makes
// into "logits".
func refusedModel(opset int64, spoil func(b *onnxtest.Builder)) *onnxtest.Builder {
	b := onnxtest.New(opset)
	b.Input("image", onnx.Float, "batch", 3, 1, 2)
	b.Node("Flatten", []string{"image"}, []string{"x"})
	b.Float("head.weight", []int{6, 6}, ramp(36))
	b.Node("MatMul", []string{"x", "head.weight"}, []string{"features"})
	spoil(b)
	b.Output("logits", onnx.Float, "batch", 6)
	return b
}

// spoilt applies one operator to the features.
func spoilt(operator, domain string, attrs ...onnxtest.Attr) func(b *onnxtest.Builder) {
	return func(b *onnxtest.Builder) {
		if domain != "" {
			b.Domain(domain, 1)
		}
		b.Node(operator, []string{"features"}, []string{"logits"}, attrs...).Domain(domain)
	}
}

// TestMixingAtOne: what combines images is refused for a batch of one, too, in which
// combining them is nothing, and steps fall away.
func TestMixingAtOne(t *testing.T) {
	b := refusedModel(13, func(b *onnxtest.Builder) {
		b.Node("Shape", []string{"features"}, []string{"shape"})
		b.Float("unit", []int{1, 6}, ramp(6))
		b.Node("Expand", []string{"unit", "shape"}, []string{"units"})
		b.Node("Add", []string{"features", "units"}, []string{"moved"})
		b.Node("ReduceMean", []string{"moved"}, []string{"mean"}, onnxtest.Ints("axes", 0))
		b.Node("Sub", []string{"moved", "mean"}, []string{"logits"})
	})
	for _, batch := range []int{0, 1, 2} {
		if _, err := Build(parse(t, b), Options{Batch: batch}); err == nil || !strings.Contains(err.Error(), "combines the images") {
			t.Errorf("batch %d: error %v", batch, err)
		}
	}
}

// TestGuard: whether anything overflows may be asked of all images together.
func TestGuard(t *testing.T) {
	b := refusedModel(13, func(b *onnxtest.Builder) {
		b.Node("IsInf", []string{"features"}, []string{"infinite"})
		b.Node("Cast", []string{"infinite"}, []string{"ones"}, onnxtest.Int("to", int64(onnx.Int64)))
		b.Node("ReduceMax", []string{"ones"}, []string{"any"}, onnxtest.Int("keepdims", 0))
		b.Node("Cast", []string{"any"}, []string{"overflows"}, onnxtest.Int("to", int64(onnx.Bool)))
		b.Float("most", nil, []float32{1e4})
		b.Node("Clip", []string{"features", "", "most"}, []string{"clipped"})
		b.Node("Where", []string{"overflows", "clipped", "features"}, []string{"logits"})
	})
	if _, err := Build(parse(t, b), Options{}); err != nil {
		t.Error(err)
	}
}

// TestAdvice: what is refused comes with what helps against just that.
func TestAdvice(t *testing.T) {
	for name, c := range map[string]struct {
		model  *onnxtest.Builder
		reason string
		want   string
	}{
		"weights packed in blocks": {refusedModel(14, spoilt("MatMulNBits", "com.microsoft")), "not supported", "without quantisation"},
		"a forest":                 {refusedModel(14, spoilt("TreeEnsembleClassifier", "ai.onnx.ml")), "not supported", "classical"},
		"random numbers":           {refusedModel(20, spoilt("RandomUniformLike", "")), "not supported", "model.eval()"},
		"a statistic of the batch": {refusedModel(13, func(b *onnxtest.Builder) {
			b.Node("ReduceMean", []string{"features"}, []string{"mean"}, onnxtest.Ints("axes", 0))
			b.Node("Sub", []string{"features", "mean"}, []string{"logits"})
		}), "combines the images of a batch", "model.eval()"},
		"products of images": {refusedModel(13, func(b *onnxtest.Builder) {
			b.Node("Transpose", []string{"features"}, []string{"t"}, onnxtest.Ints("perm", 1, 0))
			b.Node("MatMul", []string{"t", "features"}, []string{"gram"})
			b.Node("MatMul", []string{"features", "gram"}, []string{"logits"})
		}), "MatMul combines the images of a batch", "model.eval()"},
		"a softmax over images": {refusedModel(13, func(b *onnxtest.Builder) {
			b.Node("Softmax", []string{"features"}, []string{"shares"}, onnxtest.Int("axis", 0))
			b.Node("Mul", []string{"features", "shares"}, []string{"logits"})
		}), "Softmax combines the images of a batch", "model.eval()"},
		"a product of weights and images": {refusedModel(13, func(b *onnxtest.Builder) {
			b.Node("Shape", []string{"features"}, []string{"shape"})
			b.Int64("first", []int{1}, []int64{0})
			b.Node("Gather", []string{"shape", "first"}, []string{"images"})
			b.Int64("one", []int{1}, []int64{1})
			b.Node("Concat", []string{"one", "images"}, []string{"row"}, onnxtest.Int("axis", 0))
			b.Float("unit", []int{1}, []float32{1})
			b.Node("Expand", []string{"unit", "row"}, []string{"ones"})
			b.Node("MatMul", []string{"ones", "features"}, []string{"sum"})
			b.Node("Sub", []string{"features", "sum"}, []string{"logits"})
		}), "MatMul combines the images of a batch", "model.eval()"},
		"quantised attention": {refusedModel(14, spoilt("QAttention", "com.microsoft")), "not supported", "without quantisation"},
		"integers read otherwise": {refusedModel(20, func(b *onnxtest.Builder) {
			b.Float("step", nil, []float32{0.1})
			b.Node("QuantizeLinear", []string{"features", "step"}, []string{"q"})
			b.Node("Cast", []string{"q"}, []string{"logits"}, onnxtest.Int("to", int64(onnx.Float)))
		}), "something else than a DequantizeLinear", "without quantisation"},
		"control flow": {refusedModel(20, func(b *onnxtest.Builder) {
			b.Node("Loop", []string{"", "", "features"}, []string{"logits"}, onnxtest.Graph("body", nil))
		}), "control flow", "dynamo=True"},
		"branches on the image": {refusedModel(20, func(b *onnxtest.Builder) {
			b.Int64("all", []int{2}, []int64{0, 1})
			b.Node("ReduceSum", []string{"features", "all"}, []string{"sum"}, onnxtest.Int("keepdims", 0))
			b.Float("zero", nil, []float32{0})
			b.Node("Greater", []string{"sum", "zero"}, []string{"positive"})
			choice := b.Node("If", []string{"positive"}, []string{"logits"})
			for _, branch := range []string{"then_branch", "else_branch"} {
				g := onnxtest.New(20)
				g.Node("Neg", []string{"features"}, []string{branch})
				g.Output(branch, onnx.Float, "batch", 6)
				choice.Attr(onnxtest.Graph(branch, g.GraphBytes()))
			}
		}), "which branch is taken", "dynamo=True"},
		"sequence":  {refusedModel(20, spoilt("OptionalGetElement", "")), "not supported", "tensors only"},
		"recurrent": {refusedModel(20, spoilt("LSTM", "")), "not supported", "recurrent"},
		"layout":    {refusedModel(20, spoilt("Conv", "com.microsoft.nchwc")), "not supported", "one CPU"},
		"training": {refusedModel(20, func(b *onnxtest.Builder) {
			b.Float("ones", []int{6}, []float32{1, 1, 1, 1, 1, 1})
			b.Node("BatchNormalization", []string{"features", "ones", "ones", "ones", "ones"}, []string{"logits"}, onnxtest.Int("training_mode", 1))
		}), "training", "model.eval()"},
		"sparse": {refusedModel(20, func(b *onnxtest.Builder) {
			spoilt("Relu", "")(b)
			b.GraphField(15, nil)
		}), "sparse", "dense"},
		"an operator of others": {refusedModel(20, spoilt("ConvTranspose", "")), "not supported", "without this operator"},
		"too new":               {refusedModel(99, spoilt("Relu", "")), "supported in opsets", "opset_version=20"},
		"needs a newer one":     {refusedModel(20, spoilt("Attention", "")), "supported in opsets 23 to", "opset_version=23"},
		"gone":                  {refusedModel(20, spoilt("Upsample", "")), "supported in opsets 7 to 9", "opset_version=9"},
		"custom":                {refusedModel(20, spoilt("Frob", "my.company")), "not supported", "custom operator"},
		"contributed":           {refusedModel(20, spoilt("BiasDropout", "com.microsoft")), "not supported", "as it was exported"},
		"unknown":               {refusedModel(20, spoilt("Frobnicate", "")), "not supported", "re-export"},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := Inspect(parse(t, c.model), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if in.Network != nil || len(in.Obstacles) == 0 {
				t.Fatalf("network %v, obstacles %+v", in.Network, in.Obstacles)
			}
			if o := in.Obstacles[0]; !strings.Contains(o.Reason, c.reason) || !strings.Contains(o.Advice, c.want) {
				t.Errorf("%q: %q, want %q and one about %q", o.Reason, o.Advice, c.reason, c.want)
			}
		})
	}
}

// TestObstacles: nodes are grouped by operator and reason; whether there may be
// more is said.
func TestObstacles(t *testing.T) {
	list := obstacles([]onnx.Unsupported{{Node: "a", Op: "LSTM"}, {Node: "b", Op: "If"}, {Node: "c", Op: "LSTM"}})
	if len(list) != 2 || list[0].Node != "a" || list[0].Count != 2 || list[1].Count != 1 {
		t.Errorf("grouped as %+v", list)
	}
	for operator, stopped := range map[string]bool{"Frobnicate": false, "Reshape": true} { // which lacks an input
		in, err := Inspect(parse(t, refusedModel(20, spoilt(operator, ""))), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(in.Obstacles) != 1 || in.Stopped != stopped {
			t.Errorf("%s: stopped %v at %+v", operator, in.Stopped, in.Obstacles)
		}
	}
}
