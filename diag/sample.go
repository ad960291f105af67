package diag

import (
	"context"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// maxFoldLogits bounds how many logits of a fold are kept at a point of a line: 2 MiB.
const maxFoldLogits = 1 << 19

// A sample is the examples whose logits are kept when losses are computed: all of them,
// or every so many where there are too many classes.
type sample struct {
	step   int           // positions are its multiples
	invT   float64       // 1/temperature that losses are taken at
	logits metric.Logits // at the checkpoint
}

// sampled is what is kept of an evaluation: the logits of those examples that are in the
// sample, and their mean loss.
type sampled struct {
	logits metric.Logits
	loss   float64
}

// newSample chooses among the examples with these logits, which are by position.
func newSample(logits metric.Logits, invT float64) *sample {
	fold := (logits.Len() + foldCount - 1) / foldCount
	return sampleOf(logits, invT, max(1, (fold*logits.Classes+maxFoldLogits-1)/maxFoldLogits))
}

// sampleOf takes every step-th example.
func sampleOf(logits metric.Logits, invT float64, step int) *sample {
	s := &sample{step, invT, metric.Logits{Classes: logits.Classes, Threads: logits.Threads}}
	s.keep(&s.logits, logits, 0)
	return s
}

// keep appends to kept the logits of those examples, of which the first is at position
// lo, that are in the sample.
func (s *sample) keep(kept *metric.Logits, logits metric.Logits, lo int) {
	for p := s.before(lo)*s.step - lo; p < logits.Len(); p += s.step {
		kept.Values = append(kept.Values, logits.Row(p)...)
		kept.Labels = append(kept.Labels, logits.Labels[p])
	}
}

// loss is the mean of those losses, of which the first is at position lo, that are in the
// sample.
func (s *sample) loss(losses []float64, lo int) float64 {
	var kept []float64
	for p := s.before(lo)*s.step - lo; p < len(losses); p += s.step {
		kept = append(kept, losses[p])
	}
	return metric.Mean(kept)
}

// before is how many of the sample are before a position.
func (s *sample) before(position int) int { return (position + s.step - 1) / s.step }

// line begins a line of the examples at positions lo to hi. slope is the derivative at
// t = 0 of their mean loss, and losses are those at the checkpoint, by position. It is
// nil where nothing can be learned from logits: losses that are not their
// cross-entropies, or a logit of −∞, by which a network excludes a class.
func (s *sample) line(lo, hi int, losses []float64, slope float64) *logitLine {
	if s == nil {
		return nil
	}
	start := sampled{s.logits.Part(s.before(lo), s.before(hi)), s.loss(losses[lo:hi], lo)}
	ofLogits := metric.Mean(start.logits.Losses(s.invT))
	if !start.logits.AreFinite() || !(math.Abs(ofLogits-start.loss) <= 1e-3*(1+math.Abs(start.loss))) {
		return nil
	}
	return &logitLine{invT: s.invT, start: logitNode{sampled: start}, slope: slope, exact: s.step == 1}
}

// sampled computes the losses of the examples at positions lo to lo + len(out), and
// returns what is kept of that.
func (e *evaluator) sampled(ctx context.Context, lo int, out []float64, s *sample) (sampled, error) {
	kept := metric.Logits{Classes: e.model.Classes()}
	stride := len(out)
	if s.step > 1 {
		// Beside the logits that are kept no more are held, in whole batches.
		batch := e.model.Batch()
		stride = max(1, maxFoldLogits/(batch*kept.Classes)) * batch
	}
	for done := 0; done < len(out); done += stride {
		part := out[done:min(done+stride, len(out))]
		logits := metric.NewLogits(kept.Classes, e.folds.labels[lo+done:][:len(part)])
		if err := e.losses(ctx, lo+done, part, logits.Values); err != nil {
			return sampled{}, err
		}
		if s.step == 1 {
			kept = logits
		} else {
			s.keep(&kept, logits, lo+done)
		}
	}
	return sampled{kept, s.loss(out, lo)}, nil
}
