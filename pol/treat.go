package pol

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// The phases that Options.Progress is told of. Training is a phase for each
// epoch.
const (
	PhaseCache   = "cache"
	PhaseRate    = "trial runs" // that choose the learning rate; mostly done before they are all made
	PhaseHoldout = "hold-out"
)

// Treat trains the plan's layers on T, keeps the epoch that is best on V, and
// measures H before and after. The model has the checkpoint's weights again in
// every case; the new ones are in the result.
//
// A loss that is no longer finite is no error: [Result.Stopped] tells of it. Nor is a
// plan without the layers that its recipe trains ([ErrNothingToTreat]): there is no
// treated model then, and H is measured as it is and with the temperature.
// Errors are of type [*DataError] where the examples do not suit, and otherwise
// those of the model, the examples and the context.
func Treat(ctx context.Context, m nn.Model, data Data, plan Plan, opt Options) (result *Result, err error) {
	s, err := openSets(m, data, &opt, plan)
	if err != nil {
		return nil, err
	}
	defer func() {
		plan.reset(m)
		err = errors.Join(err, s.close())
	}()
	p := &progress{call: opt.Progress}
	if err := s.fill(ctx, p); err != nil {
		return nil, err
	}
	t, err := train(ctx, m, &data, plan, &opt, s, p)
	if err != nil {
		return nil, err
	}
	h := newCache(m, "hold-out example", data.Holdout, s.neck)
	untreated, treated, err := evaluateHoldout(ctx, m, h, t.Weights, p)
	if err = errors.Join(err, h.close()); err != nil {
		return nil, err
	}
	var own *float64
	if t.after != nil {
		own = fitTemperature(t.after)
	}
	t.judge(untreated, treated, t.fitted, own, plan.trains())
	return t.Result, nil
}

// trained is what a training has come to before H is looked at.
type trained struct {
	*Result
	before *Evaluation // of V with the checkpoint's weights
	fitted *float64    // the temperature that fits it best; nil where there is none
	after  *Evaluation // of V with the new weights, as they are stored; nil without any
}

// train trains the plan's layers from the checkpoint, whose weights the model has
// again afterwards. s is filled, below all of the plan.
func train(ctx context.Context, m nn.Model, data *Data, plan Plan, opt *Options, s *sets, p *progress) (done *trained, err error) {
	defer plan.reset(m)
	before, err := s.validation.evaluate(ctx, 1, nil)
	if err != nil {
		return nil, err
	}
	done = &trained{before: before, fitted: fitTemperature(before)}
	at, err := opt.trainingTemperature(done.fitted, plan.trains())
	if err != nil {
		return nil, err
	}
	result := &Result{Goal: opt.Goal, Cache: s.used(), TrainedAt: at}
	done.Result = result
	changed := map[int][]float32{}
	switch {
	case !plan.trains() && plan.Recipe.Update != NoLayers:
		changed, result.Stopped = nil, ErrNothingToTreat.Error()
	case plan.trains():
		var t *trainer
		if t, err = newTrainer(m, data, plan, opt, s, 1/at); err != nil {
			return nil, err
		}
		defer func() {
			plan.reset(m)
			err = errors.Join(err, t.close())
		}()
		if opt.Rate == 0 {
			if t.pacer, err = newPacer(t, metric.Mean(before.Logits.Losses(1/at))); err != nil {
				return nil, err
			}
			if opt.Resume == nil {
				if err = t.pacer.choose(ctx, t, p); err != nil {
					return nil, err
				}
			}
		}
		if opt.Resume != nil {
			if err := t.resume(opt.Resume); err != nil {
				return nil, err
			}
		}
		if stopped := t.run(ctx, p); stopped != nil {
			var d *divergence
			if !errors.As(stopped, &d) {
				return nil, stopped
			}
			result.Stopped = d.Error()
		}
		result.record(t)
		if changed, err = t.bestWeights(); err != nil {
			return nil, err
		}
	}
	if changed != nil && at != 1 {
		if err := scale(m, changed, opt.Classifier.Weights, 1/at); err != nil {
			return nil, err
		}
	}
	if result.Weights, err = storable(changed, opt.Stored); err != nil {
		result.Stopped = err.Error()
	}
	plan.reset(m) // the training has left its weights behind
	if done.after, err = evaluateChanged(ctx, m, s.validation, result.Weights); err != nil || done.after == nil {
		return done, err
	}
	if own := fitTemperature(done.after); opt.refits(own, plan) {
		result.Refitted = own
		if err := scale(m, result.Weights, opt.Classifier.Weights, 1 / *own); err != nil {
			return nil, err
		}
		if result.Weights, err = storable(result.Weights, opt.Stored); err != nil {
			result.Stopped = err.Error()
		}
		done.after, err = evaluateChanged(ctx, m, s.validation, result.Weights)
	}
	return done, err
}

