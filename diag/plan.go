package diag

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/modeldoctor/modeldoctor/nn"
)

// The rule by which [Pace.Plan] spends a time.
const (
	enoughExamples   = 1000 // with so many, all layers are searched rather than some on more
	soughtExamples   = 200  // so many are taken, if that leaves time to search a layer
	gradientTimePart = 0.5  // of the time, for all that comes before the searches of a race
)

// A Pace is how long a model takes for one batch.
type Pace struct {
	Batch     int           // examples in a batch; a smaller one takes as long
	Forward   time.Duration // to read a batch and evaluate it, from the images on
	Gradients time.Duration // of as many layers as are taken together, from the images on
}

// MeasurePace measures one batch of the examples, of which there may be fewer. If that
// was done within the patience it is done twice, since the first batch is slower. Of the
// options those count that do for [Pace.Plan].
func MeasurePace(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, opt Options, patience time.Duration) (pace Pace, err error) {
	if err := validate(m, v, layers); err != nil {
		return pace, err
	}
	order := make([]int, min(m.Batch(), v.Len()))
	for i := range order {
		order[i] = i
	}
	var together []Layer
	if groups := newSpending(m, layers, opt).groups(); len(groups) > 0 {
		together = groups[0]
	}
	sum, err := nn.NewVector(m, weightsOf(together))
	if err != nil {
		return pace, err
	}
	defer sum.Free()
	pace, err = timeBatch(ctx, m, v, order, sum)
	if err == nil && pace.Forward+pace.Gradients <= patience {
		pace, err = timeBatch(ctx, m, v, order, sum)
	}
	return pace, err
}

// timeBatch measures the examples of the order, a batch at most.
func timeBatch(ctx context.Context, m nn.Model, v nn.Examples, order []int, sum *nn.Vector) (pace Pace, err error) {
	e := &evaluator{model: m, boundary: nn.Open(m, v, order, nn.Holding{Images: true}), progress: &progress{}, invT: 1}
	defer func() { err = errors.Join(err, e.boundary.Close()) }()
	pace.Batch = m.Batch()
	began := time.Now()
	if err := e.boundary.Load(ctx, func(int) {}); err != nil {
		return pace, err
	}
	if err := e.losses(ctx, 0, make([]float64, len(order)), nil); err != nil {
		return pace, err
	}
	pace.Forward = time.Since(began)
	began = time.Now()
	err = e.gradients(ctx, 0, len(order), sum)
	pace.Gradients = time.Since(began)
	return pace, err
}

// A Plan is how much of a diagnosis a time allows.
type Plan struct {
	Examples int
	Race     bool // whether only some layers can be searched
	Layers   int  // that are expected to be
	Expected time.Duration
}

// Plan spends a time on up to n examples:
//
//  1. If it suffices to search all layers on all examples, that is done, and on as many
//     as it suffices for where these are at least 1,000.
//  2. Else the layers race. Half of the time, or less if one layer would not fit into the
//     rest, is for the gradients and forecasts of all layers, which says how many
//     examples there are: at least 200, if there is then time to search the layer for
//     which that takes longest.
//  3. Searching all layers is preferred where that leaves no fewer examples.
//  4. There are at least [MinTransferExamples], however short the time is.
//
// Fewer than all examples are a multiple of four batches, so that those of the folds are
// full. Only Direction, DescentSteps, Memory and whether there are Training examples, of
// which as many are taken, count among the options.
func (p Pace) Plan(m nn.Sizes, layers []Layer, n int, opt Options, within time.Duration) Plan {
	s := newSpending(m, layers, opt)
	s.Pace = p
	if len(s.layers) == 0 {
		return Plan{Examples: n}
	}
	whole := s.most(n, within, s.all)
	if whole == n || whole >= enoughExamples {
		return Plan{whole, false, len(s.layers), s.all(whole)}
	}
	racing := min(
		s.most(n, time.Duration(gradientTimePart*float64(within)), s.ranking),
		s.most(n, within, func(n int) time.Duration { return s.ranking(n) + s.average(n) }))
	if enough := s.atLeast(n, soughtExamples); enough > racing && s.ranking(enough)+s.dearest(enough) <= within {
		racing = enough
	}
	racing = max(racing, s.atLeast(n, MinTransferExamples))
	if whole >= racing {
		return Plan{whole, false, len(s.layers), s.all(whole)}
	}
	left := within - s.ranking(racing)
	searched := min(max(1, int(left/max(s.average(racing), 1))), len(s.layers))
	return Plan{racing, len(s.layers) > 1, searched, s.ranking(racing) + time.Duration(searched)*s.average(racing)}
}

