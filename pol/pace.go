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
	paceEpoch    = 1<<31 - 1 // whose random numbers they take
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
type Pace struct {
	Best      float64 // the rate at which a single step lowers V's loss most; 0 where none does
	Curvature float64 // along the trial steps, per squared distance; 0 where there is none
	First     float64 // the rate that the training began with, [Options.RateFactor] included
	Rate      float64 // the rate at its end
	Undone    int     // steps undone because the loss of a batch rose, each halving the rate
	Restarted int     // epochs made again at half the rate, because V was worse than at the start

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

// newPacer chooses the rate by trial steps. start is V's loss before the training.
func newPacer(ctx context.Context, t *trainer, start float64) (p *pacer, err error) {
	p = &pacer{start: start}
	if p.previous, err = nn.NewVector(t.model, t.parameters.weights); err != nil {
		return nil, err
	}
	trials, err := newTrials(ctx, t, p.previous)
	if err == nil {
		err = trials.run(ctx)
	}
	if err != nil {
		p.previous.Free()
		return nil, err
	}
	p.First = DefaultRate
	if trials.curvature > 0 {
		p.Best, p.Curvature = max(0, trials.slope/trials.curvature), trials.curvature/trials.square
		p.First = max((1-t.opt.Momentum)*p.Best, paceFloor/p.Curvature)
	}
	p.First *= t.opt.RateFactor
	if trials.norm > 0 && trials.square > 0 {
		step := math.Sqrt(trials.square / float64(trials.made)) // per unit of the rate
		p.First = min(p.First, (1-t.opt.Momentum)*paceMostMoved*trials.norm/step)
	}
	p.Rate = p.First
	return p, nil
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

// trials are trial steps from the checkpoint, measured on some of V.
type trials struct {
	trainer    *trainer
	checkpoint *nn.Vector
	onV        *objective
	some       []int
	gradient   *nn.Vector // of the loss summed over these
	start      float64    // their mean loss
	norm       float64    // of the checkpoint's weights
	length     float64    // of the trial steps: what the batch's mean gradient is multiplied by
	made       int

	slope, curvature, square float64 // sums over trials of ⟨g, ∇L_V⟩, gᵀHg and ‖g‖²
}

// newTrials takes the gradient of V's loss into a vector.
func newTrials(ctx context.Context, t *trainer, gradient *nn.Vector) (*trials, error) {
	n := t.validation.examples.Len()
	s := &trials{trainer: t, onV: &objective{train: t.validation, invT: t.objective.invT}, some: make([]int, min(n, paceExamples)), gradient: gradient}
	for i := range s.some {
		s.some[i] = i * n / len(s.some)
	}
	var err error
	if s.checkpoint, err = nn.Checkpoint(t.model, t.parameters.weights); err != nil {
		return nil, err
	}
	if s.norm, err = nn.Norm(s.checkpoint); err != nil {
		return nil, err
	}
	t.parameters.install(t.parameters.weights)
	s.start, err = s.onV.gradient(ctx, crossEntropy, t.parameters.group, gradient, s.some, nil, nil)
	return s, err
}

// run makes the trial steps. The weights are the checkpoint's again afterwards.
func (s *trials) run(ctx context.Context) error {
	t := s.trainer
	t.perturber.begin()
	d := t.draws(paceEpoch)
	for k := range min(paceTrials, t.steps()) {
		_, _, accepted, err := t.gradient(ctx, d, d.step(k, t.opt.Batch, t.perturber.drawn()), stepEntries{})
		var diverged *divergence
		switch {
		case errors.As(err, &diverged) || err == nil && !accepted:
			continue
		case err != nil:
			return err
		}
		if err := s.measure(ctx); err != nil {
			return err
		}
	}
	return t.parameters.values.Copy(s.checkpoint)
}

// measure adds the slope and the curvature of V's loss along the trainer's gradient,
// and leaves the weights moved.
func (s *trials) measure(ctx context.Context) error {
	sum, batch := s.trainer.sum, float64(s.trainer.opt.Batch)
	slope, square := 0.0, 0.0
	for _, w := range s.trainer.parameters.weights {
		a, err1 := nn.Dot(w, sum, s.gradient)
		b, err2 := nn.Dot(w, sum, sum)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		slope, square = slope+a, square+b
	}
	slope, square = slope/batch/float64(len(s.some)), square/batch/batch
	if square == 0 {
		return nil
	}
	if s.length == 0 {
		s.length = s.start / (16 * square)
	}
	longest := math.Inf(1)
	if s.norm > 0 {
		longest = paceMostTried * s.norm / math.Sqrt(square)
	}
	s.length = min(s.length, longest)
	shrunk := false
	for range maxLengths {
		loss, err := s.lossAt(ctx, s.length/batch)
		if err != nil {
			return err
		}
		switch bend := loss - s.start + s.length*slope; {
		case !(bend <= paceMostBend*s.start):
			shrunk = true
			s.length /= 2
		case bend < paceLeastBend*s.start && !shrunk && s.length < longest:
			s.length = min(2*s.length, longest)
		default:
			s.slope, s.square, s.made = s.slope+slope, s.square+square, s.made+1
			s.curvature += 2 * bend / (s.length * s.length)
			return nil
		}
	}
	return nil
}

// maxLengths bounds the lengths that a trial step is tried at.
const maxLengths = 40

// lossAt is V's mean loss with the weights moved by −c times the trainer's summed
// gradient.
func (s *trials) lossAt(ctx context.Context, c float64) (float64, error) {
	p := s.trainer.parameters
	for _, w := range p.weights {
		if err := p.values.Combine(w, s.checkpoint, []float64{-c}, s.trainer.sum); err != nil {
			return 0, err
		}
	}
	total := 0.0
	err := s.onV.train.batches(ctx, s.some, p.neck, nil, func(a *nn.Activations, _ int) error {
		losses := s.onV.room(a.Len())
		err := a.Evaluate(ctx, 0, s.onV.invT, losses, nil, func(int) {})
		for _, l := range losses {
			total += l
		}
		return err
	})
	return total / float64(len(s.some)), err
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
