package pol

import (
	"context"
	"errors"
	"time"

	"github.com/modeldoctor/modeldoctor/nn"
)

// Cost is what a plan takes. Times are estimates from one measured step.
type Cost struct {
	Cache          Cache // of the training and validation sets, as it would be
	Steps          int   // of all epochs
	TrialSteps     int   // of the trial runs that choose the rate, at most
	CacheTime      time.Duration
	StepTime       time.Duration // of one step
	ScanShare      float64       // of StepTime
	ValidationTime time.Duration // after each epoch
	HoldoutTime    time.Duration
}

// Total is the time of everything, without a diagnosis.
func (c *Cost) Total(epochs int) time.Duration {
	return c.CacheTime + c.Choosing() + c.Training() + c.Validating(epochs) + c.HoldoutTime
}

// Choosing is the time of the trial runs that choose the rate, at most.
func (c *Cost) Choosing() time.Duration { return time.Duration(c.TrialSteps) * c.StepTime }

// Training is the time of the steps of all epochs.
func (c *Cost) Training() time.Duration { return time.Duration(c.Steps) * c.StepTime }

// Validating is the time of all evaluations of V: before the training, after each
// epoch, and of the treated model.
func (c *Cost) Validating(epochs int) time.Duration {
	if c.Steps == 0 {
		epochs = 0
	}
	return time.Duration(2+epochs) * c.ValidationTime
}

// EstimateCost measures one step of a plan, its scan included, and computes from it
// what the whole plan will cost. Nothing is kept.
func EstimateCost(ctx context.Context, m nn.Model, data Data, plan Plan, opt Options) (cost Cost, err error) {
	s, err := openSets(m, data, &opt, plan)
	if err != nil {
		return Cost{}, err
	}
	defer func() {
		plan.reset(m)
		err = errors.Join(err, s.close())
	}()
	cost = Cost{Cache: s.used()}
	uncached := &sets{neck: s.neck, validation: newCache(m, "validation example", data.Validation, s.neck)}
	defer func() { err = errors.Join(err, uncached.close()) }()
	n := min(m.Batch(), data.Validation.Len())
	below, above, err := timeBatch(ctx, uncached.validation, n)
	if err != nil {
		return cost, err
	}
	each := func(d time.Duration, examples int) time.Duration {
		return d * time.Duration(examples) / time.Duration(n)
	}
	cost.ValidationTime = each(above, data.Validation.Len())
	cost.HoldoutTime = each(below+2*above, data.Holdout.Len())
	if opt.NoCache {
		cost.ValidationTime += each(below, data.Validation.Len())
	} else {
		cost.CacheTime = each(below, data.Validation.Len())
	}
	if !plan.trains() {
		return cost, nil
	}
	if !opt.NoCache {
		cost.CacheTime += each(below, data.Train.Len())
	}
	// The step draws its examples from the whole set, and computes what enters
	// the neck on the way, which a filled cache would not have to.
	uncached.train = newCache(m, "training example", data.Train, s.neck)
	t, err := newTrainer(m, &data, plan, &opt, uncached, 1)
	if err != nil {
		return cost, err
	}
	defer func() {
		plan.reset(m)
		err = errors.Join(err, t.close())
	}()
	cost.Steps = opt.Epochs * t.steps()
	if opt.Rate == 0 {
		cost.TrialSteps = maxTrialRuns * trialRunSteps(t.steps())
	}
	err = cost.timeStep(ctx, t, &opt)
	return cost, err
}

// timeBatch measures what n examples, a batch at most, take up to the neck and
// from it on.
func timeBatch(ctx context.Context, c *cache, n int) (below, above time.Duration, err error) {
	for range 2 { // the first compiles
		e := newEvaluation(c.model, n)
		start := time.Now()
		if err := c.batch.Gather(ctx, c.all, consecutive(0, n), c.neck, nil); err != nil {
			return 0, 0, err
		}
		below = time.Since(start)
		start = time.Now()
		if err := e.add(ctx, c.batch, 0, n, 1); err != nil {
			return 0, 0, err
		}
		above = time.Since(start)
	}
	return below, above, nil
}

// timeStep makes one step, and fills in what it takes.
func (c *Cost) timeStep(ctx context.Context, t *trainer, opt *Options) error {
	t.parameters.install(t.parameters.weights)
	for k := range 2 { // the first compiles, and brings the images that follow to the neck
		d := t.draws(k / t.steps())
		batch := d.step(k%t.steps(), opt.Batch, t.perturber.drawn())
		t.perturber.begin()
		recomputed := t.objective.train.all.Recomputed
		start := time.Now()
		_, _, err := t.step(ctx, d, 0, batch, stepEntries{})
		var diverged *divergence
		if err != nil && !errors.As(err, &diverged) {
			return err
		}
		c.StepTime = time.Since(start)
		if !opt.NoCache {
			c.StepTime -= t.objective.train.all.Recomputed - recomputed
		}
		if c.StepTime > 0 {
			c.ScanShare = min(1, t.perturber.scanned().time.Seconds()/c.StepTime.Seconds())
		}
	}
	if every := opt.PerturbEvery; every > 1 { // only every so many steps scan
		scan := time.Duration(c.ScanShare * float64(c.StepTime))
		c.StepTime -= scan - scan/time.Duration(every)
		c.ScanShare = (scan / time.Duration(every)).Seconds() / c.StepTime.Seconds()
	}
	return nil
}
