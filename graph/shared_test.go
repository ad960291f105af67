package graph

import (
	"fmt"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// vectorModel begins a model whose image of six values is seen as two vectors
// of three, "x", and whose logits are yet to be added.
func vectorModel() *onnxtest.Builder {
	b := onnxtest.New(18)
	b.Input("image", onnx.Float, "batch", 3, 1, 2)
	b.Int64("vectors", []int{3}, []int64{-1, 2, 3})
	b.Node("Reshape", []string{"image", "vectors"}, []string{"x"})
	return b
}

// finish adds a classifier with three classes on the sum of a value's vectors.
func finish(b *onnxtest.Builder, x string) *onnxtest.Builder {
	b.Int64("axis", []int{1}, []int64{1})
	b.Node("ReduceSum", []string{x, "axis"}, []string{"pooled"}, onnxtest.Int("keepdims", 0))
	b.Float("head.weight", []int{3, 3}, ramp(9))
	b.Node("MatMul", []string{"pooled", "head.weight"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 3)
	return b
}

// packed adds an attention whose query, key and value are products with parts
// of one matrix, made by parts.
func packed(parts func(b *onnxtest.Builder)) *onnxtest.Builder {
	b := vectorModel()
	b.Float("val_1", []int{3, 9}, ramp(27))
	parts(b)
	b.Node("MatMul", []string{"x", "wq"}, []string{"q"})
	b.Node("MatMul", []string{"x", "wk"}, []string{"k"})
	b.Node("MatMul", []string{"x", "wv"}, []string{"v"})
	b.Node("Transpose", []string{"k"}, []string{"kt"}, onnxtest.Ints("perm", 0, 2, 1))
	b.Node("MatMul", []string{"q", "kt"}, []string{"scores"})
	b.Node("Softmax", []string{"scores"}, []string{"shares"})
	b.Node("MatMul", []string{"shares", "v"}, []string{"mixed"})
	return finish(b, "mixed")
}

func TestShared(t *testing.T) {
	for name, test := range map[string]struct {
		model *onnxtest.Builder
		want  int // uses of the tensor val_1
	}{
		"packed by Slice": {packed(func(b *onnxtest.Builder) {
			b.Int64("one", []int{1}, []int64{1})
			for i, part := range []string{"wq", "wk", "wv"} {
				b.Int64(part+"from", []int{1}, []int64{int64(3 * i)})
				b.Int64(part+"to", []int{1}, []int64{int64(3*i + 3)})
				b.Node("Slice", []string{"val_1", part + "from", part + "to", "one"}, []string{part})
			}
		}), 0},
		"packed by Split": {packed(func(b *onnxtest.Builder) {
			b.Node("Split", []string{"val_1"}, []string{"wq", "wk", "wv"}, onnxtest.Int("axis", 1), onnxtest.Int("num_outputs", 3))
		}), 0},
		"tied layers": {func() *onnxtest.Builder {
			b := vectorModel()
			b.Float("val_1", []int{3, 3}, ramp(9))
			b.Node("MatMul", []string{"x", "val_1"}, []string{"once"})
			b.Node("Tanh", []string{"once"}, []string{"bent"})
			b.Node("Transpose", []string{"val_1"}, []string{"turned"}, onnxtest.Ints("perm", 1, 0))
			b.Node("MatMul", []string{"bent", "turned"}, []string{"twice"})
			return finish(b, "twice")
		}(), 2},
		"one node twice": {func() *onnxtest.Builder {
			b := vectorModel()
			b.Float("val_1", []int{3}, ramp(3))
			b.Node("Mul", []string{"val_1", "val_1"}, []string{"square"})
			b.Node("Add", []string{"x", "square"}, []string{"moved"})
			return finish(b, "moved")
		}(), 0},
		"elsewhere only its shape and a dead branch": {func() *onnxtest.Builder {
			b := vectorModel()
			b.Float("val_1", []int{3, 3}, ramp(9))
			b.Node("MatMul", []string{"x", "val_1"}, []string{"once"})
			b.Node("Tanh", []string{"once"}, []string{"bent"})
			b.Node("MatMul", []string{"bent", "val_1"}, []string{"auxiliary"})
			b.Node("Shape", []string{"val_1"}, []string{"shape"})
			b.Int64("all", []int{3}, []int64{-1, 2, 3})
			b.Node("ConstantOfShape", []string{"shape"}, []string{"zeros"})
			b.Node("MatMul", []string{"bent", "zeros"}, []string{"nothing"})
			b.Node("Add", []string{"bent", "nothing"}, []string{"same"})
			b.Output("auxiliary", onnx.Float, "batch", 2, 3)
			return finish(b, "same")
		}(), 0},
	} {
		for _, noFuse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/unfused=%v", name, noFuse), func(t *testing.T) {
				n, err := Build(parse(t, test.model), Options{NoFuse: noFuse})
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(n.Weights, func(w *Weight) bool { return w.Tensor.Name == "val_1" })
				if i < 0 {
					t.Fatal("val_1 is no weight")
				}
				if got := n.Shared(i); len(got) != test.want {
					t.Errorf("shared uses %v, want %d", got, test.want)
				}
			})
		}
	}
}
