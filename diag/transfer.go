package diag

import (
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// MinTransferExamples is the smallest number of examples for which there is a
// transfer figure.
const MinTransferExamples = 32

// firstLength is where the search of a length begins, as a share of the longest: on
// the reference model the cheapest of several.
const firstLength = 0.6

// farProbe is how many times the longest step a search begins at where its usual probe
// lies beyond that, and that of all examples does not.
const farProbe = 4

// lengthPrecision is that of the lengths. They are chosen by a quarter of the examples,
// and another quarter would choose one that differs by far more. What the logits of two
// points tell of a place not far from either is good to some per cent.
var lengthPrecision = precision{fine: 5e-2, coarse: 5e-2, near: 0.2, beside: 0.2, agree: 0.25, slopes: 0.15}

// reasonNoMove is why a transfer figure has no interval.
const reasonNoMove = "no part of the examples asks for a move along the other half's gradient: no length is above 0"

// lossesAt returns the losses of a fold's examples, in order of position, with a
// layer at t along some direction, and what is kept of the evaluation.
type lossesAt func(fold int, t float64) ([]float64, sampled, error)

// crossings are the folds that choose a direction, and the two that choose a length
// along it and count each other's gain.
var crossings = [2]struct{ directs, others [2]int }{
	{[2]int{foldA1, foldA2}, [2]int{foldB1, foldB2}},
	{[2]int{foldB1, foldB2}, [2]int{foldA1, foldA2}},
}

// A crossFit measures ΔL̂ of a layer by cross-fitting. The direction is chosen by
// one half of the examples, the length by a fold of the other half, and the gain
// is counted on that half's other fold, so that every example has one gain, from
// a direction and a length that it had no part in.
type crossFit struct {
	folds    *folds
	gradient *layerGradient
	kind     Direction
	start    []float64                // losses at the checkpoint, by position
	sample   *sample                  // nil: nothing is known of logits
	longest  float64                  // no length exceeds it: the in-sample t*
	usual    float64                  // the usual probe of the in-sample search
	along    func(direction) lossesAt // the losses along a direction
}

// measure returns the figure with the gain of each example, by position, or nil
// and the reason where there is none.
func (c *crossFit) measure() (*Transfer, []float64, string, error) {
	f := c.folds
	gains := make([]float64, f.n())
	var lengths [foldCount]Length // by the fold that chooses
	squares, evaluations := 0.0, 0
	for _, half := range crossings {
		share := f.mean(half.directs[:]...)
		d, ok := c.gradient.direction(c.kind, share, f.combine(share, c.start))
		if !ok {
			continue // no direction: lengths and gains are zero
		}
		known := &knownLosses{compute: c.along(d), at: map[foldPoint][]float64{}}
		for _, fold := range half.others {
			lo, hi := f.bounds[fold][0], f.bounds[fold][1]
			known.lines[fold] = c.sample.line(lo, hi, c.start, c.gradient.slope(d, f.mean(fold)))
		}
		probe := firstLength * c.longest
		for i, chooser := range half.others {
			length, reason, err := c.length(known, chooser, d, probe)
			if err != nil || reason != "" {
				return nil, nil, reason, err
			}
			lengths[chooser] = length
			squares += length.T * length.T
			if length.T == 0 {
				continue
			}
			counted := half.others[1-i]
			losses, err := known.losses(counted, length.T)
			if err != nil {
				return nil, nil, "", err
			}
			lo := f.bounds[counted][0]
			for j, loss := range losses {
				gains[lo+j] = c.start[lo+j] - loss
			}
			probe = length.T // where the other fold's losses are known now
		}
		evaluations += len(known.at)
	}
	result := &Transfer{
		Steps:              Steps{A1: lengths[foldA1], A2: lengths[foldA2], B1: lengths[foldB1], B2: lengths[foldB2]},
		ForwardEvaluations: evaluations,
	}
	result.Gain, result.SEA, result.SEB = metric.CrossFitted(gains, f.middle())
	result.CorrectedLow = result.Gain.CI95[0] // replaced once the number of layers is known
	switch {
	case !result.Gain.IsFinite():
		return nil, nil, "the loss of the examples that chose neither direction nor length is not finite", nil
	case squares == 0:
		result.Reason = reasonNoMove
	case result.Gain.Mean > 0:
		result.Kappa = metric.Finite(result.Gain.Mean / (squares / foldCount))
	}
	return result, gains, "", nil
}

// length is the first local minimiser, from 0 to longest, of the mean loss of a
// fold along d, to [lengthPrecision]: 0 where it does not fall. The search begins at
// probe. A reason says that there is no answer.
func (c *crossFit) length(known *knownLosses, fold int, d direction, probe float64) (l Length, reason string, err error) {
	share := c.folds.mean(fold)
	slope := c.gradient.slope(d, share)
	if slope >= 0 {
		return Length{}, "", nil
	}
	phi := func(t float64) (float64, error) {
		losses, err := known.losses(fold, t)
		return metric.Mean(losses), err
	}
	from := curve{phi0: c.folds.combine(share, c.start), slope: slope, logits: known.lines[fold]}
	within := searchRange{probe: probe, longest: c.longest, enough: c.longest}
	if far := farProbe * c.longest; usualProbe(from.phi0, slope) > far && c.usual <= far {
		// A slope that is small beside that of all asks for a step far beyond what is
		// allowed, whatever dents there are on the way.
		within.probe, within.longest = far, math.Inf(1)
	}
	_, found, err := firstMinimiser(phi, from, within, lengthPrecision)
	if err != nil {
		return Length{}, "", err
	}
	if found.status == StatusDiverged {
		return Length{}, found.reason, nil
	}
	return Length{min(found.minimiser, c.longest), found.capped || found.minimiser > c.longest}, "", nil
}

// knownLosses remembers the losses of folds at points along one direction,
// because the point that one fold chooses may have been met by the other's
// search, and the logits.
type knownLosses struct {
	compute lossesAt
	at      map[foldPoint][]float64
	lines   [foldCount]*logitLine
}

type foldPoint struct {
	fold int
	t    float64
}

func (k *knownLosses) losses(fold int, t float64) ([]float64, error) {
	point := foldPoint{fold, t}
	if losses, ok := k.at[point]; ok {
		return losses, nil
	}
	losses, kept, err := k.compute(fold, t)
	if err == nil {
		k.at[point] = losses
		k.lines[fold].add(t, kept)
	}
	return losses, err
}
