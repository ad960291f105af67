package pol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// trainer makes the steps of a training, and keeps the epoch that is best on V.
type trainer struct {
	model      nn.Model
	opt        *Options
	identity   map[string]string // what the bits depend on
	images     int               // in T
	views      int               // of each
	validation *cache

	objective  *objective
	parameters *parameters
	perturber  *perturber // nil: nothing is perturbed
	momentum   *nn.Vector // the optimiser's buffers
	sum        *nn.Vector // the update's gradient
	best       *nn.Vector // weights of the best epoch
	pacer      *pacer     // nil: the rate is given
	mixer      *mixer     // nil: images are as they are
	epochs     []Epoch
}

func newTrainer(m nn.Model, data *Data, plan Plan, opt *Options, s *sets, invT float64) (t *trainer, err error) {
	update, perturb := newGroup(m, plan.Update...), newGroup(m, plan.Perturb...)
	t = &trainer{
		model: m, opt: opt, identity: identityOf(m, data, plan, opt),
		images: data.images(true), views: data.views(), validation: s.validation,
		objective: &objective{train: s.train, invT: invT},
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	if t.parameters, err = newParameters(m, update); err != nil {
		return t, err
	}
	for _, v := range []**nn.Vector{&t.momentum, &t.sum, &t.best} {
		if *v, err = nn.NewVector(m, update.weights); err != nil {
			return t, err
		}
	}
	if opt.Mix > 0 {
		t.mixer = &mixer{opt.Mix, nn.NewActivations(m)}
	}
	if plan.Recipe.Rule != Unperturbed {
		d, err := newDisplacement(t.parameters, perturb)
		if err != nil {
			return t, err
		}
		entering := nn.NewActivations(m)
		t.perturber = &perturber{
			displacement: d, objective: t.objective, rule: plan.Recipe.Rule, entering: entering, trials: nn.NewTrials(entering),
			rho: opt.Rho, gammaMax: opt.GammaMax, every: opt.PerturbEvery, batch: min(opt.PerturbBatch, t.images),
		}
		s.train.keepSome(opt.Batch + t.perturber.drawn())
	}
	return t, nil
}

// close frees what the training takes. The model must not use its weights any
// longer.
func (t *trainer) close() error {
	for _, v := range []*nn.Vector{t.momentum, t.sum, t.best} {
		v.Free()
	}
	if t.parameters != nil {
		t.parameters.values.Free()
	}
	if t.pacer != nil {
		t.pacer.previous.Free()
	}
	var err error
	if t.mixer != nil {
		err = t.mixer.partners.Close()
	}
	if t.perturber == nil {
		return err
	}
	return errors.Join(err, t.perturber.close())
}

// steps is the number of steps of an epoch.
func (t *trainer) steps() int { return t.images / t.opt.Batch }

// draws are the random numbers of an epoch, which counts from 0.
func (t *trainer) draws(epoch int) *draws { return newDraws(t.opt.Seed, epoch, t.images, t.views) }

// run trains for all epochs that are left. A divergence ends it early and is
// returned as such.
func (t *trainer) run(ctx context.Context, p *progress) error {
	t.parameters.install(t.parameters.weights)
	for len(t.epochs) < t.opt.Epochs {
		epoch := len(t.epochs)
		record, err := t.epoch(ctx, epoch, p)
		if t.pacer != nil && t.pacer.harmful(record, err) {
			if err := t.pacer.restart(t); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		t.epochs = append(t.epochs, record)
		if t.bestEpoch() == epoch {
			if err := t.best.Copy(t.parameters.values); err != nil {
				return err
			}
		}
		if t.opt.Save != nil {
			state, err := t.state()
			if err != nil {
				return err
			}
			if err := t.opt.Save(state); err != nil {
				return err
			}
		}
	}
	return nil
}

// bestEpoch is the epoch that is best on V for the goal, the first among equals; -1
// where there is none.
func (t *trainer) bestEpoch() int {
	best := -1
	for i, e := range t.epochs {
		if best < 0 || t.opt.Goal.better(e.Validation, t.epochs[best].Validation) {
			best = i
		}
	}
	return best
}

// epoch makes the steps of one epoch and evaluates V. Epochs count from 0.
func (t *trainer) epoch(ctx context.Context, epoch int, p *progress) (Epoch, error) {
	record := Epoch{Number: epoch + 1, Steps: t.steps()}
	p.begin(fmt.Sprintf("epoch %d of %d", epoch+1, t.opt.Epochs), record.Steps*t.opt.Batch)
	d := t.draws(epoch)
	t.perturber.begin()
	t.pacer.begin()
	start := time.Now()
	var loss float64
	next := d.step(0, t.opt.Batch, t.perturber.drawn())
	for step := range record.Steps {
		batch := next
		if next = (stepEntries{}); step+1 < record.Steps {
			next = d.step(step+1, t.opt.Batch, t.perturber.drawn())
		}
		l, accepted, err := t.step(ctx, d, epoch*record.Steps+step, batch, next)
		if err != nil {
			return record, at(err, epoch, step)
		}
		if !accepted {
			record.Rejected++
		}
		loss += l
		p.add(t.opt.Batch)
	}
	record.Duration = time.Since(start)
	record.Rate = t.pacer.rate(t.opt.Rate)
	scan := t.perturber.scanned()
	record.Scanning, record.Evaluations = scan.time, scan.evaluations
	if accepted := record.Steps - record.Rejected; accepted > 0 {
		record.TrainLoss = metric.Finite(loss / float64(accepted))
	}
	after, err := t.validateStored(ctx, epoch)
	if err != nil {
		return record, err
	}
	record.Validation = after.Figures()
	if !metric.IsFinite(record.Validation.Loss) {
		return record, at(&divergence{"the validation loss is not finite"}, epoch, record.Steps)
	}
	return record, nil
}

// at says when a training diverged, and leaves other errors as they are.
func at(err error, epoch, step int) error {
	var d *divergence
	if errors.As(err, &d) {
		return &divergence{fmt.Sprintf("epoch %d, after %d steps: %s", epoch+1, step, d.what)}
	}
	return err
}

// step makes one step of the recipe: take the update's gradient, and update. It
// returns the loss of the batch at the displaced weights. Steps are numbered from 0
// through all epochs. next are the entries of the step that follows, if any does.
func (t *trainer) step(ctx context.Context, d *draws, number int, batch, next stepEntries) (loss float64, accepted bool, err error) {
	loss, before, accepted, err := t.gradient(ctx, d, batch, next)
	if t.pacer != nil {
		for t.pacer.rose(before, err) {
			if err := t.pacer.undo(t); err != nil {
				return 0, false, err
			}
			loss, before, accepted, err = t.gradient(ctx, d, batch, next)
		}
		if err == nil && accepted {
			err = t.pacer.remember(t)
		}
	}
	if err != nil || !accepted {
		return 0, false, err
	}
	err = t.parameters.values.SGD(t.momentum, t.sum, nn.SGD{
		Scale: 1 / float64(len(batch.update)), Rate: t.opt.scheduled(t.pacer.rate(t.opt.Rate), number, t.opt.Epochs*t.steps()),
		Momentum: t.opt.Momentum, Decay: t.opt.WeightDecay,
	})
	return loss, err == nil, err
}

// gradient displaces the perturbed weights, takes the update's gradient there, and
// puts the perturbed weights back. It returns the loss of the batch at the displaced
// weights, and one with the weights as they are, of that or the perturbation's batch (0: there is none). next
// are the entries of the step that follows, if any does.
func (t *trainer) gradient(ctx context.Context, d *draws, batch, next stepEntries) (loss, before float64, accepted bool, err error) {
	if err := t.objective.train.want(ctx, batch.all(), next.all()); err != nil {
		return 0, 0, false, err
	}
	if t.perturber != nil {
		before, accepted, err = t.perturber.perturb(ctx, d, batch)
		if err != nil || !accepted {
			return 0, before, false, err
		}
	}
	var mix func(*nn.Activations) error
	if t.mixer != nil {
		mix = func(a *nn.Activations) error { return t.mixer.mix(ctx, d.mix, a) }
	}
	loss, err = t.objective.gradient(ctx, t.opt.Loss, t.parameters.group, t.sum, batch.update, next.first(), mix)
	switch {
	case t.perturber != nil:
		t.perturber.restore()
	case t.mixer == nil: // else the loss depends on λ more than on the weights
		before = loss
	}
	return loss, before, err == nil, err
}

// validateStored evaluates V with the updated weights as the file would hold
// them. The training goes on with the weights as they are: on the coarse grid of
// a quantised tensor, or in halves, small steps would vanish. Weights that the
// file cannot hold, such as those beyond the range of its halves, are a
// divergence.
func (t *trainer) validateStored(ctx context.Context, epoch int) (*Evaluation, error) {
	if t.opt.Stored != nil {
		values, err := valuesOf(t.parameters.values, t.parameters.weights)
		if err != nil {
			return nil, err
		}
		for w, v := range values {
			if values[w], err = t.opt.Stored(w, v); err != nil {
				return nil, &divergence{fmt.Sprintf("epoch %d: the weights cannot be stored: %v", epoch+1, err)}
			}
		}
		stored, err := nn.Import(t.model, values)
		if err != nil {
			return nil, err
		}
		defer stored.Free()
		stored.Override(t.parameters.weights...)
		defer t.parameters.install(t.parameters.weights)
	}
	return t.validation.evaluate(ctx, t.objective.invT, nil)
}

// bestWeights are the values of the best epoch, by weight; nil where there is no
// epoch. They are valid as long as the training is.
func (t *trainer) bestWeights() (map[int][]float32, error) {
	if t.bestEpoch() < 0 {
		return nil, nil
	}
	return valuesOf(t.best, t.parameters.weights)
}

// valuesOf are the values of a vector, by weight, as [nn.Vector.Values] gives them.
func valuesOf(v *nn.Vector, weights []int) (map[int][]float32, error) {
	all := make(map[int][]float32, len(weights))
	for _, w := range weights {
		values, err := v.Values(w)
		if err != nil {
			return nil, err
		}
		all[w] = values
	}
	return all, nil
}
