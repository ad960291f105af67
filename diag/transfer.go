package diag

import (
	"context"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/metric"
)

// MinTransferExamples is the smallest number of examples for which there is a
// transfer figure.
const MinTransferExamples = 32

// transfer measures ΔL̂ of a layer. The direction is chosen by one half of the
// examples, the length by a quarter of the other half, and the gain is counted
// on the other quarter of it, so that every example has one gain, from a
// direction and a length that it had no part in. It returns nil and the reason
// where there is no figure.
func (d *diagnosis) transfer(ctx context.Context, lg *layerGradient) (*Transfer, string, error) {
	if d.deal.n() < MinTransferExamples {
		return nil, fewExamples(d.deal.n()), nil
	}
	mv := newMover(d, lg)
	defer d.restore(lg.weights)
	gains := make([]float64, d.deal.n())
	squares := 0.0
	result := &Transfer{}
	halves := []struct {
		chooses [2]int // the quarters that choose the direction
		first   int    // a quarter of the other half
		second  int
		lengths [2]*float64
	}{
		{[2]int{dataset.A1, dataset.A2}, dataset.B1, dataset.B2, [2]*float64{&result.Steps.B1, &result.Steps.B2}},
		{[2]int{dataset.B1, dataset.B2}, dataset.A1, dataset.A2, [2]*float64{&result.Steps.A1, &result.Steps.A2}},
	}
	for _, half := range halves {
		mean := d.deal.mean(half.chooses[:]...)
		path, ok := lg.direction(d.opt.Direction, mean, d.meanBase(mean))
		if !ok {
			continue // no direction: lengths and gains are zero
		}
		mv.along(path)
		memo := &quarterLosses{mover: mv, at: map[quarterPoint][]float64{}}
		for i, pair := range [][2]int{{half.first, half.second}, {half.second, half.first}} {
			t, reason, err := d.transferLength(ctx, lg, path, memo, pair[0])
			if err != nil || reason != "" {
				return nil, reason, err
			}
			*half.lengths[i] = t
			squares += t * t
			if t == 0 {
				continue
			}
			moved, err := memo.losses(ctx, t, pair[1])
			if err != nil {
				return nil, "", err
			}
			lo := d.deal.bounds[pair[1]][0]
			for j, loss := range moved {
				gains[lo+j] = d.base[lo+j] - loss
			}
		}
		result.ForwardEvaluations += len(memo.at)
	}
	result.DeltaLoss, result.SE = metric.MeanAndError(gains)
	if !metric.IsFinite(result.DeltaLoss) || !metric.IsFinite(result.SE) {
		return nil, "the loss of the examples that chose neither direction nor length is not finite", nil
	}
	result.CI95 = metric.Interval(result.DeltaLoss, result.SE)
	result.CorrectedLow = result.CI95[0] // replaced once the number of layers is known
	if result.DeltaLoss > 0 {
		result.Kappa = metric.Finite(result.DeltaLoss / (squares / quarters))
	}
	return result, "", nil
}

// transferLength is the first local minimiser t ≥ 0 along the path of the mean
// loss of a quarter: 0 where the slope does not fall or no step lowers the
// loss. A reason says that there is no answer.
func (d *diagnosis) transferLength(ctx context.Context, lg *layerGradient, path direction, memo *quarterLosses, quarter int) (t float64, reason string, err error) {
	mean := d.deal.mean(quarter)
	slope := lg.slope(path, mean)
	if slope >= 0 {
		return 0, "", nil
	}
	phi := func(t float64) (float64, error) {
		losses, err := memo.losses(ctx, t, quarter)
		return metric.Mean(losses), err
	}
	_, found, err := firstMinimiser(phi, d.meanBase(mean), slope)
	if err != nil {
		return 0, "", err
	}
	if found.status == StatusDiverged {
		return 0, found.reason, nil
	}
	return found.t, "", nil
}

// quarterLosses remembers the losses of quarters at points along one direction,
// because the point that one quarter chooses may have been met by the other's
// search.
type quarterLosses struct {
	mover *mover
	at    map[quarterPoint][]float64
}

type quarterPoint struct {
	quarter int
	t       float64
}

// losses returns the losses at t of the examples of a quarter.
func (q *quarterLosses) losses(ctx context.Context, t float64, quarter int) ([]float64, error) {
	key := quarterPoint{quarter, t}
	if losses, ok := q.at[key]; ok {
		return losses, nil
	}
	bounds := q.mover.deal.bounds[quarter]
	losses := make([]float64, bounds[1]-bounds[0])
	if err := q.mover.losses(ctx, t, bounds[0], losses); err != nil {
		return nil, err
	}
	q.at[key] = losses
	return losses, nil
}

// meanBase is a mean of the losses at the checkpoint over the quarters that
// have a share in it.
func (d *diagnosis) meanBase(mean perQuarter) float64 {
	sum := 0.0
	for q, share := range mean {
		if share == 0 {
			continue
		}
		for _, loss := range d.base[d.deal.bounds[q][0]:d.deal.bounds[q][1]] {
			sum += share * loss
		}
	}
	return sum
}
