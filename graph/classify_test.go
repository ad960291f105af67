package graph

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// parse reads a synthesised model.
func parse(t *testing.T, b *onnxtest.Builder) *onnx.Model {
	t.Helper()
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.Sin(float64(i)))
	}
	return v
}

// channelsLast is a small CNN on NHWC images with one of everything that is not
// a weight.
func channelsLast() *onnxtest.Builder {
	b := onnxtest.New(18)
	b.Input("image", onnx.Float, "batch", 4, 4, 3)
	b.Float("mean", []int{1, 1, 1, 3}, []float32{1, 2, 3})
	b.Node("Sub", []string{"image", "mean"}, []string{"centred"})
	b.Node("Transpose", []string{"centred"}, []string{"planes"}, onnxtest.Ints("perm", 0, 3, 1, 2))
	b.Float("conv.weight", []int{2, 3, 2, 2}, ramp(24))
	b.Node("Conv", []string{"planes", "conv.weight"}, []string{"map"}, onnxtest.Ints("strides", 2, 2))
	for name, data := range map[string][]float32{"bn.weight": {1, 2}, "bn.bias": {0, 1}, "bn.running_mean": {0.1, 0.2}, "bn.running_var": {1, 2}} {
		b.Float(name, []int{2}, data)
	}
	b.Node("BatchNormalization", []string{"map", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"}, []string{"normed"})
	b.Float("half", nil, []float32{0.5})
	b.Node("Mul", []string{"normed", "half"}, []string{"halved"})
	b.Node("Flatten", []string{"halved"}, []string{"flat"})
	b.Float("val_7", []int{8}, []float32{0, 0, -1e9, 0, 0, 0, 0, -1e9})
	b.Node("Add", []string{"flat", "val_7"}, []string{"masked"})
	b.Node("Relu", []string{"masked"}, []string{"positive"})
	b.Float("head.weight", []int{3, 8}, ramp(24))
	b.Float("head.bias", []int{3}, ramp(3))
	b.Node("Gemm", []string{"positive", "head.weight", "head.bias"}, []string{"logits"}, onnxtest.Int("transB", 1))
	b.Float("pooler.weight", []int{2, 2}, ramp(4))
	b.Output("logits", onnx.Float, "batch", 3)
	return b
}

func TestWhatIsNotAWeight(t *testing.T) {
	n, err := Build(parse(t, channelsLast()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Input.Layout != NHWC || n.Input.Height != 4 || n.Input.Channels != 3 {
		t.Errorf("input %+v", n.Input)
	}
	var names []string
	for _, w := range n.Weights {
		names = append(names, w.Name)
	}
	if want := []string{"conv.weight", "bn.weight", "bn.bias", "head.weight", "head.bias"}; !slices.Equal(names, want) {
		t.Errorf("weights %v, want %v", names, want)
	}
	reasons := map[string]string{}
	for _, s := range n.Skipped {
		reasons[s.Name], _, _ = strings.Cut(s.Reason, ":")
	}
	for name, want := range map[string]string{
		"mean": "input normalisation", "bn.running_mean": "running statistics", "bn.running_var": "running statistics",
		"half": "scalar", "val_7": "mask", "pooler.weight": "unused",
	} {
		if reasons[name] != want {
			t.Errorf("%s is skipped as %q, want %q", name, reasons[name], want)
		}
	}
	// 24+2+2+24+3 elements lie in layers, 4 more do nothing.
	if got := n.Coverage(); math.Abs(got-55.0/59) > 1e-12 {
		t.Errorf("coverage %v", got)
	}
}

// TestStoredTransposed: a weight that the graph transposes, reshapes and slices
// keeps its place in the file, and gradients arrive in its own layout.
func TestStoredTransposed(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		build := func(views bool) *Network {
			b := onnxtest.New(18)
			b.Input("image", onnx.Float, "batch", 3, 1, 2)
			b.Node("Flatten", []string{"image"}, []string{"flat"})
			if views {
				b.Float("head.weight", []int{4, 6}, ramp(24))
				b.Int64("shape", []int{2}, []int64{4, 6})
				b.Node("Reshape", []string{"head.weight", "shape"}, []string{"same"})
				b.Node("Transpose", []string{"same"}, []string{"wide"}, onnxtest.Ints("perm", 1, 0))
				b.Int64("from", []int{1}, []int64{1})
				b.Int64("to", []int{1}, []int64{4})
				b.Int64("axis", []int{1}, []int64{1})
				b.Node("Slice", []string{"wide", "from", "to", "axis"}, []string{"matrix"})
			} else {
				all, matrix := ramp(24), make([]float32, 18)
				for i := range 6 {
					for j := range 3 {
						matrix[i*3+j] = all[(j+1)*6+i]
					}
				}
				b.Float("matrix", []int{6, 3}, matrix)
			}
			b.Node("MatMul", []string{"flat", "matrix"}, []string{"logits"})
			b.Output("logits", onnx.Float, "batch", 3)
			n, err := Build(parse(t, b), Options{})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		stored, plain := build(true), build(false)
		in, labels := randomBatch(plain, 5)
		a, b := compute(t, stored, RunnerOptions{Device: on.Device}, in, labels), compute(t, plain, RunnerOptions{Device: on.Device}, in, labels)
		if !slices.Equal(a.logits, b.logits) {
			t.Error("logits differ")
		}
		want := make([]float32, 24)
		for i := range 6 {
			for j := range 3 {
				want[(j+1)*6+i] = b.grads[0][i*3+j]
			}
		}
		if !slices.Equal(a.grads[0], want) {
			t.Errorf("gradient %v, want %v", a.grads[0], want)
		}
	})
}

// TestSharedWeight: a weight used twice has the sum of both gradients, and its
// layer begins below the first use.
func TestSharedWeight(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		b := onnxtest.New(18)
		b.Input("image", onnx.Float, "batch", 3, 1, 1)
		b.Node("Flatten", []string{"image"}, []string{"flat"})
		b.Float("w", []int{3, 3}, ramp(9))
		b.Node("MatMul", []string{"flat", "w"}, []string{"x"})
		b.Node("Tanh", []string{"x"}, []string{"y"})
		b.Node("MatMul", []string{"y", "w"}, []string{"logits"})
		b.Output("logits", onnx.Float, "batch", 3)
		n, err := Build(parse(t, b), Options{})
		if err != nil {
			t.Fatal(err)
		}
		images, labels := randomBatch(n, 4)
		for _, budget := range []int64{1, 1 << 30} { // the uses in two spans, and in one
			r := newRunner(t, n, RunnerOptions{BackwardBytes: budget, Device: on.Device})
			in := imported(t, r, images)
			var got []float32
			if err := r.LossGradients(context.Background(), metric.Loss{}, 0, in, labels, 1, []int{0}, nil, func(_ int, g nn.Memory) error {
				got = make([]float32, r.WeightElements(0))
				return r.Device().Download(got, g)
			}); err != nil {
				t.Fatal(err)
			}
			loss := func(w []float32) (sum float64) {
				r.Override(0, imported(t, r, w))
				losses := make([]float64, 4)
				if err := r.Evaluate(context.Background(), 0, in, labels, 1, losses, nil); err != nil {
					t.Fatal(err)
				}
				for _, l := range losses {
					sum += l
				}
				return sum
			}
			for i := range got {
				up, down := slices.Clone(r.Weight(0)), slices.Clone(r.Weight(0))
				const h = 1e-2
				up[i] += h
				down[i] -= h
				if want := (loss(up) - loss(down)) / (2 * h); math.Abs(float64(got[i])-want) > 2e-3 {
					t.Errorf("gradient of element %d is %v, by differences %v", i, got[i], want)
				}
			}
			r.Override(0, nil)
		}
	})
}

func TestBuildRefuses(t *testing.T) {
	linear := func(change func(b *onnxtest.Builder)) *onnxtest.Builder {
		b := onnxtest.New(18)
		change(b)
		b.Node("Flatten", []string{"image"}, []string{"flat"})
		b.Float("w", []int{12, 3}, ramp(36))
		b.Node("MatMul", []string{"flat", "w"}, []string{"logits"})
		b.Output("logits", onnx.Float, "batch", 3)
		return b
	}
	for what, b := range map[string]*onnxtest.Builder{
		"2 inputs":          linear(func(b *onnxtest.Builder) { b.Input("image", onnx.Float, "n", 3, 2, 2); b.Input("other", onnx.Float, 1) }),
		"has rank 2":        linear(func(b *onnxtest.Builder) { b.Input("image", onnx.Float, "n", 13) }),
		"has type DOUBLE":   linear(func(b *onnxtest.Builder) { b.Input("image", onnx.Double, "n", 3, 2, 2) }),
		"image size open":   linear(func(b *onnxtest.Builder) { b.Input("image", onnx.Float, "n", 3, "h", "w") }),
		"no dimension of 3": linear(func(b *onnxtest.Builder) { b.Input("image", onnx.Float, "n", 6, 2, 5) }),
		"MatMul":            linear(func(b *onnxtest.Builder) { b.Input("image", onnx.Float, "n", 3, 4, 4) }),
	} {
		_, err := Build(parse(t, b), Options{})
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), what) {
			t.Errorf("want an error with %q, got %v", what, err)
		}
	}
}

