package op

import (
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

func TestPackedAttentionGradient(t *testing.T) {
	r := random()
	checkGradient(t, PackedAttention{Heads: 2, HeadDim: 3, Scale: 0.4, Offsets: [3]int{0, 6, 12}}, normal(r, 2, 5, 18))
	// Columns in another order, and some that belong to nobody.
	checkGradient(t, PackedAttention{Heads: 2, HeadDim: 2, Scale: 1, Offsets: [3]int{9, 1, 5}}, normal(r, 2, 4, 14))
	// Keys that are the values as well.
	checkGradient(t, PackedAttention{Heads: 1, HeadDim: 3, Scale: 1, Offsets: [3]int{3, 0, 0}}, normal(r, 2, 4, 6))
	// Three inputs, the keys of another length.
	o := PackedAttention{Heads: 2, HeadDim: 3, Scale: 0.4}
	checkGradient(t, o, normal(r, 2, 4, 6), normal(r, 2, 5, 6), normal(r, 2, 5, 6))
	// More queries than are computed at once.
	checkGradient(t, PackedAttention{Heads: 1, HeadDim: 1, Scale: 1}, normal(r, 1, minQueries+3, 1), normal(r, 1, 1, 1), normal(r, 1, 1, 1))
}

// TestPackedAttentionBlocks compares a computation in several blocks of queries
// with one in a single block.
func TestPackedAttentionBlocks(t *testing.T) {
	r := random()
	o := PackedAttention{Heads: 2, HeadDim: 3, Scale: 0.5, Offsets: [3]int{0, 6, 12}}
	in := []Array{normal(r, 2, 7, 18)}
	dout := normal(r, 2, 7, 6)
	var want [2][]float64
	for _, block := range []int{7, 3, 1} {
		h := newAttentionHeads[float64](o, in)
		h.block = block
		y, dx := make([]float64, 2*7*6), make([]float64, 2*7*18)
		c := kernel.NewContext(1)
		h.forward(c, y)
		q, k, v := h.q, h.k, h.v
		q.data, k.data, v.data = dx, dx, dx
		h.backward(c, Elem[float64](dout), [3]strided[float64]{q, k, v})
		if block == 7 {
			want = [2][]float64{y, dx}
			continue
		}
		closeTo(t, fmt.Sprintf("result in blocks of %d", block), y, want[0], 1e-14)
		closeTo(t, fmt.Sprintf("cotangent in blocks of %d", block), dx, want[1], 1e-14)
	}
}

// TestPackedAttentionIsAttention compares the fused Op with its definition.
func TestPackedAttentionIsAttention(t *testing.T) {
	r := random()
	const heads, d, queries, keys = 2, 3, 4, 5
	q, k, v := normal(r, 1, queries, heads*d), normal(r, 1, keys, heads*d), normal(r, 1, keys, heads*d)
	p := NewProgram(0)
	y, err := p.Emit(PackedAttention{Heads: heads, HeadDim: d, Scale: 0.5}, p.Constant(q), p.Constant(k), p.Constant(v))
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
					weight[j] += 0.5 * Elem[float64](q)[i*heads*d+h*d+a] * Elem[float64](k)[j*heads*d+h*d+a]
				}
				weight[j] = math.Exp(weight[j])
				sum += weight[j]
			}
			for j := range keys {
				for a := range d {
					want[i*heads*d+h*d+a] += weight[j] / sum * Elem[float64](v)[j*heads*d+h*d+a]
				}
			}
		}
	}
	closeTo(t, "attention", y.Const.AsFloats(), want, 1e-14)
}

func TestPackedAttentionRefusesOverlap(t *testing.T) {
	o := PackedAttention{Heads: 2, HeadDim: 2, Scale: 1, Offsets: [3]int{0, 2, 6}}
	if _, err := o.Infer([]Type{normal(random(), 1, 3, 12).Type}); err == nil {
		t.Fatal("columns that overlap were accepted")
	}
}
