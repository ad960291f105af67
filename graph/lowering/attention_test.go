package lowering

import (
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestMicrosoftAttention compares both operators with the fused Op.
func TestMicrosoftAttention(t *testing.T) {
	r := optest.Random()
	const heads, d = 2, 3
	x, w, bias := optest.Normal(r, 2, 4, 5), optest.Normal(r, 5, 3*heads*d), optest.Normal(r, 3*heads*d)
	rows := optest.Apply(t, op.Linear{}, x, w, bias)
	want := optest.Apply(t, op.PackedAttention{Heads: heads, HeadDim: d, Scale: 1 / math.Sqrt(d), Offsets: [3]int{0, heads * d, 2 * heads * d}}, rows)
	p := op.NewProgram(0)
	numHeads := onnxtest.Int("num_heads", heads)
	packed := []*op.Value{p.Constant(x), p.Constant(w), p.Constant(bias), nil}
	got, err := lowerValues(t, p, 1, microsoft+".Attention", 1, packed, numHeads)
	if err != nil {
		t.Fatal(err)
	}
	testdevice.CloseTo(t, "Attention", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)

	product := optest.Apply(t, op.Linear{}, x, w)
	var in []*op.Value
	for i := range 3 {
		in = append(in, p.Constant(optest.Apply(t, op.Slice{Starts: []int{0, 0, i * heads * d}, Sizes: []int{2, 4, heads * d}, Steps: []int{1, 1, 1}}, product)))
	}
	in = append(in, p.Constant(bias))
	if got, err = lowerValues(t, p, 1, microsoft+".MultiHeadAttention", 1, in, numHeads); err != nil {
		t.Fatal(err)
	}
	testdevice.CloseTo(t, "MultiHeadAttention", got[0].Const.AsFloats(), want.AsFloats(), 1e-14)

	packed[3] = p.Ints(4, 4)
	if _, err := lowerValues(t, p, 1, microsoft+".Attention", 1, packed, numHeads); err == nil {
		t.Error("a mask was accepted")
	}
	if _, err := lowerValues(t, p, 1, microsoft+".Attention", 1, packed[:3], numHeads, onnxtest.Int("unidirectional", 1)); err == nil {
		t.Error("unidirectional was accepted")
	}
	if _, err := lowerValues(t, p, 1, microsoft+".MultiHeadAttention", 1, in[:1], numHeads); err == nil {
		t.Error("a packed input was accepted")
	}
}