// spending is what parts of a diagnosis are expected to take.
type spending struct {
	Pace
	model  nn.Sizes
	layers []Layer // in the order of their necks
	opt    Options
}

func newSpending(m nn.Sizes, layers []Layer, opt Options) *spending {
	s := &spending{model: m, opt: opt.withDefaults()}
	for _, k := range measurable(layers) {
		s.layers = append(s.layers, layers[k])
	}
	return s
}

// step is the number of examples whose folds are full batches.
func (s *spending) step() int { return foldCount * s.Batch }

// most is the largest number of examples, of n, with which something is done within a
// time; 0 if there is none.
func (s *spending) most(n int, within time.Duration, cost func(int) time.Duration) int {
	if cost(n) <= within {
		return n
	}
	fits := 0
	for least, steps := 1, (n-1)/s.step(); least <= steps; {
		middle := (least + steps + 1) / 2
		if cost(middle*s.step()) <= within {
			fits, least = middle, middle+1
		} else {
			steps = middle - 1
		}
	}
	return fits * s.step()
}

// atLeast is a number of examples, of n, that is no less than the least.
func (s *spending) atLeast(n, least int) int {
	return min(n, (least+s.step()-1)/s.step()*s.step())
}

// costs are those of so many examples, with the room that full batches leave.
func (s *spending) costs(n int) costs {
	c := newCosts(s.model, n, s.opt)
	c.examples = s.atLeast(math.MaxInt, n)
	if s.opt.Training != nil {
		c.training = c.examples
	}
	return c
}

// forward is what so much takes, in the unit of progress.
func (s *spending) forward(units int) time.Duration {
	return time.Duration(float64(s.Forward) * float64(units) / float64(s.Batch*(s.model.Necks()-1)))
}

// sweeps is what all gradients take, from the neck of each group on, or all from one.
func (s *spending) sweeps(c costs, from func(group []Layer) int) time.Duration {
	units := 0
	for _, group := range s.groups() {
		units += c.evaluation(from(group))
	}
	return time.Duration(float64(s.Gradients) * float64(units) / float64(s.Batch*(s.model.Necks()-1)))
}

// groups are the layers whose gradients are taken together: of the memory half is for
// activations.
func (s *spending) groups() [][]Layer {
	memory := int64(math.MaxInt64)
	if s.opt.Memory > 0 {
		memory = halfOf(s.opt.Memory)
	}
	vectors := foldCount
	if s.opt.Training != nil {
		vectors++
	}
	return sweepGroups(s.model, s.layers, vectors, memory)
}

// all is what a diagnosis of all layers takes.
func (s *spending) all(n int) time.Duration {
	c := s.costs(n)
	searches := c.evaluation(0) + c.advance(0, s.layers[len(s.layers)-1].Neck)
	for _, l := range s.layers {
		searches += c.layer(l.Neck)
	}
	return s.forward(searches) + s.sweeps(c, func(group []Layer) int { return group[0].Neck })
}

// ranking is what a race takes until layers are chosen.
func (s *spending) ranking(n int) time.Duration {
	c, lowest := s.costs(n), s.layers[0].Neck
	return s.forward(c.evaluation(0)+c.advance(0, lowest)+c.probes(s.layers, 0)) + s.sweeps(c, func([]Layer) int { return lowest })
}

// average is what searching a layer takes in a race, half of the way to the last.
func (s *spending) average(n int) time.Duration {
	total := time.Duration(0)
	for _, l := range s.layers {
		total += s.search(n, l)
	}
	return total / time.Duration(len(s.layers))
}

// dearest is what searching the layer takes that costs most.
func (s *spending) dearest(n int) (most time.Duration) {
	for _, l := range s.layers {
		most = max(most, s.search(n, l))
	}
	return most
}

// search is what searching one layer takes in a race.
func (s *spending) search(n int, l Layer) time.Duration {
	c := s.costs(n)
	return s.forward(c.layer(l.Neck) + c.advance(s.layers[0].Neck, l.Neck))
}
