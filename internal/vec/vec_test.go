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

func TestCombine(t *testing.T) {
	x := [][]float32{{1, 2}, {3, -1}, {0.5, 4}, {-2, 1}, {8, 0}}
	c := []float64{1, 2, -1, 3, 0.25}
	// 10 + (1·1 + 2·3) + (−1·0.5 + 3·−2) + 0.25·8, and so on.
	for n, want := range [][]float32{{10, 20}, {11, 22}, {17, 20}, {16.5, 16}, {10.5, 19}, {12.5, 19}} {
		dst := []float32{10, 20}
		Combine(dst, dst, c[:n], x[:n])
		if !slices.Equal(dst, want) {
			t.Errorf("%d terms: %v, want %v", n, dst, want)
		}
	}
	// The pairs are added before the base, in float64: 1 + (2⁶⁰ − 2⁶⁰) is 1.
	dst := make([]float32, 1)
	Combine(dst, []float32{1}, []float64{1 << 60, -1 << 60, 0, 0}, [][]float32{{1}, {1}, {1}, {1}})
	if dst[0] != 1 {
		t.Errorf("a sum of pairs is %v, want 1", dst[0])
	}
}

func TestScale(t *testing.T) {
	x := []float32{3, -1}
	if Scale(x, 0.5); !slices.Equal(x, []float32{1.5, -0.5}) {
		t.Errorf("%v", x)
	}
}

func TestSquaredDistance(t *testing.T) {
	if got := SquaredDistanceFrom(2, []float32{1, 5}, []float32{4, 1}); got != 2+9+16 {
		t.Errorf("%v, want 27", got)
	}
}
