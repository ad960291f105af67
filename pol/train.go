package pol

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
)

// crossEntropy is the loss of everything but the update's gradient.
var crossEntropy metric.Loss

// trainer is the state of one treatment.
type trainer struct {
	model Model
	data  Data
	plan  Plan
	opt   Options
	invT  float64 // 1/temperature that every loss is taken at

	neck       int // below every weight that changes
	train      *cache
	validation *cache

	update    group
	displaced *displacement // nil: nothing is perturbed
	current   [][]float32   // by weight; nil where it is the checkpoint's
	sums      [][]float32   // the update's gradient, by place in the group
	optimiser *optimiser
	best      [][]float32 // weights of the best epoch, by place in the group
	epochs    []Epoch

	perturbBatch int     // examples of a perturbation
	scale        float64 // c* of the last scan; 0: none
	sinceScan    int     // steps that have used it
	evaluations  int     // losses of a perturbation's batch in scans
	scanTime     time.Duration

	draws    *draws
	batchIn  []float32 // activations of one batch at the neck
	batchOut []float32 // and of one at a later neck
	entering []float32 // activations of a perturbation's batch at the neck below P
	labels   []int     // and their labels
	losses   []float64 // of as many examples as were asked for
	progress progress
}

// A divergence ends a training whose loss is no longer finite, or whose weights
// cannot be stored.
type divergence struct{ what string }

func (d *divergence) Error() string { return d.what }

// likeWeights returns room for a value of every weight of a group.
func likeWeights(m Model, g group) [][]float32 {
	room := make([][]float32, len(g.weights))
	for i, w := range g.weights {
		room[i] = make([]float32, len(m.Weight(w)))
	}
	return room
}

// prepare makes room for the training.
func (t *trainer) prepare() {
	t.update = newGroup(t.model, t.plan.Update...)
	perturbed := newGroup(t.model, t.plan.Perturb...)
	if !perturbed.empty() {
		t.displaced = newDisplacement(t.model, perturbed)
	}
	t.current = make([][]float32, highest(t.update, perturbed)+1)
	var weights [][]float32
	for _, w := range t.update.weights {
		t.current[w] = append([]float32(nil), t.model.Weight(w)...)
		weights = append(weights, t.current[w])
	}
	t.sums = likeWeights(t.model, t.update)
	t.best = likeWeights(t.model, t.update)
	t.optimiser = newOptimiser(&t.opt, weights)
	t.perturbBatch = min(t.opt.PerturbBatch, t.images())
}

// highest is the highest number of a weight in the groups.
func highest(groups ...group) int {
	top := 0
	for _, g := range groups {
		if !g.empty() {
			top = max(top, g.weights[len(g.weights)-1])
		}
	}
	return top
}

// trains reports whether any layer is updated.
func (t *trainer) trains() bool { return len(t.plan.Update) > 0 }

func (t *trainer) images() int { return t.data.images(t.trains()) }

// steps is the number of steps of an epoch.
func (t *trainer) steps() int { return t.images() / t.opt.Batch }

// value is a weight as it is now, not displaced.
func (t *trainer) value(w int) []float32 {
	if v := t.current[w]; v != nil {
		return v
	}
	return t.model.Weight(w)
}

// run trains for all epochs that are left. A divergence ends it early and is
// returned as such.
func (t *trainer) run(ctx context.Context) error {
	for _, w := range t.update.weights {
		t.model.Override(w, t.current[w])
	}
	for epoch := len(t.epochs); epoch < t.opt.Epochs; epoch++ {
		record, err := t.epoch(ctx, epoch)
		if err != nil {
			return err
		}
		t.epochs = append(t.epochs, record)
		if t.bestEpoch() == epoch {
			for i, w := range t.update.weights {
				copy(t.best[i], t.current[w])
			}
		}
		if t.opt.Save != nil {
			if err := t.opt.Save(t.state()); err != nil {
				return err
			}
		}
	}
	return nil
}

