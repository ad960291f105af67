package pol

import (
	"context"
	"math"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/vec"
)

// A displacement holds the perturbed weights of one step. The weights
// themselves are left alone: the model is given these in their place, and takes
// the originals back afterwards, bit for bit.
type displacement struct {
	group
	trained *parameters // some of the weights may be among these
	sums    [][]float32 // the gradient, summed over examples, by index in the group
	moved   [][]float32 // the displaced weights
}

func newDisplacement(trained *parameters, g group) *displacement {
	return &displacement{group: g, trained: trained, sums: g.like(trained.model), moved: g.like(trained.model)}
}

// move puts the weights at w + factor·sums.
func (d *displacement) move(factor float64) {
	for i, w := range d.weights {
		vec.AddScaled(d.moved[i], d.trained.value(w), factor, d.sums[i])
		d.trained.model.Override(w, d.moved[i])
	}
}

// restore gives the model the weights back as they are.
func (d *displacement) restore() { d.trained.install(d.weights) }

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

// A perturber displaces weights for one step by the recipe's rule.
type perturber struct {
	*displacement
	objective *objective
	rule      Rule
	rho       float64 // of Ascent

	// Of Search:
	gammaMax float64
	every    int // steps for which a c* is used
	batch    int // examples of a perturbation
	scan     scanState
	entering []float32 // activations of a perturbation's batch at the neck
	labels   []int     // and their labels
}

// scanState is what the scans of an epoch have found and cost.
type scanState struct {
	scale       float64 // c* of the last; 0: none
	used        int     // steps that have used it
	evaluations int     // losses of a perturbation's batch
	time        time.Duration
}

// begin starts an epoch, so that it does not depend on the one before.
func (p *perturber) begin() { p.scan = scanState{} }

// perturb displaces the weights for a step that updates with a batch of entries.
// It reports false if the step is to be rejected; the weights are then where they
// were.
func (p *perturber) perturb(ctx context.Context, d *draws, update []int) (accepted bool, err error) {
	if p.rule == Search {
		return p.search(ctx, d)
	}
	// The sum over the batch has the direction of the mean, and ε = ρ·g/‖g‖ has
	// no other use for it.
	if _, err := p.objective.gradient(ctx, crossEntropy, p.group, p.sums, update, nil); err != nil {
		return false, err
	}
	if norm := p.norm(); norm > 0 {
		p.move(p.rho / norm)
	}
	return true, nil
}

// search draws a batch, takes the perturbed weights' gradient g of the mean loss
// on it, and moves them by −γ·c*·g.
func (p *perturber) search(ctx context.Context, d *draws) (accepted bool, err error) {
	// What enters the perturbed layers is the same throughout the step.
	base, err := p.enter(ctx, d.perturbBatch(p.batch))
	if err != nil {
		return false, err
	}
	perUnit := -1 / float64(p.batch) // of the mean gradient, downhill
	if p.scan.scale == 0 || p.scan.used >= p.every {
		start := time.Now()
		p.scan.scale, accepted, err = scanAlong(base, func(c float64) (float64, error) {
			p.move(c * perUnit)
			p.scan.evaluations++
			return p.objective.value(ctx, p.neck, p.entering, p.labels)
		})
		p.scan.used = 0
		p.scan.time += time.Since(start)
		if err != nil || !accepted {
			p.restore()
			return false, err
		}
	}
	p.scan.used++
	gamma := d.gamma.Float64() * p.gammaMax
	p.move(gamma * p.scan.scale * perUnit)
	return true, nil
}

// enter brings entries of the training set to the neck below the perturbed
// weights, keeps them there, and takes the gradient and the mean of their
// cross-entropies.
func (p *perturber) enter(ctx context.Context, entries []int) (mean float64, err error) {
	p.entering = vec.Grow(p.entering, p.batch*p.trained.model.NeckElements(p.neck))[:0]
	p.labels = p.labels[:0]
	return p.objective.gradient(ctx, crossEntropy, p.group, p.sums, entries, func(in []float32, labels []int, _ int) {
		p.entering = append(p.entering, in...)
		p.labels = append(p.labels, labels...)
	})
}
