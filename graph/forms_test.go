package graph

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// rotaryViT is a small transformer with rotary embeddings and normalised
// queries and keys. With the operators of opset 23 and later it is what no
// exporter writes yet; without them the same is composed of plain ones.
type rotaryViT struct {
	*onnxtest.Builder
	rotaryForm
	body    *onnxtest.Builder // where nodes go
	path    string            // of the block whose weights are added
	weights []string          // of it
}

// rotaryForm says how the model is written.
type rotaryForm struct {
	modern bool
	// functions makes the blocks calls of one function, and the head a branch of
	// an If.
	functions bool
	batch     int // that the file is bound to; 0 leaves it free
}

// Node adds a node to the graph or to the function that is being written.
func (v *rotaryViT) Node(op string, inputs, outputs []string, attrs ...onnxtest.Attr) {
	v.body.Node(op, inputs, outputs, attrs...)
}

const (
	rotaryTokens = 9 // 3×3 patches
	rotaryWidth  = 8
	rotaryHeads  = 2
	rotaryHalf   = rotaryWidth / rotaryHeads / 2
)

func newRotaryViT(form rotaryForm) *rotaryViT {
	opset := int64(20)
	if form.modern {
		opset = 24
	}
	b := onnxtest.New(opset)
	v := &rotaryViT{Builder: b, rotaryForm: form, body: b}
	var batch any = "batch"
	if form.batch > 0 {
		batch = form.batch
	}
	v.Input("image", onnx.Float, batch, 3, 6, 6)
	v.Output("logits", onnx.Float, batch, 4)
	v.weight("patch_embed.weight", rotaryWidth, 3, 2, 2)
	v.Node("Conv", []string{"image", "patch_embed.weight"}, []string{"patches"}, onnxtest.Ints("strides", 2, 2))
	v.Int64("tokens_shape", []int{3}, []int64{0, rotaryWidth, rotaryTokens})
	v.Int64("heads_shape", []int{4}, []int64{0, 0, rotaryHeads, rotaryWidth / rotaryHeads})
	v.Int64("merged_shape", []int{3}, []int64{0, 0, rotaryWidth})
	v.tables()
	v.Node("Reshape", []string{"patches", "tokens_shape"}, []string{"channels"})
	v.Node("Transpose", []string{"channels"}, []string{"x0"}, onnxtest.Ints("perm", 0, 2, 1))
	for i := range 2 {
		in, out := fmt.Sprintf("x%d", i), fmt.Sprintf("x%d", i+1)
		if form.functions {
			v.call(i, in, out)
			continue
		}
		v.path = fmt.Sprintf("blocks.%d.", i)
		v.block(in, out)
	}
	v.path = ""
	v.Node("ReduceMean", []string{"x2", "token_axis"}, []string{"pooled"}, onnxtest.Int("keepdims", 0))
	if form.functions {
		v.choice()
		return v
	}
	v.Node("MatMul", []string{"pooled", v.weight("head.weight", rotaryWidth, 4)}, []string{"logits"})
	return v
}

// call makes block i a call of a function, which is written with the first.
func (v *rotaryViT) call(i int, in, out string) {
	v.path, v.weights = fmt.Sprintf("blocks.%d.", i), nil
	v.body = onnxtest.New(24)
	v.block("in", "out")
	formal := []string{"in", "epsilon", "scale", "last_axis", "cos_cache", "sin_cache", "position_ids", "heads_shape", "merged_shape"}
	actual := append([]string{in}, formal[1:]...)
	for _, w := range v.weights {
		formal, actual = append(formal, v.path+w), append(actual, v.path+w)
	}
	if i == 0 {
		v.Function("local", "Block", "", formal, []string{"out"}, v.body, nil)
		v.Domain("local", 1)
	}
	v.body = v.Builder
	v.body.Node("Block", actual, []string{out}).Domain("local").Name(v.path + "call")
}

// choice makes the head the branch that is taken of an If whose condition is
// computed from shapes, as PyTorch's older exporter writes them. The other branch
// could not be run.
func (v *rotaryViT) choice() {
	head := newBranch("MatMul", "pooled", "head.weight")
	head.Float("head.weight", []int{rotaryWidth, 4}, weightValues(4*rotaryWidth))
	v.Node("Shape", []string{"x2"}, []string{"x2_shape"})
	v.Node("Slice", []string{"x2_shape", "token_axis", "two"}, []string{"x2_tokens"})
	v.Int64("two", []int{1}, []int64{2})
	v.Int64("nine", []int{1}, []int64{rotaryTokens})
	v.Node("Equal", []string{"x2_tokens", "nine"}, []string{"is_nine"})
	v.Node("If", []string{"is_nine"}, []string{"logits"},
		onnxtest.Graph("then_branch", head.GraphBytes()), onnxtest.Graph("else_branch", newBranch("NoSuchOperator", "pooled").GraphBytes()))
}

func newBranch(op string, inputs ...string) *onnxtest.Builder {
	b := onnxtest.New(24)
	b.Node(op, inputs, []string{"result"})
	b.Output("result", onnx.Float, "batch", 4)
	return b
}

func (v *rotaryViT) weight(name string, shape ...int) string {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v.Float(v.path+name, shape, weightValues(n))
	v.weights = append(v.weights, name)
	return v.path + name
}

