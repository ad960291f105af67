package pol

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

// mixedLoss is the mean loss of examples that are mixed at a neck, a batch of the
// model at a time, by shares and partners drawn as a step draws them.
func (r *reference) mixedLoss(s *samples, entries []int, neck int, alpha float64, random *rand.Rand) float64 {
	sum := 0.0
	read := func(w, j int) float64 { return r.weights[w][j] }
	for lo := 0; lo < len(entries); lo += r.batch {
		batch := entries[lo:min(lo+r.batch, len(entries))]
		var entering [][]float64
		for _, i := range batch {
			x := widen(s.images[i])
			for k := range neck {
				x = r.stage(k, x, read)
			}
			entering = append(entering, x)
		}
		share := betaVariate(random, alpha+1, alpha)
		for i, partner := range random.Perm(len(batch)) {
			x := make([]float64, len(entering[i]))
			for j := range x {
				x[j] = share*entering[i][j] + (1-share)*entering[partner][j]
			}
			for k := neck; k < len(r.sizes)-1; k++ {
				x = r.stage(k, x, read)
			}
			sum -= logSoftmax(x, 1)[s.labels[batch[i]]]
		}
	}
	return sum / float64(len(entries))
}

// TestMixedGradient: the gradient of a step is that of the loss of mixed images, and
// of mixed activations where the updated layer lies above, by finite differences in
// float64.
func TestMixedGradient(t *testing.T) {
	const h, tolerance = 1e-5, 2e-6
	opt := smallOptions()
	opt.Mix = 0.7
	for first := range 3 {
		t.Run(fmt.Sprintf("from layer %d", first), func(t *testing.T) {
			m, layers, data := newProblem()
			plan := Plan{Recipe: recipe(t, "sgd"), Update: layers[first:]}
			tr, drawn := startStep(t, m, data, plan, opt)
			entries := drawn.step(0, opt.Batch, 0)
			loss, before, accepted, err := tr.gradient(t.Context(), drawn, entries, stepEntries{})
			if err != nil || !accepted {
				t.Fatalf("accepted %v, error %v", accepted, err)
			}
			if before != 0 {
				t.Error("a loss of mixed examples is taken for that of the weights")
			}
			ref := newReference(m)
			at := func() float64 {
				return ref.mixedLoss(data.Train.(*samples), entries.update, first, opt.Mix, newDraws(opt.Seed, 0, data.Train.Len(), 1).mix)
			}
			near(t, "loss", loss, at(), 1e-6)
			plain := ref.loss(data.Train.(*samples), entries.update)
			if math.Abs(plain-at()) < 1e-3 {
				t.Fatal("mixing changes too little to be seen")
			}
			for _, w := range tr.parameters.weights {
				for j, x := range ref.weights[w] {
					ref.weights[w][j] = x + h
					above := at()
					ref.weights[w][j] = x - h
					want := (above - at()) / (2 * h)
					ref.weights[w][j] = x
					near(t, fmt.Sprintf("gradient of weight %d[%d]", w, j), float64(values(t, tr.sum, w)[j])/float64(len(entries.update)), want, tolerance)
				}
			}
		})
	}
}

// TestMixIsMixup: the loss with the example's own label and λ ~ Beta(α+1, α) has the
// expectation of mixup's two-term loss with λ ~ Beta(α, α), for a pair in either order.
func TestMixIsMixup(t *testing.T) {
	const draws = 200_000
	x, labels := [2]float64{-1.3, 2.1}, [2]int{0, 1}
	for _, alpha := range []float64{0.2, 1, 3} {
		random := rand.New(rand.NewPCG(5, uint64(10*alpha)))
		loss := func(share float64, first, label int) float64 {
			z := share*x[first] + (1-share)*x[1-first]
			return -logSoftmax([]float64{0, 3*z + 0.4}, 1)[label]
		}
		var one, two []float64
		for range draws {
			first := random.IntN(2)
			share := betaVariate(random, alpha, alpha)
			two = append(two, share*loss(share, first, labels[first])+(1-share)*loss(share, first, labels[1-first]))
			one = append(one, loss(betaVariate(random, alpha+1, alpha), first, labels[first]))
		}
		a, b := metric.NewEstimate(one), metric.NewEstimate(two)
		near(t, fmt.Sprintf("α = %v: mean loss", alpha), a.Mean, b.Mean, 4*math.Hypot(a.SE, b.SE))
	}
}

// TestBetaVariate compares mean and variance with a/(a+b) and ab/((a+b)²(a+b+1)).
func TestBetaVariate(t *testing.T) {
	const draws = 100_000
	for _, p := range [][2]float64{{1.2, 0.2}, {0.5, 0.5}, {2, 5}, {41, 40}, {1.001, 0.001}} {
		random := rand.New(rand.NewPCG(9, 1))
		a, b := p[0], p[1]
		var drawn, squares []float64
		mean := a / (a + b)
		for range draws {
			v := betaVariate(random, a, b)
			if !(v >= 0 && v <= 1) {
				t.Fatalf("Beta(%v, %v) gives %v", a, b, v)
			}
			drawn, squares = append(drawn, v), append(squares, (v-mean)*(v-mean))
		}
		e, s := metric.NewEstimate(drawn), metric.NewEstimate(squares)
		near(t, fmt.Sprintf("mean of Beta(%v, %v)", a, b), e.Mean, mean, 4*e.SE)
		near(t, fmt.Sprintf("variance of Beta(%v, %v)", a, b), s.Mean, a*b/((a+b)*(a+b)*(a+b+1)), 4*s.SE)
	}
}

// TestMixedTraining: the same weights whether activations are kept or not and whether
// the training is interrupted, and others than without mixing.
func TestMixedTraining(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		t.Run(name, func(t *testing.T) {
			opt := smallOptions()
			train := func() map[int][]float32 {
				m, _, data := newProblem()
				return treat(t, m, data, plan, opt).Weights
			}
			plain := train()
			opt.Mix = 0.4
			kept := train()
			m, _, data := newProblem()
			opt.Resume = readState(t, savedState(t, m, data, plan, opt, 1))
			if resumed := train(); !sameWeights(kept, resumed) {
				t.Error("the weights depend on an interruption")
			}
			opt.Resume, opt.NoCache = nil, true
			if recomputed := train(); !sameWeights(kept, recomputed) {
				t.Error("the weights depend on the cache")
			}
			if sameWeights(kept, plain) {
				t.Error("mixing changes nothing")
			}
		})
	}
}
