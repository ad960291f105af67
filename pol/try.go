package pol

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Trial is what training a plan does to V. H has no part in it.
type Trial struct {
	// Loss is V's, in nats, at the temperature that fits the trained model; nil where
	// there is no trained model or that loss is not finite.
	Loss        *float64
	Temperature *float64 // that one, of the logits as they are stored; nil where none fits
	// Drop is by how much, image by image, that loss is below the untrained model's at the
	// temperature that fits that; nil where one of them is missing.
	Drop      *metric.Estimate
	Error     float64 // V's
	Stopped   string  // why the training ended before its last epoch; empty if it did not
	Best      int     // the epoch that was kept, from 1; 0: none
	Steps     int
	Rejected  int           // steps whose perturbation found no range
	StepTime  time.Duration // mean
	ScanShare float64       // of the time of all steps
	Rate      float64       // of the last epoch, before the schedule
	Neck      int           // where activations were kept
}

// loss is Loss, NaN where there is none.
func (t *Trial) loss() float64 {
	if t.Loss == nil {
		return math.NaN()
	}
	return *t.Loss
}

// Tryout says what [Try] tells of a plan, which it names by its number.
type Tryout struct {
	Begin func(plan int)                // before it is trained
	Tried func(plan int, t Trial) error // after that
}

// Try trains plans one after the other as [Treat] does, each from the checkpoint, and
// tells of each what it does to V. Plans are taken in the order of their necks: the
// activations of T and V are computed once and raised from neck to neck, to the same
// bits as if each had its own. Errors are those of Treat and of Tried; Options.Save and
// Options.Resume are not for trials.
func Try(ctx context.Context, m nn.Model, data Data, plans []Plan, opt Options, tell Tryout) error {
	if opt.Save != nil || opt.Resume != nil {
		panic("pol: a trial is neither saved nor resumed")
	}
	neck := func(plan int) int { return plans[plan].neck(m, &opt) }
	order := consecutive(0, len(plans))
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(neck(a), neck(b)) })
	together := max(1, len(order))
	if opt.NoCache {
		together = 1 // there is nothing to share
	}
	for some := range slices.Chunk(order, together) {
		if err := trySome(ctx, m, data, plans, some, &opt, tell); err != nil {
			return err
		}
	}
	return nil
}

// trySome tries the plans of the given numbers, in that order, on one set of activations.
func trySome(ctx context.Context, m nn.Model, data Data, plans []Plan, some []int, opt *Options, tell Tryout) (err error) {
	var sharing []Plan
	for _, i := range some {
		sharing = append(sharing, plans[i])
	}
	s, err := openSets(m, data, opt, sharing...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p := &progress{call: opt.Progress}
	for _, i := range some {
		tell.Begin(i)
		if err := s.raise(ctx, plans[i].neck(m, opt), p); err != nil {
			return err
		}
		done, err := train(ctx, m, &data, plans[i], opt, s, p)
		if err != nil {
			return err
		}
		if err := tell.Tried(i, done.trial()); err != nil {
			return err
		}
	}
	return nil
}

// trial is what a training has done to V.
func (t *trained) trial() Trial {
	r := t.Result
	trial := Trial{Stopped: r.Stopped, Best: r.Best, Steps: r.Steps, ScanShare: r.Scans.Share, Neck: r.Cache.Neck}
	var all time.Duration
	for _, e := range r.Epochs {
		trial.Rejected += e.Rejected
		all += e.Duration
		trial.Rate = e.Rate
	}
	if r.Steps > 0 {
		trial.StepTime = all / time.Duration(r.Steps)
	}
	if t.after == nil {
		return trial
	}
	if trial.Temperature = fitTemperature(t.after); trial.Temperature != nil {
		losses := t.after.Logits.Losses(1 / *trial.Temperature)
		trial.Loss = metric.Finite(metric.Mean(losses))
		trial.Error = metric.Mean(t.after.wrong())
		if t.fitted != nil {
			if drop := metric.PairedDrop(t.before.Logits.Losses(1 / *t.fitted), losses); drop.IsFinite() {
				trial.Drop = &drop
			}
		}
	}
	return trial
}

// raise moves what is kept to a neck, which is not below where it is.
func (s *sets) raise(ctx context.Context, neck int, p *progress) error {
	s.neck = neck
	for _, c := range s.caches() {
		c.neck = neck
	}
	return s.fill(ctx, p)
}