func weightValues(n int) []float32 {
	data := ramp(n)
	for i := range data {
		data[i] = 0.3 + 0.5*data[i]
	}
	return data
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
	name = v.path + name
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

func (v *rotaryViT) block(x, out string) {
	prefix := v.path
	y := v.norm("norm1", x, rotaryWidth)
	part := map[string]string{}
	for _, name := range []string{"q", "k", "v"} {
		z := v.node("MatMul", prefix+name, []string{y, v.weight(name+".weight", rotaryWidth, rotaryWidth)})
		z = v.node("Reshape", prefix+name+".heads", []string{z, "heads_shape"})
		z = v.node("Transpose", prefix+name+".perm", []string{z}, onnxtest.Ints("perm", 0, 2, 1, 3))
		if name != "v" {
			z = v.rotate(prefix+name+".rotated", v.norm(name+"_norm", z, rotaryWidth/rotaryHeads))
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
	y = v.node("MatMul", prefix+"proj", []string{y, v.weight("proj.weight", rotaryWidth, rotaryWidth)})
	v.Node("Add", []string{x, y}, []string{out})
}

// TestNewestOperators: RMSNormalization, RotaryEmbedding and Attention mean what
// the operators mean that they stand for, and the tables of angles are not
// weights in either form.
func TestNewestOperators(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		var outcomes []outcome
		for _, modern := range []bool{true, false} {
			for _, noFuse := range []bool{false, true} {
				outcomes = append(outcomes, computeByName(t, on, newRotaryViT(rotaryForm{modern: modern}), noFuse))
			}
		}
		for _, other := range outcomes[1:] {
			outcomes[0].close(t, other, 1e-5)
		}
	})
}

// computeByName computes everything, with the weights numbered by their names:
// the forms do not use them in one order.
func computeByName(t *testing.T, on testdevice.Backend, v *rotaryViT, noFuse bool) outcome {
	t.Helper()
	n, err := Build(parse(t, v.Builder), Options{Batch: 2, NoFuse: noFuse})
	if err != nil {
		t.Fatal(err)
	}
	if len(n.Weights) != 2+2*7 {
		t.Errorf("%d weights, %v skipped", len(n.Weights), n.Skipped)
	}
	index := map[string]int{}
	for i, w := range n.Weights {
		index[w.Name] = i
	}
	in, labels := randomBatch(n, 2)
	o := compute(t, n, RunnerOptions{Device: on.Device}, in, labels)
	byName := map[int][]float32{}
	for i, name := range slices.Sorted(maps.Keys(index)) {
		byName[i] = o.grads[index[name]]
	}
	o.grads = byName
	return o
}

// TestFunctionsAndBranches: a model whose blocks are calls of a function and
// whose head is a branch is, to the bit, the model without them.
func TestFunctionsAndBranches(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, noFuse := range []bool{false, true} {
			computeByName(t, on, newRotaryViT(rotaryForm{modern: true, functions: true}), noFuse).equal(t, computeByName(t, on, newRotaryViT(rotaryForm{modern: true}), noFuse))
		}
	})
}

// TestBranchOfImage: an If whose condition depends on the image is refused by
// name.
func TestBranchOfImage(t *testing.T) {
	v := newRotaryViT(rotaryForm{modern: true})
	b := v.Builder
	b.Node("ReduceMax", []string{"image"}, []string{"largest"}, onnxtest.Int("keepdims", 0))
	b.Node("Greater", []string{"largest", "epsilon"}, []string{"bright"})
	same := newBranch("Identity", "logits").GraphBytes()
	b.Node("If", []string{"bright"}, []string{"chosen"}, onnxtest.Graph("then_branch", same), onnxtest.Graph("else_branch", same)).Name("choice")
	b.Output("chosen", onnx.Float, "batch", 4)
	_, err := Build(parse(t, b), Options{Output: "chosen"})
	if err == nil || !strings.Contains(err.Error(), `node "choice" (If): which branch is taken depends on the image`) {
		t.Errorf("error %v", err)
	}
}

// TestFixedBatch: a file that is bound to a batch gives the numbers of one that
// is not, for any number of images.
func TestFixedBatch(t *testing.T) {
	probe := func(batch int) *ProbeResult {
		n, err := Build(parse(t, newRotaryViT(rotaryForm{batch: batch}).Builder), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n.Input.FixedBatch != batch || batch > 0 && n.Batch != batch {
			t.Errorf("bound to %d, runs at %d, want %d", n.Input.FixedBatch, n.Batch, batch)
		}
		in, labels := randomBatch(n, 5)
		p, err := Probe(context.Background(), NewRunner(n, RunnerOptions{}), in, labels)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	free := probe(0)
	for _, batch := range []int{1, 3, 8} {
		bound := probe(batch)
		for i := range free.Logits {
			if !slices.Equal(bound.Logits[i], free.Logits[i]) {
				t.Errorf("batch %d, image %d: %v, want %v", batch, i, bound.Logits[i], free.Logits[i])
			}
		}
		for i, l := range free.Layers {
			if !nearly(bound.Layers[i].GNorm, l.GNorm) {
				t.Errorf("batch %d: ‖g‖ of %s is %g, want %g", batch, l.Name, bound.Layers[i].GNorm, l.GNorm)
			}
		}
	}
}

// nearly allows for sums in another order.
func nearly(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }
