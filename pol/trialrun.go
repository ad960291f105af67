package pol

import (
	"context"
	"errors"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// How trial runs go.
const (
	longestTrialRun = 16 // steps, and at most those of an epoch
	maxTrialRuns    = 6  // the one that refines included
	trialFactor     = 4  // from one rate to the next
	// A loss that is higher by less than this share may be so by chance: where the first
	// rate is very low no run moves the weights far enough to be seen.
	trialRise = 0.005
)

// A TrialRun is the training in small, from the checkpoint: all that is kept of it is
// what it does to V.
type TrialRun struct {
	Rate  float64  `json:"rate"`  // before the schedule
	Steps int      `json:"steps"` // made
	Loss  *float64 `json:"loss"`  // V's, afterwards; nil: a step made a batch's loss jump, which ended the run
}

// trialRunSteps is the number of steps of a trial run, in a training whose epochs have so
// many.
func trialRunSteps(ofEpoch int) int { return min(longestTrialRun, ofEpoch) }

// search makes trial runs, at rates from first to most, and returns that after which V's
// loss is lowest; first where no run lowers it.
func (p *pacer) search(ctx context.Context, t *trainer, v *sample, first, most float64, progress *progress) (float64, error) {
	progress.begin(PhaseRate, maxTrialRuns*trialRunSteps(t.steps()))
	return bestRate(first, most, p.Before, func(rate float64) (float64, error) {
		run, err := p.try(ctx, t, v, rate, progress)
		p.Runs = append(p.Runs, run)
		if run.Loss == nil {
			return math.Inf(1), err
		}
		return *run.Loss, err
	})
}

// bestRate looks for the rate with the lowest loss, which is before at rate 0. From first
// it goes up to most until the loss has clearly risen, and takes the minimum of the
// parabola in the logarithm of the rate through the lowest point and those beside it. Where
// the one above is missing, being beyond most or infinite, the parabola is that of a point
// between the lowest and the one below, if that is lower still. It is first where no
// higher rate is better. There are at most maxTrialRuns losses.
func bestRate(first, most, before float64, loss func(rate float64) (float64, error)) (float64, error) {
	best, rate, lowest := -1, first, before
	var losses []float64
	for next := first; next <= most && len(losses) < maxTrialRuns-1; next *= trialFactor {
		l, err := loss(next)
		if err != nil {
			return 0, err
		}
		losses = append(losses, l)
		if l < lowest {
			best, rate, lowest = len(losses)-1, next, l
		} else if !(l <= (1+trialRise)*lowest) {
			break
		}
	}
	if best < 1 {
		return first, nil
	}
	factor, below, above := float64(trialFactor), losses[best-1], math.Inf(1)
	if best+1 < len(losses) {
		above = losses[best+1]
	}
	if !metric.IsFinite(above) {
		l, err := loss(rate / 2)
		if err != nil || !(l < lowest) {
			return rate, err
		}
		rate, lowest, above, factor = rate/2, l, lowest, 2
	}
	return rate * math.Pow(factor, (below-above)/(2*(below-2*lowest+above))), nil
}

// try makes a trial run with the steps and the safeguards of the training, the rate
// running through its whole schedule. The weights are the checkpoint's again afterwards,
// and the optimiser's buffers empty.
func (p *pacer) try(ctx context.Context, t *trainer, v *sample, rate float64, progress *progress) (run TrialRun, err error) {
	run.Rate = rate
	chosen := t.pacer
	guard := &pacer{Pace: Pace{Rate: rate}, start: p.start, previous: p.previous}
	t.pacer = guard
	defer func() {
		t.pacer = chosen
		checkpoint, err1 := nn.Checkpoint(t.model, t.parameters.weights)
		if err1 == nil {
			err1 = t.parameters.values.Copy(checkpoint)
		}
		err = errors.Join(err, err1, t.momentum.Clear())
	}()
	steps := trialRunSteps(t.steps())
	t.perturber.begin()
	d := t.draws(paceEpoch)
	next := d.step(0, t.opt.Batch, t.perturber.drawn())
	for k := range steps {
		batch := next
		if next = (stepEntries{}); k+1 < steps {
			next = d.step(k+1, t.opt.Batch, t.perturber.drawn())
		}
		_, _, err := t.step(ctx, d, k*t.opt.Epochs*t.steps()/steps, batch, next)
		var diverged *divergence
		switch {
		case errors.As(err, &diverged) || err == nil && guard.Undone > 0:
			return run, nil
		case err != nil:
			return run, err
		}
		run.Steps++
		progress.add(1)
	}
	loss, err := v.loss(ctx, t.parameters.neck)
	run.Loss = metric.Finite(loss)
	return run, err
}