// record enters what a training has done.
func (r *Result) record(t *trainer) {
	r.Epochs, r.Best = t.epochs, t.bestEpoch()+1
	r.Trained = t.parameters.elements(t.model)
	if t.pacer != nil {
		pace := t.pacer.Pace
		r.Pace = &pace
	}
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

// trains reports whether any layer is updated.
func (p Plan) trains() bool { return len(p.Update) > 0 }

// reset gives the model the checkpoint's values of all weights that the plan
// touches.
func (p Plan) reset(m nn.Model) {
	nn.Restore(m, newGroup(m, slices.Concat(p.Perturb, p.Update)...).weights...)
}

// fitTemperature is the temperature that fits an evaluation best; nil where none can
// be fitted.
func fitTemperature(e *Evaluation) *float64 {
	t, fitted := e.Logits.FitTemperature()
	if !fitted {
		return nil
	}
	return &t
}

// evaluateChanged evaluates V with changed weights in their place; nil where there are
// none.
func evaluateChanged(ctx context.Context, m nn.Model, validation *cache, changed map[int][]float32) (*Evaluation, error) {
	if changed == nil {
		return nil, nil
	}
	weights := slices.Collect(maps.Keys(changed))
	treated, err := nn.Import(m, changed)
	if err != nil {
		return nil, err
	}
	defer treated.Free()
	defer nn.Restore(m, weights...)
	treated.Override(weights...)
	return validation.evaluate(ctx, 1, nil)
}

// trainingTemperature is what logits are divided by in a training, and for good.
// fitted is the temperature that fits V best, nil where there is none. Where none is
// best ([NoTemperature]) nothing is trained at it.
func (o *Options) trainingTemperature(fitted *float64, trains bool) (float64, error) {
	switch {
	case o.Temperature != 0:
		return o.Temperature, nil
	case fitted == nil:
		return 0, errors.New("no temperature can be fitted: logits of the validation set are not finite")
	case trains && !isBest(*fitted):
		return 1, nil
	}
	return *fitted, nil
}

// refits reports whether the temperature that fits the treated model is folded in,
// too. What lowers the error may leave any scale of the logits behind, and what is
// judged, with the best scale for each model, is then what is written.
func (o *Options) refits(own *float64, plan Plan) bool {
	return o.Goal == LowerError && o.Temperature == 0 && plan.trains() && own != nil && isBest(*own)
}

// scale multiplies weights by c: those that have changed, or the checkpoint's,
// which are then changed.
func scale(m nn.Model, changed map[int][]float32, weights []int, c float64) error {
	checkpoint, err := nn.Checkpoint(m, weights)
	if err != nil {
		return err
	}
	scaled, err := nn.NewVector(m, weights)
	if err != nil {
		return err
	}
	defer scaled.Free()
	if err := scaled.Copy(checkpoint); err != nil {
		return err
	}
	for _, w := range weights {
		if values, trained := changed[w]; trained {
			if err := scaled.SetValues(w, values); err != nil {
				return err
			}
		}
		if err := scaled.Scale(w, c); err != nil {
			return err
		}
		if changed[w], err = scaled.Values(w); err != nil {
			return err
		}
	}
	return nil
}

// storable returns weights as the file will give them back. An error says that it
// cannot hold one.
func storable(weights map[int][]float32, stored func(weight int, values []float32) ([]float32, error)) (map[int][]float32, error) {
	if stored == nil {
		return weights, nil
	}
	for w, values := range weights {
		v, err := stored(w, values)
		if err != nil {
			return nil, fmt.Errorf("the weights cannot be stored: %w", err)
		}
		weights[w] = v
	}
	return weights, nil
}
