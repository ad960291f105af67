package pol

import (
	"context"
	"errors"
	"math"

	"github.com/modeldoctor/modeldoctor/nn"
)

// A sample is some of V, evenly spaced, that trials are measured on.
type sample struct {
	objective
	some []int
}

// newSample takes so many examples, at most all.
func newSample(v *cache, invT float64, examples int) sample {
	n := v.examples.Len()
	s := sample{objective{train: v, invT: invT}, make([]int, min(n, examples))}
	for i := range s.some {
		s.some[i] = i * n / len(s.some)
	}
	return s
}

// loss is the mean loss with the weights as they are, which change nothing below the
// neck. It need not be finite.
func (s *sample) loss(ctx context.Context, neck int) (float64, error) {
	total := 0.0
	err := s.train.batches(ctx, s.some, neck, nil, func(a *nn.Activations, _ int) error {
		losses := s.room(a.Len())
		err := a.Evaluate(ctx, 0, s.invT, losses, nil, func(int) {})
		for _, l := range losses {
			total += l
		}
		return err
	})
	return total / float64(len(s.some)), err
}

// trialSteps are single steps from the checkpoint, along gradients of the training.
type trialSteps struct {
	sample
	trainer    *trainer
	checkpoint *nn.Vector
	slopes     *nn.Vector // gradient of the sample's summed loss
	start      float64    // the sample's mean loss
	norm       float64    // of the checkpoint's weights
	length     float64    // of the trial steps: what the batch's mean gradient is multiplied by
	made       int

	slope, curvature, square float64 // sums over trials of ⟨g, ∇L_V⟩, gᵀHg and ‖g‖²
}

// newTrialSteps takes the gradient of V's loss into a vector.
func newTrialSteps(ctx context.Context, t *trainer, gradient *nn.Vector) (*trialSteps, error) {
	s := &trialSteps{sample: newSample(t.validation, t.objective.invT, paceExamples), trainer: t, slopes: gradient}
	var err error
	if s.checkpoint, err = nn.Checkpoint(t.model, t.parameters.weights); err != nil {
		return nil, err
	}
	if s.norm, err = nn.Norm(s.checkpoint); err != nil {
		return nil, err
	}
	t.parameters.install(t.parameters.weights)
	s.start, err = s.gradient(ctx, crossEntropy, t.parameters.group, gradient, s.some, nil, nil)
	return s, err
}

// run makes the trial steps. The weights are the checkpoint's again afterwards.
func (s *trialSteps) run(ctx context.Context) error {
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
func (s *trialSteps) measure(ctx context.Context) error {
	sum, batch := s.trainer.sum, float64(s.trainer.opt.Batch)
	slope, square := 0.0, 0.0
	for _, w := range s.trainer.parameters.weights {
		a, err1 := nn.Dot(w, sum, s.slopes)
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
func (s *trialSteps) lossAt(ctx context.Context, c float64) (float64, error) {
	p := s.trainer.parameters
	for _, w := range p.weights {
		if err := p.values.Combine(w, s.checkpoint, []float64{-c}, s.trainer.sum); err != nil {
			return 0, err
		}
	}
	return s.loss(ctx, p.neck)
}
