package pol

import (
	"context"
	"errors"
	"math"

	"github.com/modeldoctor/modeldoctor/nn"
)

// How an automatic rate is chosen and lowered.
const (
	paceTrials   = 4         // trial steps
	paceEpoch    = 1<<31 - 1 // whose random numbers they, and trial runs, take
	paceExamples = 512       // of V, at most, that they are measured on
	// The length of a trial is such that its curvature raises V's loss by a share of
	// it between these: enough to be seen, and little enough for a parabola.
	paceLeastBend, paceMostBend = 0.005, 0.1
	// No trial, and no step with what momentum makes of it, moves the weights by more
	// than these shares of their norm: a loss may be flat along the gradient for ever.
	paceMostTried, paceMostMoved = 1, 0.5
	// Where trial steps do not lower V's loss a step is this share of what its
	// curvature would allow.
	paceFloor = 1e-3
	// A batch whose loss is above paceFactor times what is usual at the start, and
	// paceMargin nats, undoes the step before.
	paceFactor, paceMargin = 2, 0.1
	// maxRestarts is how many epochs that end worse on V than the start are made
	// again, and maxUndone how many steps are undone.
	maxRestarts, maxUndone = 3, 20
)

// Pace is an automatic learning rate: where it comes from, and what became of it.
//
// Trial steps along the gradients g of a few batches, perturbed as those of the
// training, say on V by how much the loss falls per unit of the rate (the slope
// ⟨g, ∇L_V⟩) and how it bends (the curvature gᵀHg, from the loss at one distance). So
// the mean slope over the mean curvature is the rate at which a single step lowers
// V's loss most: it moves the layers by their t* along it. Momentum repeats what steps
// agree on 1/(1 − momentum) times, and the rate is the smaller by that.
//
// This gives the scale, and is safe, but too low for a training: what batches agree on
// adds up over its steps, and their noise is averaged and, as the rate falls, shrinks.
// So trial runs follow, from that rate upwards: a few steps of the training, its whole
// schedule included, and V's loss after them.
type Pace struct {
	Best      float64 // the rate at which a single step lowers V's loss most; 0 where none does
	Curvature float64 // along the trial steps, per squared distance; 0 where there is none
	// Examples is how many of V all this was measured on, and Before their mean loss, in
	// nats, at the training's temperature.
	Examples int
	Before   float64
	Runs     []TrialRun // in the order in which they were made
	First    float64    // the rate that the training began with, [Options.RateFactor] included
	Rate     float64    // the rate at its end
	Undone   int        // steps undone because the loss of a batch rose, each halving the rate
	// Restarted is the number of epochs made again at half the rate, because V was worse
	// than at the start.
	Restarted int

	// Limit is the loss of a batch above which the step before is undone; 0: no batch
	// has been seen yet.
	Limit float64
}

// pacer lowers an automatic rate where it does harm.
type pacer struct {
	Pace
	start    float64    // V's loss before the training
	previous *nn.Vector // the weights before the last step
	moved    bool       // there is a step since, which can be undone
}

// newPacer has no rate yet: [pacer.choose] chooses one, or a state that is resumed has it.
// start is V's loss before the training.
func newPacer(t *trainer, start float64) (*pacer, error) {
	previous, err := nn.NewVector(t.model, t.parameters.weights)
	return &pacer{start: start, previous: previous}, err
}

// choose chooses the rate by trial steps and trial runs. The weights are the
// checkpoint's, before and afterwards.
func (p *pacer) choose(ctx context.Context, t *trainer, progress *progress) error {
	steps, err := newTrialSteps(ctx, t, p.previous)
	if err != nil {
		return err
	}
	if err := steps.run(ctx); err != nil {
		return err
	}
	p.First = DefaultRate
	if steps.curvature > 0 {
		p.Best, p.Curvature = max(0, steps.slope/steps.curvature), steps.curvature/steps.square
		p.First = max((1-t.opt.Momentum)*p.Best, paceFloor/p.Curvature)
	}
	most := math.Inf(1)
	if steps.norm > 0 && steps.square > 0 {
		step := math.Sqrt(steps.square / float64(steps.made)) // per unit of the rate
		most = (1 - t.opt.Momentum) * paceMostMoved * steps.norm / step
	}
	p.First = min(p.First, most)
	p.Examples, p.Before = len(steps.some), steps.start
	if p.Curvature > 0 {
		if p.First, err = p.search(ctx, t, &steps.sample, p.First, most, progress); err != nil {
			return err
		}
	}
	p.First = min(t.opt.RateFactor*p.First, most)
	p.Rate = p.First
	return nil
}

// begin starts an epoch: V has spoken since the last step.
func (p *pacer) begin() {
	if p != nil {
		p.moved = false
	}
}

// rate is the learning rate before the schedule: the pacer's, if there is one, or what
// was given.
func (p *pacer) rate(given float64) float64 {
	if p == nil {
		return given
	}
	return p.Rate
}

// rose reports whether the loss of a batch before a step, or a divergence in its
// place, says that the last step has done harm and can be undone. The first batch
// says what is usual.
func (p *pacer) rose(loss float64, err error) bool {
	var d *divergence
	switch {
	case err != nil && !errors.As(err, &d):
		return false
	case err == nil && p.Limit == 0:
		p.Limit = paceFactor*max(p.start, loss) + paceMargin
	}
	return p.moved && p.Undone < maxUndone && (err != nil || loss > p.Limit)
}

// undo takes the last step back and halves the rate.
func (p *pacer) undo(t *trainer) error {
	p.moved = false
	p.Undone++
	p.Rate /= 2
	if err := t.parameters.values.Copy(p.previous); err != nil {
		return err
	}
	return t.momentum.Clear()
}

// remember keeps the weights before a step.
func (p *pacer) remember(t *trainer) error {
	p.moved = true
	return p.previous.Copy(t.parameters.values)
}

// restart goes back to the best epoch, or the checkpoint, and halves the rate.
func (p *pacer) restart(t *trainer) error {
	p.moved = false
	p.Restarted++
	p.Rate /= 2
	from := t.best
	if len(t.epochs) == 0 {
		var err error
		if from, err = nn.Checkpoint(t.model, t.parameters.weights); err != nil {
			return err
		}
	}
	if err := t.parameters.values.Copy(from); err != nil {
		return err
	}
	return t.momentum.Clear()
}

// harmful reports whether an epoch is to be made again: V is worse than before the
// training, or it ended in a divergence.
func (p *pacer) harmful(e Epoch, err error) bool {
	var d *divergence
	return p.Restarted < maxRestarts && (errors.As(err, &d) || err == nil && e.Validation.Loss > p.start)
}