// validateStored evaluates V with the updated weights as the file would hold
// them. The training goes on with the weights as they are: on the coarse grid of
// a quantised tensor, or in halves, small steps would vanish. Weights that the
// file cannot hold, such as those beyond the range of its halves, are a
// divergence.
func (t *trainer) validateStored(ctx context.Context, epoch int) (*Evaluation, error) {
	defer func() {
		for _, w := range t.update.weights {
			t.model.Override(w, t.current[w])
		}
	}()
	for _, w := range t.update.weights {
		if t.opt.Stored == nil {
			break
		}
		stored, err := t.opt.Stored(w, t.current[w])
		if err != nil {
			return nil, &divergence{fmt.Sprintf("epoch %d: the weights cannot be stored: %v", epoch+1, err)}
		}
		t.model.Override(w, stored)
	}
	return t.validate(ctx, t.invT)
}

// bestEpoch is the epoch with the lowest loss on V, the first among equals; -1
// where there is none.
func (t *trainer) bestEpoch() int {
	best := -1
	for i, e := range t.epochs {
		if best < 0 || e.Validation.Loss < t.epochs[best].Validation.Loss {
			best = i
		}
	}
	return best
}

// epoch makes the steps of one epoch and evaluates V. Epochs count from 0.
func (t *trainer) epoch(ctx context.Context, epoch int) (Epoch, error) {
	record := Epoch{Number: epoch + 1, Steps: t.steps()}
	t.progress.resume(fmt.Sprintf("epoch %d of %d", epoch+1, t.opt.Epochs), epoch*record.Steps, t.opt.Epochs*record.Steps)
	t.draws = newDraws(t.opt.Seed, epoch, t.images(), t.data.views())
	t.scale = 0 // so that an epoch does not depend on the one before
	start := time.Now()
	scanned, evaluations := t.scanTime, t.evaluations
	var loss float64
	for step := range record.Steps {
		l, accepted, err := t.step(ctx, epoch*record.Steps+step, t.draws.updateBatch(step, t.opt.Batch))
		if err != nil {
			return record, at(err, epoch, step)
		}
		if !accepted {
			record.Rejected++
		}
		loss += l
		t.progress.add(1)
	}
	record.Duration = time.Since(start)
	record.Scanning = t.scanTime - scanned
	record.Evaluations = t.evaluations - evaluations
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

// step makes one step of the recipe: displace the perturbed weights, take the
// update's gradient there, put the perturbed weights back, update. It returns
// the loss of the batch at the displaced weights.
func (t *trainer) step(ctx context.Context, number int, batch []int) (loss float64, accepted bool, err error) {
	if t.displaced != nil {
		if accepted, err = t.perturb(ctx, batch); err != nil || !accepted {
			return 0, false, err
		}
	}
	loss, err = t.gradient(ctx, t.opt.Loss, &t.update, t.sums, batch, nil)
	if t.displaced != nil {
		t.displaced.restore(t)
	}
	if err != nil {
		return 0, false, err
	}
	rate := t.opt.rate(number, t.opt.Epochs*t.steps())
	for i, w := range t.update.weights {
		t.optimiser.step(i, t.current[w], t.sums[i], 1/float64(len(batch)), rate)
	}
	return loss, true, nil
}

// gradient sums a loss's gradient with respect to a group's weights over
// entries of the training set, and returns the mean loss. keep, if not nil, is
// given the entries at the neck below the group, a batch at a time; done counts
// those before. A loss that is not finite is a divergence.
func (t *trainer) gradient(ctx context.Context, loss metric.Loss, of *group, sums [][]float32, entries []int, keep func(in []float32, labels []int, done int)) (mean float64, err error) {
	clearAll(sums)
	add := accumulate(of, sums)
	total := 0.0
	err = t.eachBatch(ctx, t.train, entries, of.neck, func(in []float32, labels []int, done int) error {
		if keep != nil {
			keep(in, labels, done)
		}
		losses := t.losses[:len(labels)]
		if err := t.model.LossGradients(ctx, loss, of.neck, in, labels, t.invT, of.weights, losses, add); err != nil {
			return err
		}
		for _, l := range losses {
			total += l
		}
		return nil
	})
	mean = total / float64(len(entries))
	if err == nil && !metric.IsFinite(mean) {
		err = &divergence{"the loss of a batch is not finite"}
	}
	return mean, err
}

// enterPerturbed brings entries of the training set to the neck below the
// perturbed weights, keeps them there, and takes the gradient and the mean of
// their cross-entropies.
func (t *trainer) enterPerturbed(ctx context.Context, entries []int) (mean float64, err error) {
	size := t.model.NeckElements(t.displaced.neck)
	if t.entering == nil {
		t.entering = make([]float32, t.perturbBatch*size)
	}
	t.labels = t.labels[:0]
	return t.gradient(ctx, crossEntropy, &t.displaced.group, t.displaced.sums, entries, func(in []float32, labels []int, done int) {
		copy(t.entering[done*size:], in)
		t.labels = append(t.labels, labels...)
	})
}

// perturbedLoss is the mean cross-entropy, at the weights that the model has, of
// the entries that enterPerturbed has kept.
func (t *trainer) perturbedLoss(ctx context.Context) (float64, error) {
	neck := t.displaced.neck
	size := t.model.NeckElements(neck)
	total := 0.0
	for lo := 0; lo < len(t.labels); lo += t.model.Batch() {
		hi := min(lo+t.model.Batch(), len(t.labels))
		losses := t.losses[:hi-lo]
		if err := t.model.Evaluate(ctx, neck, t.entering[lo*size:hi*size], t.labels[lo:hi], t.invT, losses, nil); err != nil {
			return 0, err
		}
		for _, l := range losses {
			total += l
		}
	}
	return total / float64(len(t.labels)), nil
}

// eachBatch brings entries of a cache's set to a neck, a batch at a time, with
// the weights as they are. done counts the entries before the batch. What do is
// given is valid during the call.
func (t *trainer) eachBatch(ctx context.Context, from *cache, entries []int, neck int, do func(in []float32, labels []int, done int) error) error {
	size := t.model.NeckElements(neck)
	if need := t.model.Batch() * size; neck > t.neck && len(t.batchOut) < need {
		t.batchOut = make([]float32, need)
	}
	for lo := 0; lo < len(entries); lo += t.model.Batch() {
		some := entries[lo:min(lo+t.model.Batch(), len(entries))]
		in := t.batchIn[:len(some)*from.size]
		labels, err := from.gather(ctx, some, in)
		if err != nil {
			return err
		}
		if neck > t.neck {
			out := t.batchOut[:len(some)*size]
			if err := t.model.Advance(ctx, t.neck, neck, in, out); err != nil {
				return err
			}
			in = out
		}
		if err := do(in, labels, lo); err != nil {
			return err
		}
	}
	return nil
}

// validate evaluates V with the weights as they are.
func (t *trainer) validate(ctx context.Context, invT float64) (*Evaluation, error) {
	n := t.data.Validation.Len()
	e := newEvaluation(t.model.Classes(), n)
	err := t.eachBatch(ctx, t.validation, consecutive(0, n), t.neck, func(in []float32, labels []int, _ int) error {
		return e.add(ctx, t.model, t.neck, in, labels, invT)
	})
	return e, err
}

// accumulate returns a sink that adds gradients to sums, by place in the group.
func accumulate(g *group, sums [][]float32) func(weight int, gradient []float32) error {
	place := make(map[int]int, len(g.weights))
	for i, w := range g.weights {
		place[w] = i
	}
	return func(weight int, gradient []float32) error {
		sum := sums[place[weight]]
		gradient = gradient[:len(sum)]
		for j, x := range gradient {
			sum[j] += x
		}
		return nil
	}
}

func clearAll(arrays [][]float32) {
	for _, a := range arrays {
		clear(a)
	}
}
