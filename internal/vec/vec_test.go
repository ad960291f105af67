package vec

import (
	"slices"
	"testing"
)

func TestAdd(t *testing.T) {
	sum := []float32{1, 2}
	Add(sum, []float32{3, -4})
	if want := []float32{4, -2}; !slices.Equal(sum, want) {
		t.Errorf("sum %v, want %v", sum, want)
	}
}

func TestAddScaled(t *testing.T) {
	base, dst := []float32{1, 1 << 24}, make([]float32, 2)
	AddScaled(dst, base, 0.5, []float32{4, 1})
	if want := []float32{3, 1 << 24}; !slices.Equal(dst, want) {
		t.Errorf("%v, want %v", dst, want)
	}
	// The product is not rounded before the sum: 2²⁴ + 3·0.5 is 2²⁴ + 2.
	AddScaled(base, base, 0.5, []float32{-2, 3})
	if want := []float32{0, 1<<24 + 2}; !slices.Equal(base, want) {
		t.Errorf("in place: %v, want %v", base, want)
	}
}

func TestNorm(t *testing.T) {
	// In float32 the sum would stay at 2²⁴.
	x := []float32{1 << 12, 1, 1, 1}
	if got, want := Dot(x, x), float64(1<<24+3); got != want {
		t.Errorf("dot %v, want %v", got, want)
	}
	if got := Norm([]float32{3, 4}); got != 5 {
		t.Errorf("norm %v, want 5", got)
	}
}

func TestGrow(t *testing.T) {
	s := make([]float32, 2, 4)
	if got := Grow(s, 4); len(got) != 4 || &got[0] != &s[0] {
		t.Errorf("%d elements, or a new array", len(got))
	}
	if got := Grow(s, 5); len(got) != 5 {
		t.Errorf("%d elements, want 5", len(got))
	}
}
