package diag

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

func TestMeasureTemperature(t *testing.T) {
	// Half A: 3 of 4 right at logit 6; half B: 7 of 8. Each half is measured
	// with the other's temperature.
	set := metric.Logits{Classes: 2}
	for i := range 16 {
		set.Values = append(set.Values, 6, 0)
		label := 0
		if i < 8 && i%4 == 0 || i == 8 {
			label = 1
		}
		set.Labels = append(set.Labels, label)
	}
	loss := func(right, wrong, z float64) float64 {
		return (right*math.Log1p(math.Exp(-z)) + wrong*math.Log1p(math.Exp(z))) / (right + wrong)
	}
	zA, zB := math.Log(3), math.Log(7) // the logit that is best for each half
	want := (loss(6, 2, 6) - loss(6, 2, zB) + loss(7, 1, 6) - loss(7, 1, zA)) / 2
	got := measureTemperature(set, 8)
	near(t, "drop", got.Drop.Mean, want, 1e-9, want)
	near(t, "T", *got.Value, 6/math.Log(13.0/3), 1e-9, 1)
	near(t, "interval", got.Drop.CI95[1]-got.Drop.CI95[0], 2*1.96*got.Drop.SE, 1e-4, got.Drop.SE)
	if measureTemperature(set.Part(0, 1), 1) != nil {
		t.Error("a temperature share from one half only")
	}
}

func TestFolds(t *testing.T) {
	labels := []int{1, 0, 1, 0, 0, 2, 1}
	// By class: 1 3 4 | 0 2 6 | 5, to A1 B1 A2 B2 A1 B1 A2.
	f := newFolds(labels)
	if want := []int{1, 2, 4, 5, 3, 6, 0}; !slices.Equal(f.order, want) {
		t.Errorf("order %v, want %v", f.order, want)
	}
	want := [foldCount][2]int{foldA1: {0, 2}, foldA2: {2, 4}, foldB1: {4, 6}, foldB2: {6, 7}}
	if f.bounds != want || f.middle() != 4 {
		t.Errorf("bounds %v, middle %d, want %v", f.bounds, f.middle(), want)
	}
	for p, i := range f.order {
		if f.labels[p] != labels[i] {
			t.Errorf("label of position %d is %d", p, f.labels[p])
		}
	}
	mean := f.mean(foldB1, foldB2)
	if mean != (perFold{foldB1: 1.0 / 3, foldB2: 1.0 / 3}) {
		t.Errorf("mean over B = %v", mean)
	}
}

// gradientOf is a layer with given sums of its gradient over each fold, by weight.
func gradientOf(t *testing.T, m nn.Model, weights []int, sums func(fold int) map[int][]float32) *layerGradient {
	t.Helper()
	var all foldSums
	for fold := range all {
		var err error
		if all[fold], err = nn.Import(m, sums(fold)); err != nil {
			t.Fatal(err)
		}
	}
	lg, err := newLayerGradient(m, Layer{Weights: weights}, all)
	if err != nil {
		t.Fatal(err)
	}
	return lg
}

// TestTransfer: three folds choose the length 1, where a quadratic is lowest, and
// B2, whose loss is half as curved, asks for 2: it gets that or what is allowed.
func TestTransfer(t *testing.T) {
	const start, g = 5.0, 2.0
	f := newFolds(make([]int, 32))
	m := nntest.On(&quadratic{newWeightTable([]float32{0}, nil), 1})
	lg := gradientOf(t, m, []int{0}, func(fold int) map[int][]float32 {
		return map[int][]float32{0: {float32(g * float64(f.size(fold)))}}
	})
	losses := make([]float64, 32)
	for i := range losses {
		losses[i] = start
	}
	directions := 0
	measure := func(curvatureB2, longest float64) (*Transfer, string) {
		fit := &crossFit{folds: f, gradient: lg, start: losses, longest: longest, along: func(d direction) lossesAt {
			directions++
			return func(fold int, t float64) ([]float64, sampled, error) {
				curvature := 1.0
				if fold == foldB2 {
					curvature = curvatureB2
				}
				at := make([]float64, f.size(fold))
				for i := range at {
					at[i] = start - g*t + curvature*t*t
				}
				return at, sampled{}, nil
			}
		}}
		got, gains, reason, err := fit.measure()
		if err != nil || (got == nil) != (gains == nil) {
			t.Fatalf("figure %+v, gains %v, error %v", got, gains, err)
		}
		return got, reason
	}
	for _, c := range []struct {
		longest, b2 float64
		capped      bool
	}{{4, 2, false}, {2.5, 2, false}, {1.5, 1.5, true}, {1.2, 1.2, true}} {
		directions = 0
		got, reason := measure(0.5, c.longest)
		if got == nil {
			t.Fatalf("no figure: %q", reason)
		}
		// A1 and A2 gain 1 each, B2 1.5 at the length 1, and B1 what B2's length
		// gives.
		b1 := g*c.b2 - c.b2*c.b2
		near(t, "gain", got.Gain.Mean, (1+1+1.5+b1)/4, 1e-6, 1)
		near(t, "SE of A", got.SEA, 0, 1e-6, 1)
		// B's 16 gains are 1.5 and b1, 8 each.
		near(t, "SE of B", got.SEB, math.Abs(1.5-b1)/2/math.Sqrt(15), 1e-6, 1)
		near(t, "SE", got.Gain.SE, got.SEB/2, 1e-12, 1)
		near(t, "κ̂", *got.Kappa, got.Gain.Mean/((1+1+1+c.b2*c.b2)/4), 1e-6, 1)
		for _, s := range []struct {
			got  Length
			want Length
		}{{got.Steps.A1, Length{T: 1}}, {got.Steps.A2, Length{T: 1}}, {got.Steps.B1, Length{T: 1}}, {got.Steps.B2, Length{c.b2, c.capped}}} {
			near(t, "length", s.got.T, s.want.T, 1e-6, 1)
			if s.got.Capped != s.want.Capped {
				t.Errorf("longest %v: length %+v, want %+v", c.longest, s.got, s.want)
			}
		}
		if directions != 2 {
			t.Errorf("%d directions, want one a half", directions)
		}
	}
	// Where B1 is counted B2 has no finite loss to choose by.
	if got, reason := measure(math.NaN(), 4); got != nil || reason == "" {
		t.Errorf("figure %+v, reason %q", got, reason)
	}
}

