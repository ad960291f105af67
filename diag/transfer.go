package diag

import "github.com/modeldoctor/modeldoctor/metric"

// MinTransferExamples is the smallest number of examples for which there is a
// transfer figure.
const MinTransferExamples = 32

// lossesAt returns the losses of a fold's examples, in order of position, with a
// layer at t along some direction.
type lossesAt func(fold int, t float64) ([]float64, error)

// transfer measures ΔL̂ of a layer by cross-fitting. The direction is chosen by
// one half of the examples, the length by a fold of the other half, and the gain
// is counted on that half's other fold, so that every example has one gain, from
// a direction and a length that it had no part in. start are the losses at the
// checkpoint, by position; along gives the losses along a direction. transfer
// returns nil and the reason where there is no figure.
func transfer(lg *layerGradient, kind Direction, f *folds, start []float64, along func(direction) lossesAt) (*Transfer, string, error) {
	gains := make([]float64, f.n())
	var lengths [foldCount]float64 // by the fold that chooses
	squares, evaluations := 0.0, 0
	for _, half := range []struct{ directs, others [2]int }{
		{[2]int{foldA1, foldA2}, [2]int{foldB1, foldB2}},
		{[2]int{foldB1, foldB2}, [2]int{foldA1, foldA2}},
	} {
		share := f.mean(half.directs[:]...)
		d, ok := lg.direction(kind, share, f.combine(share, start))
		if !ok {
			continue // no direction: lengths and gains are zero
		}
		known := &knownLosses{compute: along(d), at: map[foldPoint][]float64{}}
		for i, chooser := range half.others {
			share := f.mean(chooser)
			t, reason, err := transferLength(known, chooser, f.combine(share, start), lg.slope(d, share))
			if err != nil || reason != "" {
				return nil, reason, err
			}
			lengths[chooser] = t
			squares += t * t
			if t == 0 {
				continue
			}
			counted := half.others[1-i]
			losses, err := known.losses(counted, t)
			if err != nil {
				return nil, "", err
			}
			lo := f.bounds[counted][0]
			for j, loss := range losses {
				gains[lo+j] = start[lo+j] - loss
			}
		}
		evaluations += len(known.at)
	}
	gain := metric.NewEstimate(gains)
	if !gain.IsFinite() {
		return nil, "the loss of the examples that chose neither direction nor length is not finite", nil
	}
	result := &Transfer{
		Gain:               gain,
		CorrectedLow:       gain.CI95[0], // replaced once the number of layers is known
		Steps:              Steps{A1: lengths[foldA1], A2: lengths[foldA2], B1: lengths[foldB1], B2: lengths[foldB2]},
		ForwardEvaluations: evaluations,
	}
	if gain.Mean > 0 {
		result.Kappa = metric.Finite(gain.Mean / (squares / foldCount))
	}
	return result, "", nil
}

// transferLength is the first local minimiser t ≥ 0 of the mean loss of a fold,
// which is start at t = 0 and has the given slope there: 0 where it does not fall
// or no step lowers the loss. A reason says that there is no answer.
func transferLength(known *knownLosses, fold int, start, slope float64) (t float64, reason string, err error) {
	if slope >= 0 {
		return 0, "", nil
	}
	phi := func(t float64) (float64, error) {
		losses, err := known.losses(fold, t)
		return metric.Mean(losses), err
	}
	_, found, err := firstMinimiser(phi, start, slope)
	if err != nil {
		return 0, "", err
	}
	if found.status == StatusDiverged {
		return 0, found.reason, nil
	}
	return found.t, "", nil
}

// knownLosses remembers the losses of folds at points along one direction,
// because the point that one fold chooses may have been met by the other's
// search.
type knownLosses struct {
	compute lossesAt
	at      map[foldPoint][]float64
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
	losses, err := k.compute(fold, t)
	if err == nil {
		k.at[point] = losses
	}
	return losses, err
}
