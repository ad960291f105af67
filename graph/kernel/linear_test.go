package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A linear layer has the bits of its product and then what ends it, in float32 and float64.
func TestLinear(t *testing.T) {
	for _, v := range Variants() {
		for threads := 1; threads <= 3; threads++ {
			c := NewContext(threads, WithVariant(v))
			for _, s := range []struct{ rows, width, features int }{
				{1, 1, 1}, {5, 7, 3}, {12, 32, 8}, {13, 33, 9}, {50, 31, 0}, {100, 65, 17}, {110, 70, 400}, {0, 3, 2}, {3, 0, 2},
			} {
				name := fmt.Sprintf("%v, %d threads, %dx%dx%d", v, threads, s.rows, s.width, s.features)
				testLinear[float32](t, c, name, s.rows, s.width, s.features, guarded, func(got, want []float32) { equalBits(t, name, got, want) })
				if v == Plain {
					testLinear[float64](t, c, name, s.rows, s.width, s.features, func(_ testing.TB, n int) []float64 { return make([]float64, n) }, func(got, want []float64) {
						for i := range want {
							if got[i] != want[i] {
								t.Fatalf("%s: element %d = %v, want %v", name, i, got[i], want[i])
							}
						}
					})
				}
			}
		}
	}
}

func testLinear[T Float](t *testing.T, c *Context, name string, rows, width, features int, memory func(testing.TB, int) []T, same func(got, want []T)) {
	rng := rand.New(rand.NewPCG(19, 20))
	draw := func(n int) []T {
		x := memory(t, n)
		for i := range x {
			x[i] = T(rng.NormFloat64())
		}
		return x
	}
	x, w, bias, added := draw(rows*features), draw(width*features), draw(width), draw(rows*width)
	for _, transW := range []bool{false, true} {
		ldw := width
		if transW {
			ldw = features
		}
		for _, e := range []LinearEnding[T]{
			{}, {Bias: bias}, {Added: added}, {Bias: bias, Added: added},
			{Then: GELUActivation}, {Bias: bias, Then: GELUActivation}, {Bias: bias, Then: GELUTanhActivation},
		} {
			got, want := memory(t, rows*width), make([]T, rows*width)
			Linear(c, transW, rows, width, features, x, w, e, got)
			Gemm(c, false, transW, rows, width, features, 1, x, features, w, ldw, 0, want, width)
			e.apply(c, want, rows, width)
			same(got, want)
		}
	}
}

func TestLinearRefuses(t *testing.T) {
	x, y := make([]float32, 6), make([]float32, 6)
	for _, e := range []LinearEnding[float32]{
		{Bias: y[:1]}, {Added: y[:3]}, {Added: y, Then: GELUActivation},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was accepted", e)
				}
			}()
			Linear(NewContext(1), false, 2, 2, 3, x, x, e, y)
		}()
	}
}
