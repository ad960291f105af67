package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// enoughToStart is how many examples a search begins with, where there are more than
// that: so many tell well enough how the logits of all change.
const enoughToStart = 128

// farthestProbe is where a search begins at most, as a share of the layer's norm.
const farthestProbe = 0.25

// leastProbe is where it begins at least, as a share of the usual probe. The tangent there
// promises 2⁻¹² of the loss, some thousand times what float32 rounds it by: nearer to t = 0,
// as a share of a norm that is tiny, what the loss does would be noise.
const leastProbe = 1.0 / 256

// beginPrecision is that of the few points of the first examples alone, which tell where the
// search of all begins.
var beginPrecision = precision{fine: 5e-2, coarse: 5e-2, near: 0.2, beside: 0.2, agree: math.Inf(1), slopes: math.Inf(1), steps: 3}

// inSample is the search of a layer's step on the examples that chose the
// direction.
type inSample struct {
	measurer *measurer
	gradient *layerGradient
	along    direction
	all      perFold    // the mean over all examples
	moved    *nn.Vector // room for the layer's tensors

	t                float64   // the step along the line, before any further steps of Descent
	at               []float64 // losses there, by position
	training         []float64 // losses of the training examples after the whole move
	startEvaluations int       // of the examples that the search began with, alone
}

// search finds the lowest mean loss of all examples along the line, or where the
// steps of Descent lead that begin along it.
func (s *inSample) search(ctx context.Context) (searchResult, error) {
	m := s.measurer
	p := newPath(m.evaluator, s.gradient, s.along, s.moved)
	found, err := s.lowest(ctx, p)
	if err != nil || found.status != StatusOK {
		return found, err
	}
	s.t = found.t
	follow := func() (err error) {
		if m.training != nil {
			s.training, err = m.training.losses(ctx)
		}
		return err
	}
	if m.direction == Descent {
		return descend(ctx, m.evaluator, s.gradient, s.along, found, m.steps, s.moved, follow)
	}
	if err := p.move(found.t); err != nil {
		return searchResult{}, err
	}
	return found, follow()
}

// lowest is the line search. The logits that it interpolates are those of the first
// examples, and what all differ by from these is a polynomial.
func (s *inSample) lowest(ctx context.Context, p *path) (searchResult, error) {
	m := s.measurer
	hi, part := s.first()
	slope, firstSlope := s.gradient.slope(s.along, s.all), s.gradient.slope(s.along, part)
	from := curve{
		phi0: metric.Mean(m.start), slope: slope,
		logits: m.sample.line(0, hi, m.start, firstSlope),
	}
	probe := s.probe(from.phi0, slope)
	losses, lowest := make([]float64, len(m.start)), math.Inf(1)
	// known computes the losses of the first examples, whose logits are known there from then on.
	known := func(t float64) error {
		kept, err := p.sampled(ctx, t, 0, losses[:hi], m.sample)
		if err == nil {
			from.logits.add(t, kept)
		}
		return err
	}
	if hi < len(losses) && from.logits != nil && firstSlope < 0 {
		part := curve{phi0: metric.Mean(m.start[:hi]), slope: firstSlope, logits: from.logits}
		_, begun, err := firstMinimiser(func(t float64) (float64, error) {
			err := known(t)
			return metric.Mean(losses[:hi]), err
		}, part, anywhere(probe), beginPrecision)
		if err != nil {
			return searchResult{}, err
		}
		s.startEvaluations = begun.evaluations
		if begun.status == StatusOK {
			probe = begun.minimiser
		}
	}
	return lineSearch(func(t float64) (float64, error) {
		if err := known(t); err != nil {
			return 0, err
		}
		if err := m.evaluator.losses(ctx, hi, losses[hi:], nil); err != nil {
			return 0, err
		}
		mean := metric.Mean(losses)
		if mean < lowest {
			lowest, s.at = mean, append(s.at[:0], losses...)
		}
		return mean, nil
	}, from, probe)
}

// probe is where the search begins: no farther than a share of the layer's norm, which a
// gradient that is tiny beside the loss would have it go far beyond.
func (s *inSample) probe(phi0, slope float64) float64 {
	probe, norm := usualProbe(phi0, slope), s.gradient.wNorm
	switch {
	case s.measurer.direction == Balanced:
		norm = 1 // t is that share
	case norm == 0:
		return probe
	}
	return min(probe, max(farthestProbe*norm, leastProbe*probe))
}

// first is the examples that a search begins with: the fewest folds with enough of
// them. It returns the position after the last of them and the mean over them.
func (s *inSample) first() (hi int, mean perFold) {
	f := s.measurer.evaluator.folds
	for _, folds := range [][]int{{foldA1}, {foldA1, foldA2}} {
		if hi = f.bounds[folds[len(folds)-1]][1]; hi >= enoughToStart {
			return hi, f.mean(folds...)
		}
	}
	return f.n(), s.all
}

// noise is the standard error of the gain at the minimum of a parabola whose slope
// has the error that one half of the examples has of the other's direction, and
// which is as curved as the loss: half of that of the first-order gain of the step
// along the line. half is the number of examples in half A.
func (s *inSample) noise(half int) float64 {
	gain, _, _ := metric.CrossFitted(metric.Differences(s.measurer.start, s.at), half)
	return gain.SE / 2
}
