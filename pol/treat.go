package pol

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
)

// The phases that Options.Progress is told of. Training is a phase for each
// epoch.
const (
	PhaseCache   = "cache"
	PhaseHoldout = "hold-out"
)

// Treat trains the plan's layers on T, keeps the epoch that is best on V, and
// measures H before and after. The model has the checkpoint's weights again in
// every case; the new ones are in the result.
//
// A loss that is no longer finite is no error: [Result.Stopped] tells of it.
// Errors are of type [*DataError] where the examples do not suit, and otherwise
// those of the model, the examples and the context.
func Treat(ctx context.Context, m Model, data Data, plan Plan, opt Options) (result *Result, err error) {
	if err := data.Check(m, opt.Batch, len(plan.Update) > 0); err != nil {
		return nil, err
	}
	t := newTrainer(m, data, plan, opt)
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.fillCaches(ctx); err != nil {
		return nil, err
	}
	result = &Result{Cache: t.cacheUsed()}
	before, err := t.validate(ctx, 1)
	if err != nil {
		return nil, err
	}
	temperature, fitted := before.Logits.FitTemperature()
	if opt.Calibrated {
		if !fitted {
			return nil, errors.New("no temperature can be fitted: logits of the validation set are not finite")
		}
		t.invT = 1 / temperature
	}
	if t.trains() {
		t.prepare()
		if opt.Resume != nil {
			if err := t.resume(opt.Resume); err != nil {
				return nil, err
			}
		}
		if stopped := t.run(ctx); stopped != nil {
			var d *divergence
			if !errors.As(stopped, &d) {
				return nil, stopped
			}
			result.Stopped = d.Error()
		}
		result.Trained = t.update.elements(m)
	}
	result.Epochs, result.Best = t.epochs, t.bestEpoch()+1
	result.countSteps(t)
	var unstorable *divergence
	if result.Weights, err = t.treated(); errors.As(err, &unstorable) {
		result.Stopped = unstorable.Error()
	} else if err != nil {
		return nil, err
	}
	var fit *float64
	if fitted {
		fit = &temperature
	}
	if err := t.measureHoldout(ctx, result, fit); err != nil {
		return nil, err
	}
	return result, nil
}

// newTrainer finds the neck below everything that changes. The data have been
// checked.
func newTrainer(m Model, data Data, plan Plan, opt Options) *trainer {
	if len(plan.Update) > 0 && (opt.Batch < 1 || opt.Epochs < 1) || plan.Recipe.Rule == Search && opt.PerturbBatch < 1 {
		panic("pol: a training without epochs or examples")
	}
	t := &trainer{model: m, data: data, plan: plan, opt: opt, invT: 1, losses: make([]float64, m.Batch())}
	touched := slices.Concat(plan.Perturb, plan.Update)
	if opt.Calibrated {
		touched = append(touched, opt.Classifier)
	}
	t.neck = newGroup(m, touched...).neck
	if t.neck == m.Necks()-1 {
		panic("pol: a plan that changes nothing")
	}
	left := opt.Memory
	if t.trains() {
		t.train, left = newCache(m, "training", data.Train, t.neck, !opt.NoCache, left, opt.TempDir)
	}
	t.validation, _ = newCache(m, "validation", data.Validation, t.neck, !opt.NoCache, left, opt.TempDir)
	t.batchIn = make([]float32, m.Batch()*m.NeckElements(t.neck))
	t.progress.call = opt.Progress
	return t
}

// reset gives the model the checkpoint's weights back.
func (t *trainer) reset() {
	for _, w := range newGroup(t.model, slices.Concat(t.plan.Perturb, t.plan.Update)...).weights {
		t.model.Override(w, nil)
	}
}

// close resets the model and frees the caches.
func (t *trainer) close() error {
	t.reset()
	err := t.validation.close()
	if t.train != nil {
		err = errors.Join(err, t.train.close())
	}
	return err
}

// fillCaches brings T and V to the neck.
func (t *trainer) fillCaches(ctx context.Context) error {
	caches := []*cache{t.validation}
	if t.train != nil {
		caches = append(caches, t.train)
	}
	total := 0
	for _, c := range caches {
		if c.array != nil {
			total += c.examples.Len()
		}
	}
	t.progress.begin(PhaseCache, total)
	for _, c := range caches {
		if err := c.fill(ctx, t.progress.add); err != nil {
			return err
		}
	}
	return nil
}

