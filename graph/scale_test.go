package graph

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// endings are models that differ in how the logits come about: from "h", three
// features, and "w" and "b", a matrix and a vector of weights.
var endings = map[string]struct {
	build  func(b *onnxtest.Builder)
	want   string // the weights to be multiplied
	refuse string // or part of the refusal
}{
	"matrix and bias": {build: func(b *onnxtest.Builder) {
		b.Node("MatMul", []string{"h", "w"}, []string{"product"})
		b.Node("Add", []string{"product", "b"}, []string{"logits"})
	}, want: "w b"},
	"Gemm with factors": {build: func(b *onnxtest.Builder) {
		b.Node("Gemm", []string{"h", "w", "b"}, []string{"logits"}, onnxtest.Float("alpha", 0.5), onnxtest.Float("beta", 2))
	}, want: "w b"},
	"stored transposed, a bias of zeros": {build: func(b *onnxtest.Builder) {
		b.Node("Transpose", []string{"w"}, []string{"wt"}, onnxtest.Ints("perm", 1, 0))
		b.Float("scalar", []int{1}, []float32{0})
		b.Node("MatMul", []string{"h", "wt"}, []string{"product"})
		b.Node("Sub", []string{"product", "scalar"}, []string{"logits"})
	}, want: "w"},
	"mean of two heads": {build: func(b *onnxtest.Builder) {
		b.Float("w2", []int{3, 3}, ramp(9))
		b.Float("two", nil, []float32{2})
		b.Node("Gemm", []string{"h", "w", "b"}, []string{"one"})
		b.Node("MatMul", []string{"h", "w2"}, []string{"other"})
		b.Node("Add", []string{"one", "other"}, []string{"sum"})
		b.Node("Div", []string{"sum", "two"}, []string{"logits"})
	}, want: "w b w2"},
	"joined heads": {build: func(b *onnxtest.Builder) {
		b.Float("w2", []int{3, 2}, ramp(6))
		b.Node("MatMul", []string{"h", "w"}, []string{"one"})
		b.Node("MatMul", []string{"h", "w2"}, []string{"other"})
		b.Node("Concat", []string{"one", "other"}, []string{"logits"}, onnxtest.Int("axis", 1))
	}, want: "w w2"},
	"scaled by a gate of the image": {build: func(b *onnxtest.Builder) {
		b.Int64("axis", []int{1}, []int64{1})
		b.Node("ReduceMean", []string{"pixels", "axis"}, []string{"gate"})
		b.Node("MatMul", []string{"h", "w"}, []string{"product"})
		b.Node("Mul", []string{"gate", "product"}, []string{"logits"})
	}, want: "w"},
	"gated by another head": {build: func(b *onnxtest.Builder) {
		b.Float("w2", []int{3, 3}, ramp(9))
		b.Node("MatMul", []string{"h", "w"}, []string{"product"})
		b.Node("MatMul", []string{"h", "w2"}, []string{"open"})
		b.Node("Sigmoid", []string{"open"}, []string{"gate"})
		b.Node("Mul", []string{"product", "gate"}, []string{"logits"})
	}, want: "w"},
	"BatchNormalization last": {build: func(b *onnxtest.Builder) {
		for _, name := range []string{"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"} {
			b.Float(name, []int{3}, []float32{1, 2, 3})
		}
		b.Node("Gemm", []string{"h", "w", "b"}, []string{"z"})
		b.Node("BatchNormalization", []string{"z", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"}, []string{"logits"})
	}, want: "bn.weight bn.bias"},
	"LayerNormalization last": {build: func(b *onnxtest.Builder) {
		b.Node("LayerNormalization", []string{"h", "b"}, []string{"logits"})
	}, want: "b"},
	"a constant bias": {build: func(b *onnxtest.Builder) {
		b.Float("scalar", []int{1}, []float32{0.5})
		b.Node("MatMul", []string{"h", "w"}, []string{"product"})
		b.Node("Add", []string{"product", "scalar"}, []string{"logits"}).Name("offset")
	}, refuse: `"offset" (Add): a constant`},
	"the image is added": {build: func(b *onnxtest.Builder) {
		b.Node("MatMul", []string{"h", "w"}, []string{"product"})
		b.Node("Add", []string{"product", "pixels"}, []string{"logits"}).Name("shortcut")
	}, refuse: "the image reaches the logits without a weight"},
	"bent": {build: func(b *onnxtest.Builder) {
		b.Node("MatMul", []string{"h", "w"}, []string{"product"})
		b.Node("Tanh", []string{"product"}, []string{"logits"}).Name("softcap")
	}, refuse: `"softcap" (Tanh): Tanh does not pass a factor on`},
	"tied to a layer below": {build: func(b *onnxtest.Builder) {
		b.Node("MatMul", []string{"h", "w"}, []string{"below"}).Name("embedding")
		b.Node("Tanh", []string{"below"}, []string{"bent"})
		b.Node("Transpose", []string{"w"}, []string{"wt"}, onnxtest.Ints("perm", 1, 0))
		b.Node("MatMul", []string{"bent", "wt"}, []string{"logits"})
	}, refuse: `"embedding" (MatMul): it reads weight "w"`},
	"the product with itself": {build: func(b *onnxtest.Builder) {
		b.Node("Mul", []string{"w", "w"}, []string{"square"}).Name("squared")
		b.Node("MatMul", []string{"h", "square"}, []string{"logits"})
	}, refuse: `"squared" (Mul): it reads weight "w"`},
	"divided by its own norm": {build: func(b *onnxtest.Builder) {
		b.Int64("axis", []int{1}, []int64{0})
		b.Node("ReduceL2", []string{"w", "axis"}, []string{"norm"})
		b.Node("Div", []string{"w", "norm"}, []string{"unit"})
		b.Node("MatMul", []string{"h", "unit"}, []string{"logits"})
	}, refuse: `it reads weight "w"`},
}

// ending builds a model that ends in one of the above.
func ending(build func(b *onnxtest.Builder)) *onnxtest.Builder {
	b := onnxtest.New(18)
	b.Input("image", onnx.Float, "batch", 3, 1, 1)
	b.Node("Flatten", []string{"image"}, []string{"pixels"})
	b.Float("v", []int{3, 3}, ramp(9))
	b.Node("MatMul", []string{"pixels", "v"}, []string{"features"})
	b.Node("Tanh", []string{"features"}, []string{"h"})
	b.Float("w", []int{3, 3}, ramp(9))
	b.Float("b", []int{3}, ramp(4)[1:])
	build(b)
	b.Output("logits", onnx.Float, "batch", "classes")
	return b
}

func TestLogitScaleByEnding(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for name, test := range endings {
			for _, noFuse := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/unfused=%v", name, noFuse), func(t *testing.T) {
					n, err := Build(parse(t, ending(test.build)), Options{NoFuse: noFuse, Batch: 4})
					if err != nil {
						t.Fatal(err)
					}
					weights, err := n.LogitScale()
					if test.refuse != "" {
						var described *Error
						if !errors.As(err, &described) || !strings.Contains(err.Error(), test.refuse) || described.Hint() == "" {
							t.Errorf("weights %v, error %v, expected %q", weights, err, test.refuse)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					var names []string
					for _, w := range weights {
						names = append(names, n.Weights[w].Tensor.Name)
					}
					if got := strings.Join(names, " "); got != test.want {
						t.Errorf("weights %s, want %s", got, test.want)
					}
					checkLogitScale(t, on, n, weights)
				})
			}
		}
	})
}

// checkLogitScale doubles the weights, which is exact, and expects logits that
// are exactly doubled.
func checkLogitScale(t *testing.T, on testdevice.Backend, n *Network, weights []int) {
	r := newRunner(t, n, RunnerOptions{Device: on.Device})
	images, labels := randomBatch(n, n.Batch)
	in := imported(t, r, images)
	logits := func() []float32 {
		z := make([]float32, n.Batch*n.Classes)
		if err := r.Evaluate(context.Background(), 0, in, labels, 1, make([]float64, n.Batch), z); err != nil {
			t.Fatal(err)
		}
		return z
	}
	before := logits()
	for _, w := range weights {
		doubled := make([]float32, n.Weights[w].Elements)
		for i, x := range r.Weight(w) {
			doubled[i] = 2 * x
		}
		r.Override(w, imported(t, r, doubled))
	}
	for i, x := range logits() {
		if math.Abs(float64(before[i])) < 1e-6 || x != 2*before[i] {
			t.Fatalf("logit %d is %v, was %v", i, x, before[i])
		}
	}
}
