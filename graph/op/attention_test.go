package op_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

func TestPackedAttentionGradient(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		r := optest.Random()
		optest.Gradient(t, on, op.PackedAttention{Heads: 2, HeadDim: 3, Scale: 0.4, Offsets: [3]int{0, 6, 12}}, optest.Normal(r, 2, 5, 18))
		// Columns in another order, and some that belong to nobody.
		optest.Gradient(t, on, op.PackedAttention{Heads: 2, HeadDim: 2, Scale: 1, Offsets: [3]int{9, 1, 5}}, optest.Normal(r, 2, 4, 14))
		// Keys that are the values as well.
		optest.Gradient(t, on, op.PackedAttention{Heads: 1, HeadDim: 3, Scale: 1, Offsets: [3]int{3, 0, 0}}, optest.Normal(r, 2, 4, 6))
		// Three inputs, the keys of another length.
		o := op.PackedAttention{Heads: 2, HeadDim: 3, Scale: 0.4}
		optest.Gradient(t, on, o, optest.Normal(r, 2, 4, 6), optest.Normal(r, 2, 5, 6), optest.Normal(r, 2, 5, 6))
		// More queries than are computed at once.
		optest.Gradient(t, on, op.PackedAttention{Heads: 1, HeadDim: 1, Scale: 1}, optest.Normal(r, 1, op.MinQueries+3, 1), optest.Normal(r, 1, 1, 1), optest.Normal(r, 1, 1, 1))
	})
}

// TestPackedAttentionBlocks compares a computation in groups of heads and blocks of
// queries with one in a single block.
func TestPackedAttentionBlocks(t *testing.T) {
	r := optest.Random()
	o := op.PackedAttention{Heads: 3, HeadDim: 2, Scale: 0.5, Offsets: [3]int{0, 6, 12}}
	packed := optest.Normal(r, 2, 7, 18)
	dout := optest.Normal(r, 2, 7, 6)
	wantY, wantDX := op.AttentionInBlocks(o, packed, dout, 3, 7)
	for _, group := range []int{1, 2, 3} {
		for _, block := range []int{7, 3, 1} {
			y, dx := op.AttentionInBlocks(o, packed, dout, group, block)
			testdevice.CloseTo(t, fmt.Sprintf("result in groups of %d, blocks of %d", group, block), y, wantY, 1e-14)
			testdevice.CloseTo(t, fmt.Sprintf("cotangent in groups of %d, blocks of %d", group, block), dx, wantDX, 1e-14)
		}
	}
}

// TestPackedAttentionIsAttention compares the fused Op with its definition.
func TestPackedAttentionIsAttention(t *testing.T) {
	r := optest.Random()
	const heads, d, queries, keys = 2, 3, 4, 5
	q, k, v := optest.Normal(r, 1, queries, heads*d), optest.Normal(r, 1, keys, heads*d), optest.Normal(r, 1, keys, heads*d)
	p := op.NewProgram(0)
	y, err := p.Emit(op.PackedAttention{Heads: heads, HeadDim: d, Scale: 0.5}, p.Constant(q), p.Constant(k), p.Constant(v))
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float64, queries*heads*d)
	for h := range heads {
		for i := range queries {
			var weight [keys]float64
			sum := 0.0
			for j := range keys {
				for a := range d {
					weight[j] += 0.5 * op.Elem[float64](q)[i*heads*d+h*d+a] * op.Elem[float64](k)[j*heads*d+h*d+a]
				}
				weight[j] = math.Exp(weight[j])
				sum += weight[j]
			}
			for j := range keys {
				for a := range d {
					want[i*heads*d+h*d+a] += weight[j] / sum * op.Elem[float64](v)[j*heads*d+h*d+a]
				}
			}
		}
	}
	testdevice.CloseTo(t, "attention", y.Const.AsFloats(), want, 1e-14)
}

func TestPackedAttentionRefusesOverlap(t *testing.T) {
	o := op.PackedAttention{Heads: 2, HeadDim: 2, Scale: 1, Offsets: [3]int{0, 2, 6}}
	if _, err := o.Infer([]op.Type{optest.Normal(optest.Random(), 1, 3, 12).Type}); err == nil {
		t.Fatal("columns that overlap were accepted")
	}
}
