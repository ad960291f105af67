package nn_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// table is a model that has nothing but weights.
type table struct {
	nntest.Slices
	checkpoint [][]float32
	override   map[int][]float32
}

func (m *table) Weight(i int) []float32 { return m.checkpoint[i] }

func (m *table) Override(i int, w []float32) {
	m.override[i] = w
	if w == nil {
		delete(m.override, i)
	}
}

// Evaluate computes nothing, with the weights as they are.
func (m *table) Evaluate(context.Context, int, []float32, []int, float64, []float64, []float32) error {
	return nil
}

func (m *table) NeckElements(int) int { return 0 }

// TestVector does everything that can be done with vectors, by hand.
func TestVector(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		weights := &table{checkpoint: [][]float32{{3, 4}, {9}, {12}}, override: map[int][]float32{}}
		m := on(weights)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		vector := func(v *nn.Vector, err error) *nn.Vector {
			t.Helper()
			must(err)
			return v
		}
		expect := func(v *nn.Vector, w int, want ...float32) {
			t.Helper()
			got, err := v.Values(w)
			must(err)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("weight %d is %v, want %v", w, got, want)
			}
		}
		number := func(x float64, err error) float64 {
			t.Helper()
			must(err)
			return x
		}
		checkpoint := vector(nn.Checkpoint(m, []int{2, 0, 2}))
		if !checkpoint.Has(0) || checkpoint.Has(1) || !checkpoint.Has(2) {
			t.Error("a vector should have the weights 0 and 2")
		}
		expect(checkpoint, 0, 3, 4)
		if norm := number(nn.Norm(checkpoint)); norm != 13 {
			t.Errorf("norm %v, want 13", norm)
		}
		v := vector(nn.NewVector(m, []int{0, 2}))
		expect(v, 0, 0, 0)
		must(v.Copy(checkpoint))
		x := vector(nn.Import(m, map[int][]float32{0: {1, -1}, 2: {2}}))
		must(v.Combine(0, v, []float64{0.5}, x))
		must(v.Combine(2, checkpoint, []float64{1, 2, 3, 4}, x, x, x, checkpoint))
		expect(v, 0, 3.5, 3.5)
		expect(v, 2, 12+2*6+4*12)
		if d := number(nn.Distance(v, checkpoint)); d != math.Sqrt(0.5+60*60) {
			t.Errorf("distance %v", d)
		}
		if d := number(nn.Dot(0, v, x)); d != 0 {
			t.Errorf("inner product %v, want 0", d)
		}
		used := func() map[int][]float32 {
			t.Helper()
			must(m.Evaluate(t.Context(), 0, nil, nil, 1, nil, nil))
			return weights.override
		}
		v.Override(0)
		if w := used()[0]; len(weights.override) != 1 || w[0] != 3.5 {
			t.Errorf("the model has %v", weights.override)
		}
		must(v.Scale(0, 2))
		if used()[0][1] != 7 {
			t.Errorf("the model does not see that a vector changes: %v", weights.override)
		}
		nn.Restore(m, 0, 1, 2)
		if len(weights.override) > 0 {
			t.Errorf("the model has %v", weights.override)
		}
		must(v.SetValues(0, []float32{1, 2}))
		b := vector(nn.NewVector(m, []int{0, 2}))
		// q = 0.5·x + 0.1·v, b = q, v −= 0.5·1.5·q
		must(v.SGD(b, x, nn.SGD{Scale: 0.5, Rate: 0.5, Momentum: 0.5, Decay: 0.25}))
		expect(b, 0, 0.75, 0)
		expect(v, 0, 1-0.5*(0.75+0.5*0.75), 2)
		must(v.Clear())
		expect(v, 2, 0)
		v.Free(0)
		if v.Has(0) || !v.Has(2) {
			t.Error("only weight 0 should have been freed")
		}
		for _, v := range []*nn.Vector{v, b, x, checkpoint} {
			v.Free()
			v.Free()
		}
		(*nn.Vector)(nil).Free()
		// The checkpoint is the model's, and stays.
		for _, left := range live() {
			if left != "2 elements, imported" && left != "1 elements, imported" || len(live()) > 2 {
				t.Errorf("%s left", left)
			}
		}
	})
}
