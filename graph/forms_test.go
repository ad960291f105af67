package graph

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"modeldoctor/onnx"
	"modeldoctor/onnx/onnxtest"
)

// rotaryViT is a small transformer with rotary embeddings and normalised
// queries and keys. With the operators of opset 23 and later it is what no
// exporter writes yet; without them the same is composed of plain ones.
type rotaryViT struct {
	*onnxtest.Builder
	modern bool
}

const (
	rotaryTokens = 9 // 3×3 patches
	rotaryWidth  = 8
	rotaryHeads  = 2
	rotaryHalf   = rotaryWidth / rotaryHeads / 2
)

func newRotaryViT(modern bool) *rotaryViT {
	opset := int64(20)
	if modern {
		opset = 24
	}
	v := &rotaryViT{onnxtest.New(opset), modern}
	v.Input("image", onnx.Float, "batch", 3, 6, 6)
	v.Output("logits", onnx.Float, "batch", 4)
	v.weight("patch_embed.weight", rotaryWidth, 3, 2, 2)
	v.Node("Conv", []string{"image", "patch_embed.weight"}, []string{"patches"}, onnxtest.Ints("strides", 2, 2))
	v.Int64("tokens_shape", []int{3}, []int64{0, rotaryWidth, rotaryTokens})
	v.Int64("heads_shape", []int{4}, []int64{0, 0, rotaryHeads, rotaryWidth / rotaryHeads})
	v.Int64("merged_shape", []int{3}, []int64{0, 0, rotaryWidth})
	v.tables()
	v.Node("Reshape", []string{"patches", "tokens_shape"}, []string{"channels"})
	v.Node("Transpose", []string{"channels"}, []string{"x0"}, onnxtest.Ints("perm", 0, 2, 1))
	for i := range 2 {
		v.block(fmt.Sprintf("blocks.%d.", i), fmt.Sprintf("x%d", i), fmt.Sprintf("x%d", i+1))
	}
	v.Node("ReduceMean", []string{"x2", "token_axis"}, []string{"pooled"}, onnxtest.Int("keepdims", 0))
	v.weight("head.weight", rotaryWidth, 4)
	v.Node("MatMul", []string{"pooled", "head.weight"}, []string{"logits"})
	return v
}

func (v *rotaryViT) weight(name string, shape ...int) string {
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := ramp(n)
	for i := range data {
		data[i] = 0.3 + 0.5*data[i]
	}
	v.Float(name, shape, data)
	return name
}

// tables adds the angles: a table of half the features for RotaryEmbedding, and
// for plain operators one of all.
func (v *rotaryViT) tables() {
	v.Int64("token_axis", []int{1}, []int64{1})
	v.Float("epsilon", nil, []float32{1e-5})
	v.Float("scale", nil, []float32{float32(1 / math.Sqrt(rotaryWidth/rotaryHeads))})
	v.Int64("last_axis", []int{1}, []int64{-1})
	var half, whole [2][]float32
	for p := range rotaryTokens {
		for range 2 {
			for i := range rotaryHalf {
				angle := float64(p) / math.Pow(10, float64(i))
				whole[0], whole[1] = append(whole[0], float32(math.Cos(angle))), append(whole[1], float32(math.Sin(angle)))
			}
		}
		n := len(whole[0])
		half[0], half[1] = append(half[0], whole[0][n-rotaryHalf:]...), append(half[1], whole[1][n-rotaryHalf:]...)
	}
	if v.modern {
		v.Float("cos_cache", []int{rotaryTokens, rotaryHalf}, half[0])
		v.Float("sin_cache", []int{rotaryTokens, rotaryHalf}, half[1])
		v.Node("Shape", []string{"image"}, []string{"batch_size"}, onnxtest.Int("end", 1))
		v.Int64("token_count", []int{1}, []int64{rotaryTokens})
		v.Node("Concat", []string{"batch_size", "token_count"}, []string{"positions_shape"}, onnxtest.Int("axis", 0))
		v.Int64("row", []int{rotaryTokens}, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8})
		v.Node("Expand", []string{"row", "positions_shape"}, []string{"position_ids"})
		return
	}
	v.Float("cosines", []int{rotaryTokens, 2 * rotaryHalf}, whole[0])
	v.Float("sines", []int{rotaryTokens, 2 * rotaryHalf}, whole[1])
}

// node adds a node with one output, called like it.
func (v *rotaryViT) node(op, output string, inputs []string, attrs ...onnxtest.Attr) string {
	v.Node(op, inputs, []string{output}, attrs...)
	return output
}