// cacheUsed describes the caches.
func (t *trainer) cacheUsed() Cache {
	used := Cache{Neck: t.neck}
	for _, c := range []*cache{t.train, t.validation} {
		if c != nil && c.array != nil {
			used.Bytes += c.bytes()
			used.InFile = used.InFile || c.array.InFile
		}
	}
	return used
}

func (r *Result) countSteps(t *trainer) {
	var all, scanning float64
	for _, e := range t.epochs {
		r.Steps += e.Steps
		r.Scans.Evaluations += e.Evaluations
		all += e.Duration.Seconds()
		scanning += e.Scanning.Seconds()
	}
	if all > 0 {
		r.Scans.Share = scanning / all
	}
}

// treated returns the new values of all weights that change, as they will be
// stored: those of the best epoch, and the classifier scaled by the temperature.
// It is nil where the training has no epoch to show.
func (t *trainer) treated() (map[int][]float32, error) {
	if t.trains() && t.bestEpoch() < 0 {
		return nil, nil
	}
	changed := map[int][]float32{}
	if t.trains() {
		for i, w := range t.update.weights {
			changed[w] = t.best[i]
		}
	}
	if t.opt.Calibrated {
		for _, w := range t.opt.Classifier.Weights {
			values, trained := changed[w]
			if !trained {
				values = append([]float32(nil), t.model.Weight(w)...)
			}
			for i, x := range values {
				values[i] = float32(float64(x) * t.invT)
			}
			changed[w] = values
		}
	}
	if t.opt.Stored == nil {
		return changed, nil
	}
	for w, values := range changed {
		stored, err := t.opt.Stored(w, values)
		if err != nil {
			return nil, &divergence{fmt.Sprintf("the weights cannot be stored: %v", err)}
		}
		changed[w] = stored
	}
	return changed, nil
}

// measureHoldout fills in what the treatment, and a temperature alone, do to H.
// The stages below the neck are run once for both.
func (t *trainer) measureHoldout(ctx context.Context, r *Result, temperature *float64) error {
	n, classes := t.data.Holdout.Len(), t.model.Classes()
	t.progress.begin(PhaseHoldout, n)
	t.reset() // a training that diverged has left its weights behind
	h := &cache{model: t.model, name: "hold-out", examples: t.data.Holdout, neck: t.neck, size: t.model.NeckElements(t.neck)}
	before, after := newEvaluation(classes, n), newEvaluation(classes, n)
	defer t.put(r.Weights, false)
	for lo := 0; lo < n; lo += t.model.Batch() {
		hi := min(lo+t.model.Batch(), n)
		in := t.batchIn[:(hi-lo)*h.size]
		t.put(r.Weights, false)
		labels, err := h.gather(ctx, consecutive(lo, hi), in)
		if err != nil {
			return err
		}
		if err := before.add(ctx, t.model, t.neck, in, labels, 1); err != nil {
			return err
		}
		if r.Weights != nil {
			t.put(r.Weights, true)
			if err := after.add(ctx, t.model, t.neck, in, labels, 1); err != nil {
				return err
			}
		}
		t.progress.add(hi - lo)
	}
	r.Holdout = n
	r.Before = before.Figures()
	if temperature != nil {
		losses := before.Logits.Losses(1 / *temperature)
		r.Temperature = &Temperature{Value: *temperature, Loss: metric.Mean(losses), Drop: metric.PairedDrop(before.Losses, losses)}
	}
	if r.Weights == nil {
		return nil
	}
	figures := after.Figures()
	if !metric.IsFinite(figures.Loss) {
		r.Stopped = "the hold-out loss of the treated model is not finite"
		return nil
	}
	gain, drop := before.Drop(after)
	r.After, r.Gain, r.ErrorDrop = &figures, &gain, &drop
	return nil
}

// put gives the model the treated weights, or the checkpoint's.
func (t *trainer) put(weights map[int][]float32, treated bool) {
	for w, values := range weights {
		if !treated {
			values = nil
		}
		t.model.Override(w, values)
	}
}