// TestNeckOfBatchSize: a value whose first dimension has the size of the batch
// by chance is no neck, and dropping it leaves every weight's neck below the
// weight's use.
func TestNeckOfBatchSize(t *testing.T) {
	b := onnxtest.New(18)
	b.Input("image", onnx.Float, "batch", 3, 1, 1)
	b.Node("Flatten", []string{"image"}, []string{"flat"})
	b.Float("w1", []int{3, 4}, ramp(12))
	b.Node("MatMul", []string{"flat", "w1"}, []string{"x"})
	b.Node("Transpose", []string{"x"}, []string{"turned"}, onnxtest.Ints("perm", 1, 0)) // [4, batch]
	b.Node("Tanh", []string{"turned"}, []string{"y"})
	b.Node("Transpose", []string{"y"}, []string{"back"}, onnxtest.Ints("perm", 1, 0))
	b.Float("w2", []int{4, 3}, ramp(12))
	b.Node("MatMul", []string{"back", "w2"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 3)
	n, err := Build(parse(t, b), Options{Batch: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range n.Necks {
		if k.Name == "turned" || k.Name == "y" {
			t.Errorf("%s is called a neck", k.Name)
		}
	}
	for _, w := range n.Weights {
		above := math.MaxInt
		if w.Neck+1 < len(n.Necks) {
			above = n.Necks[w.Neck+1].position
		}
		if w.Neck >= len(n.Necks)-1 || n.Necks[w.Neck].position > w.first || above <= w.first {
			t.Errorf("%s is used by step %d, but its neck is %d of %d", w.Name, w.first, w.Neck, len(n.Necks))
		}
	}
}

// TestComparedTensor: a tensor that only decides a condition is no weight, even
// where arithmetic comes before the comparison.
func TestComparedTensor(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		b := onnxtest.New(18)
		b.Input("image", onnx.Float, "batch", 3, 1, 2)
		b.Node("Flatten", []string{"image"}, []string{"flat"})
		b.Float("regions", []int{1, 6}, []float32{0, 1, 2, 0, 1, 2})
		b.Float("scale", []int{1, 6}, ramp(6))
		b.Float("one", nil, []float32{1})
		b.Node("Sub", []string{"regions", "one"}, []string{"differences"})
		b.Node("Equal", []string{"differences", "one"}, []string{"same"})
		b.Node("Mul", []string{"flat", "scale"}, []string{"scaled"})
		b.Node("Where", []string{"same", "scaled", "flat"}, []string{"logits"})
		b.Output("logits", onnx.Float, "batch", 6)
		n, err := Build(parse(t, b), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(n.Weights) != 1 || n.Weights[0].Name != "scale" {
			t.Errorf("%d weights, the first %q; want scale alone", len(n.Weights), n.Weights[0].Name)
		}
		for _, s := range n.Skipped {
			if s.Name == "regions" && (s.Parameter || !strings.HasPrefix(s.Reason, "mask")) {
				t.Errorf("regions is skipped as %q, a parameter: %v", s.Reason, s.Parameter)
			}
		}
		in, labels := randomBatch(n, n.Batch)
		out, scale := compute(t, n, RunnerOptions{Device: on.Device}, in, labels), ramp(6)
		for i, x := range in {
			want := x
			if i%3 == 2 { // region 2
				want *= scale[i%6]
			}
			if out.logits[i] != want {
				t.Fatalf("logit %d is %v, want %v", i, out.logits[i], want)
			}
		}
	})
}

// TestAngles: a nameless tensor of which only the sine is taken is no weight;
// frequencies that have a parameter's name are learned.
func TestAngles(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for name, learned := range map[string]bool{"/pos_embed/Constant_output_0": false, "rope.freqs": true} {
			b := onnxtest.New(18)
			b.Input("image", onnx.Float, "batch", 3, 1, 2)
			b.Node("Flatten", []string{"image"}, []string{"flat"})
			b.Float(name, []int{1, 6}, ramp(6))
			b.Float("scale", []int{1, 6}, ramp(6))
			b.Node("Sin", []string{name}, []string{"waves"})
			b.Node("Mul", []string{"flat", "scale"}, []string{"scaled"})
			b.Node("Add", []string{"scaled", "waves"}, []string{"logits"})
			b.Output("logits", onnx.Float, "batch", 6)
			n, err := Build(parse(t, b), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.ContainsFunc(n.Weights, func(w *Weight) bool { return w.Name != "scale" }); got != learned {
				t.Errorf("%s is a weight: %v, want %v", name, got, learned)
			}
			in, labels := randomBatch(n, n.Batch)
			out, values := compute(t, n, RunnerOptions{Device: on.Device}, in, labels), ramp(6)
			for i, x := range in {
				if want := float64(x*values[i%6]) + math.Sin(float64(values[i%6])); math.Abs(float64(out.logits[i])-want) > 1e-6 {
					t.Fatalf("%s: logit %d is %v, want %v", name, i, out.logits[i], want)
				}
			}
		}
	})
}