// TestTransferWithoutMove: halves whose gradients oppose each other ask for no
// move, and a gain of nothing has no interval.
func TestTransferWithoutMove(t *testing.T) {
	f := newFolds(make([]int, 32))
	m := nntest.On(&quadratic{newWeightTable([]float32{0}, nil), 1})
	lg := gradientOf(t, m, []int{0}, func(fold int) map[int][]float32 {
		sign := map[int]float32{foldA1: 1, foldA2: 1, foldB1: -1, foldB2: -1}[fold]
		return map[int][]float32{0: {sign}}
	})
	fit := &crossFit{folds: f, gradient: lg, start: make([]float64, 32), longest: 1, along: func(direction) lossesAt {
		return func(int, float64) ([]float64, sampled, error) {
			t.Error("a loss was computed")
			return nil, sampled{}, nil
		}
	}}
	got, gains, _, err := fit.measure()
	if err != nil || got.Reason == "" || got.Gain.SE != 0 || got.Gain.Mean != 0 || got.Kappa != nil || len(gains) != 32 {
		t.Errorf("figure %+v, error %v", got, err)
	}
}

func TestBalancedLeavesNoise(t *testing.T) {
	// Three tensors: one that moves, one of norm zero, one whose gradient is a
	// rounding error.
	m := nntest.On(&quadratic{newWeightTable([]float32{2}, []float32{0}, []float32{3}), 1})
	lg := gradientOf(t, m, []int{0, 1, 2}, func(int) map[int][]float32 {
		return map[int][]float32{0: {4}, 1: {5}, 2: {1e-6}}
	})
	mean := perFold{0.25, 0.25, 0.25, 0.25}
	d, ok := lg.direction(Balanced, mean, 1)
	if !ok {
		t.Fatal("no direction")
	}
	moved, err := nn.NewVector(m, lg.weights)
	if err != nil {
		t.Fatal(err)
	}
	if err := lg.move(moved, d, 0.5); err != nil {
		t.Fatal(err)
	}
	for i, want := range []float32{2 - 2*0.5, 0, 3} {
		if values, err := moved.Values(i); err != nil || values[0] != want {
			t.Errorf("tensor %d moved to %v, want %v; error %v", i, values, want, err)
		}
	}
	near(t, "slope", lg.slope(d, mean), -2*4, 1e-12, 8)
	noise := gradientOf(t, m, []int{2}, func(int) map[int][]float32 { return map[int][]float32{2: {1e-12}} })
	if _, ok := noise.direction(Line, mean, 1); ok {
		t.Error("a rounding error made a direction")
	}
}

func TestBeatsChance(t *testing.T) {
	tests := []struct {
		hits, n int
		p       float64
		want    bool
	}{
		{0, 64, 0.01, false},
		{3, 64, 0.01, false}, // P(X ≥ 3) = 0.026
		{5, 64, 0.01, true},  // P(X ≥ 5) = 0.0005
		{208, 1000, 0.01, true},
		{1, 1, 0.5, false},
		{1, 64, 0.001, false}, // P(X ≥ 1) = 0.062
		{64, 64, 1, false},
	}
	for _, test := range tests {
		if got := beatsChance(test.hits, test.n, test.p); got != test.want {
			t.Errorf("%d of %d at %v: %v", test.hits, test.n, test.p, got)
		}
	}
}

func TestChance(t *testing.T) {
	labels := []int{0, 0, 0, 1}
	share, present := chance([]int{0, 0, 0, 0}, labels, 2)
	if share != 0.75 || present != 2 {
		t.Errorf("the commonest class always: chance %v of %d classes, want 0.75 of 2", share, present)
	}
	labels[3] = 0
	if share, present = chance([]int{0, 0, 0, 0}, labels, 2); share != 0.5 || present != 1 {
		t.Errorf("one class only: chance %v of %d classes, want 0.5 of 1", share, present)
	}
}
