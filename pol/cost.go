package pol

import (
	"context"
	"errors"
	"time"
)

// Cost is what a plan takes. Times are estimates from one measured step.
type Cost struct {
	Neck           int   // below everything that is perturbed or updated
	CacheBytes     int64 // activations of the training and validation sets
	CacheInFile    bool
	Steps          int // of all epochs
	CacheTime      time.Duration
	StepTime       time.Duration // of one step
	ScanShare      float64       // of StepTime
	ValidationTime time.Duration // after each epoch
	HoldoutTime    time.Duration
}

// Total is the time of everything, without a diagnosis.
func (c *Cost) Total(epochs int) time.Duration {
	return c.CacheTime + c.Training() + c.Validating(epochs) + c.HoldoutTime
}

// Training is the time of all steps.
func (c *Cost) Training() time.Duration { return time.Duration(c.Steps) * c.StepTime }

// Validating is the time of all evaluations of V: before the training, and after
// each epoch.
func (c *Cost) Validating(epochs int) time.Duration {
	if c.Steps == 0 {
		epochs = 0
	}
	return time.Duration(1+epochs) * c.ValidationTime
}

// Estimate measures one step of a plan, its scan included, and computes from it
// what the whole plan will cost. Nothing is kept.
func Estimate(ctx context.Context, m Model, data Data, plan Plan, opt Options) (cost Cost, err error) {
	if err := data.Check(m, opt.Batch, len(plan.Update) > 0); err != nil {
		return Cost{}, err
	}
	t := newTrainer(m, data, plan, opt)
	defer func() { err = errors.Join(err, t.close()) }()
	used := t.cacheUsed()
	cost = Cost{Neck: used.Neck, CacheBytes: used.Bytes, CacheInFile: used.InFile}
	// One batch through the whole network and through the part below the neck,
	// the second time: the first compiles.
	some := consecutive(0, min(m.Batch(), data.Validation.Len()))
	v := &cache{model: m, name: "validation", examples: data.Validation, neck: t.neck, size: m.NeckElements(t.neck)}
	var below, above time.Duration
	for range 2 {
		e := newEvaluation(m.Classes(), len(some))
		start := time.Now()
		labels, err := v.gather(ctx, some, t.batchIn[:len(some)*v.size])
		if err != nil {
			return cost, err
		}
		below = time.Since(start)
		start = time.Now()
		if err := e.add(ctx, m, t.neck, t.batchIn[:len(some)*v.size], labels, 1); err != nil {
			return cost, err
		}
		above = time.Since(start)
	}
	each := func(d time.Duration, n int) time.Duration { return d * time.Duration(n) / time.Duration(len(some)) }
	cost.ValidationTime = each(above, data.Validation.Len())
	cost.HoldoutTime = each(below+2*above, data.Holdout.Len())
	if opt.NoCache {
		cost.ValidationTime += each(below, data.Validation.Len())
	} else {
		cost.CacheTime = each(below, data.Validation.Len())
	}
	if !t.trains() {
		return cost, nil
	}
	if !opt.NoCache {
		cost.CacheTime += each(below, data.Train.Len())
	}
	cost.Steps = opt.Epochs * t.steps()
	// The step draws its examples from the whole set, and computes what enters
	// the neck on the way, which a filled cache would not have to.
	t.train.array = nil
	t.prepare()
	for _, w := range t.update.weights {
		m.Override(w, t.current[w])
	}
	t.draws = newDraws(opt.Seed, 0, t.images(), data.views())
	batch := t.draws.updateBatch(0, opt.Batch)
	for range 2 {
		t.scale, t.scanTime, t.train.spent = 0, 0, 0
		start := time.Now()
		_, _, err = t.step(ctx, 0, batch)
		var d *divergence
		if err != nil && !errors.As(err, &d) {
			return cost, err
		}
		cost.StepTime = time.Since(start)
		if !opt.NoCache {
			cost.StepTime -= t.train.spent
		}
		if cost.StepTime > 0 {
			cost.ScanShare = min(1, t.scanTime.Seconds()/cost.StepTime.Seconds())
		}
	}
	if every := opt.PerturbEvery; every > 1 { // only every so many steps scan
		scan := time.Duration(cost.ScanShare * float64(cost.StepTime))
		cost.StepTime -= scan - scan/time.Duration(every)
		cost.ScanShare = (scan / time.Duration(every)).Seconds() / cost.StepTime.Seconds()
	}
	return cost, nil
}