// norm divides by the root mean square of the last axis and multiplies by a
// weight.
func (v *rotaryViT) norm(name, x string, width int) string {
	w := v.weight(name+".weight", width)
	if v.modern {
		return v.node("RMSNormalization", name, []string{x, w}, onnxtest.Float("epsilon", 1e-5))
	}
	square := v.node("Mul", name+".square", []string{x, x})
	mean := v.node("ReduceMean", name+".mean", []string{square, "last_axis"})
	root := v.node("Sqrt", name+".root", []string{v.node("Add", name+".shifted", []string{mean, "epsilon"})})
	return v.node("Mul", name, []string{v.node("Div", name+".normal", []string{x, root}), w})
}

// rotate turns pairs of features of x [B, heads, tokens, features].
func (v *rotaryViT) rotate(name, x string) string {
	if v.modern {
		return v.node("RotaryEmbedding", name, []string{x, "cos_cache", "sin_cache", "position_ids"})
	}
	first, second := name+".first", name+".second"
	v.Node("Split", []string{x}, []string{first, second}, onnxtest.Int("axis", -1), onnxtest.Int("num_outputs", 2))
	turned := v.node("Concat", name+".turned", []string{v.node("Neg", name+".minus", []string{second}), first}, onnxtest.Int("axis", -1))
	return v.node("Add", name, []string{v.node("Mul", name+".a", []string{x, "cosines"}), v.node("Mul", name+".b", []string{turned, "sines"})})
}

func (v *rotaryViT) block(prefix, x, out string) {
	y := v.norm(prefix+"norm1", x, rotaryWidth)
	part := map[string]string{}
	for _, name := range []string{"q", "k", "v"} {
		z := v.node("MatMul", prefix+name, []string{y, v.weight(prefix+name+".weight", rotaryWidth, rotaryWidth)})
		z = v.node("Reshape", prefix+name+".heads", []string{z, "heads_shape"})
		z = v.node("Transpose", prefix+name+".perm", []string{z}, onnxtest.Ints("perm", 0, 2, 1, 3))
		if name != "v" {
			z = v.rotate(prefix+name+".rotated", v.norm(prefix+name+"_norm", z, rotaryWidth/rotaryHeads))
		}
		part[name] = z
	}
	if v.modern {
		y = v.node("Attention", prefix+"attention", []string{part["q"], part["k"], part["v"]})
	} else {
		kt := v.node("Transpose", prefix+"kt", []string{part["k"]}, onnxtest.Ints("perm", 0, 1, 3, 2))
		scores := v.node("MatMul", prefix+"scores", []string{part["q"], kt})
		weights := v.node("Softmax", prefix+"weights", []string{v.node("Mul", prefix+"scaled", []string{scores, "scale"})})
		y = v.node("MatMul", prefix+"attention", []string{weights, part["v"]})
	}
	y = v.node("Transpose", prefix+"unperm", []string{y}, onnxtest.Ints("perm", 0, 2, 1, 3))
	y = v.node("Reshape", prefix+"merged", []string{y, "merged_shape"})
	y = v.node("MatMul", prefix+"proj", []string{y, v.weight(prefix+"proj.weight", rotaryWidth, rotaryWidth)})
	v.Node("Add", []string{x, y}, []string{out})
}

// TestNewestOperators: RMSNormalization, RotaryEmbedding and Attention mean what
// the operators mean that they stand for, and the tables of angles are not
// weights in either form.
func TestNewestOperators(t *testing.T) {
	var outcomes []outcome
	for _, modern := range []bool{true, false} {
		for _, noFuse := range []bool{false, true} {
			n, err := Build(parse(t, newRotaryViT(modern).Builder), Options{Batch: 2, NoFuse: noFuse})
			if err != nil {
				t.Fatal(err)
			}
			if len(n.Weights) != 2+2*7 {
				t.Errorf("modern=%v: %d weights, %v skipped", modern, len(n.Weights), n.Skipped)
			}
			in, labels := randomBatch(n, 2)
			o := compute(t, n, RunnerOptions{}, in, labels)
			// The two forms do not use their weights in one order.
			byName, index := map[int][]float32{}, weightNames(n)
			for i, name := range slices.Sorted(maps.Keys(index)) {
				byName[i] = o.grads[index[name]]
			}
			o.grads = byName
			outcomes = append(outcomes, o)
		}
	}
	for _, other := range outcomes[1:] {
		outcomes[0].close(t, other, 1e-5)
	}
}

// weightNames gives the index of each weight by its name.
func weightNames(n *Network) map[string]int {
	index := map[string]int{}
	for i, w := range n.Weights {
		index[w.Name] = i
	}
	return index
}
