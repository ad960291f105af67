package pol

import (
	"context"
	"time"

	"github.com/modeldoctor/modeldoctor/nn"
)

// A displacement holds the perturbed weights of one step. The weights
// themselves are left alone: the model is given these in their place, and takes
// the originals back afterwards, bit for bit.
type displacement struct {
	group
	trained    *parameters // some of the weights may be among these
	checkpoint *nn.Vector  // what the others are
	sum        *nn.Vector  // the gradient, summed over examples
	moved      *nn.Vector  // the displaced weights
	factor     [1]float64  // of the sum, in them
}

func newDisplacement(trained *parameters, g group) (d *displacement, err error) {
	d = &displacement{group: g, trained: trained}
	if d.checkpoint, err = nn.Checkpoint(trained.model, g.weights); err != nil {
		return nil, err
	}
	if d.sum, err = nn.NewVector(trained.model, g.weights); err != nil {
		return nil, err
	}
	if d.moved, err = nn.NewVector(trained.model, g.weights); err != nil {
		d.sum.Free()
		return nil, err
	}
	return d, nil
}

// move puts the weights at w + factor·sum.
func (d *displacement) move(factor float64) error {
	d.factor[0] = factor
	for _, w := range d.weights {
		base := d.checkpoint
		if d.trained.values.Has(w) {
			base = d.trained.values
		}
		if err := d.moved.Combine(w, base, d.factor[:], d.sum); err != nil {
			return err
		}
		d.moved.Override(w)
	}
	return nil
}

// restore gives the model the weights back as they are.
func (d *displacement) restore() { d.trained.install(d.weights) }

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
	entering *nn.Activations // of a perturbation's batch, at the neck
	trials   *nn.Trials      // of those
}

// scanState is what the scans of an epoch have found and cost.
type scanState struct {
	scale       float64 // c* of the last; 0: none
	used        int     // steps that have used it
	evaluations int     // losses of a perturbation's batch
	time        time.Duration
}

// drawn is how many examples are drawn for a perturbation; 0 where there is none, or it
// is of the update's own.
func (p *perturber) drawn() int {
	if p == nil || p.rule != Search {
		return 0
	}
	return p.batch
}

// begin starts an epoch, so that it does not depend on the one before.
func (p *perturber) begin() {
	if p != nil {
		p.scan = scanState{}
	}
}

// scanned is what the scans of the epoch have cost so far.
func (p *perturber) scanned() scanState {
	if p == nil {
		return scanState{}
	}
	return p.scan
}

// perturb displaces the weights for a step. It reports false if the step is to be
// rejected; the weights are then where they were. before is the loss there, of the
// batch that the displacement rests on.
func (p *perturber) perturb(ctx context.Context, d *draws, batch stepEntries) (before float64, accepted bool, err error) {
	if p.rule == Search {
		return p.search(ctx, d, batch)
	}
	// The sum over the batch has the direction of the mean, and ε = ρ·g/‖g‖ has
	// no other use for it.
	if before, err = p.objective.gradient(ctx, crossEntropy, p.group, p.sum, batch.update, batch.update, nil); err != nil {
		return 0, false, err
	}
	norm, err := nn.Norm(p.sum)
	if err == nil && norm > 0 {
		err = p.move(p.rho / norm)
	}
	return before, err == nil, err
}

// search takes the perturbed weights' gradient g of the mean loss on the entries
// drawn for that, and moves them by −γ·c*·g.
func (p *perturber) search(ctx context.Context, d *draws, batch stepEntries) (before float64, accepted bool, err error) {
	// What enters the perturbed layers is the same throughout the step.
	base, err := p.enter(ctx, batch)
	if err != nil {
		return 0, false, err
	}
	perUnit := -1 / float64(p.batch) // of the mean gradient, downhill
	if p.scan.scale == 0 || p.scan.used >= p.every {
		start := time.Now()
		p.scan.scale, accepted, err = scanAlong(base, func(points []float64) ([]float64, error) {
			if err := p.trials.Begin(len(points)); err != nil {
				return nil, err
			}
			for _, c := range points {
				if err := p.move(c * perUnit); err != nil {
					return nil, err
				}
				p.scan.evaluations++
				if err := p.trials.Add(ctx, p.objective.invT); err != nil {
					return nil, err
				}
			}
			return p.trials.Means()
		})
		p.scan.used = 0
		p.scan.time += time.Since(start)
		if err != nil || !accepted {
			p.restore()
			return base, false, err
		}
	}
	p.scan.used++
	gamma := d.gamma.Float64() * p.gammaMax
	err = p.move(gamma * p.scan.scale * perUnit)
	return base, err == nil, err
}

// enter brings the entries of a perturbation to the neck below the perturbed
// weights, keeps them there, and takes the gradient and the mean of their
// cross-entropies.
func (p *perturber) enter(ctx context.Context, batch stepEntries) (mean float64, err error) {
	if err := p.entering.Gather(ctx, p.objective.train.all, batch.perturb, p.neck, batch.update); err != nil {
		return 0, err
	}
	return p.objective.gradientAt(ctx, p.entering, p.sum)
}

// close frees what the perturbations take.
func (p *perturber) close() error {
	p.sum.Free()
	p.moved.Free()
	p.trials.Free()
	return p.entering.Close()
}
