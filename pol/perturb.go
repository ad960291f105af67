package pol

import (
	"context"
	"math"
	"time"
)

// Limits of the scan of Search (METHOD §3).
const (
	firstScale = 1.0 // c begins here
	maxChanges = 14  // doublings, or halvings, of c
	scanPoints = 16  // equally spaced, of (0, c]
)

// scanAlong finds c* along a gradient: loss(c) is the loss at w − c·g, and base
// that at w. From firstScale on, c is doubled until the loss rises above base;
// if it does at once, c is halved until it does not. The range ends at the last c
// that rose, and c* is the best of scanPoints points of it. A loss that is not
// finite counts as risen. found is false where there is no such range: the step
// is then rejected.
//
// The scan meets some of the points that the doubling has met. They are not
// computed twice.
func scanAlong(base float64, loss func(c float64) (float64, error)) (best float64, found bool, err error) {
	known := map[float64]float64{}
	at := func(c float64) (float64, error) {
		if v, ok := known[c]; ok {
			return v, nil
		}
		v, err := loss(c)
		if math.IsNaN(v) {
			v = math.Inf(1)
		}
		known[c] = v
		return v, err
	}
	end, found, err := scanRange(base, at)
	if err != nil || !found {
		return 0, false, err
	}
	lowest := math.Inf(1)
	for k := 1; k <= scanPoints; k++ {
		c := end * float64(k) / scanPoints
		v, err := at(c)
		if err != nil {
			return 0, false, err
		}
		if v < lowest {
			lowest, best = v, c
		}
	}
	return best, best > 0, nil
}

// scanRange returns the last c whose loss rose above base.
func scanRange(base float64, at func(c float64) (float64, error)) (end float64, found bool, err error) {
	c := firstScale
	v, err := at(c)
	if err != nil {
		return 0, false, err
	}
	risen := v > base
	factor := 2.0
	if risen {
		factor = 0.5
	}
	for range maxChanges {
		if v, err = at(c * factor); err != nil {
			return 0, false, err
		}
		if risen && !(v > base) {
			return c, true, nil
		}
		c *= factor
		if !risen && v > base {
			return c, true, nil
		}
	}
	return 0, false, nil
}

// A displacement holds the perturbed weights of one step. The weights
// themselves are left alone: the model is given these in their place, and takes
// the originals back afterwards, bit for bit.
type displacement struct {
	group
	sums   [][]float32 // the gradient, summed over examples, by place in the group
	places [][]float32 // the displaced weights
}

func newDisplacement(m Model, g group) *displacement {
	return &displacement{group: g, sums: likeWeights(m, g), places: likeWeights(m, g)}
}

// move puts the weights at w + factor·sums.
func (d *displacement) move(t *trainer, factor float64) {
	for i, w := range d.weights {
		base, sum, place := t.value(w), d.sums[i], d.places[i]
		sum, place = sum[:len(base)], place[:len(base)]
		for j, x := range base {
			place[j] = float32(float64(x) + factor*float64(sum[j]))
		}
		t.model.Override(w, place)
	}
}

// restore gives the model the weights back as they are.
func (d *displacement) restore(t *trainer) {
	for _, w := range d.weights {
		t.model.Override(w, t.current[w])
	}
}

// norm is ‖sums‖ over the group.
func (d *displacement) norm() float64 {
	square := 0.0
	for _, sum := range d.sums {
		for _, x := range sum {
			square += float64(x) * float64(x)
		}
	}
	return math.Sqrt(square)
}

// perturb displaces the perturbed weights for one step by the recipe's rule. It
// reports false if the step is to be rejected; the weights are then where they
// were.
func (t *trainer) perturb(ctx context.Context, batch []int) (accepted bool, err error) {
	switch t.plan.Recipe.Rule {
	case Ascent:
		// The sum over the batch has the direction of the mean, and ε = ρ·g/‖g‖
		// has no other use for it.
		if _, err := t.gradient(ctx, crossEntropy, &t.displaced.group, t.displaced.sums, batch, nil); err != nil {
			return false, err
		}
		if norm := t.displaced.norm(); norm > 0 {
			t.displaced.move(t, t.opt.Rho/norm)
		}
	case Search:
		return t.search(ctx)
	}
	return true, nil
}

// search draws a batch, takes the perturbed weights' gradient g of the mean loss
// on it, and moves them by −γ·c*·g.
func (t *trainer) search(ctx context.Context) (accepted bool, err error) {
	// What enters the perturbed layers is the same throughout the step.
	base, err := t.enterPerturbed(ctx, t.draws.perturbBatch(t.perturbBatch))
	if err != nil {
		return false, err
	}
	perUnit := -1 / float64(t.perturbBatch) // of the mean gradient, downhill
	if t.scale == 0 || t.sinceScan >= t.opt.PerturbEvery {
		start := time.Now()
		t.scale, accepted, err = scanAlong(base, func(c float64) (float64, error) {
			t.displaced.move(t, c*perUnit)
			t.evaluations++
			return t.perturbedLoss(ctx)
		})
		t.sinceScan = 0
		t.scanTime += time.Since(start)
		if err != nil || !accepted {
			t.displaced.restore(t)
			return false, err
		}
	}
	t.sinceScan++
	gamma := t.draws.gamma.Float64() * t.opt.GammaMax
	t.displaced.move(t, gamma*t.scale*perUnit)
	return true, nil
}
