package pol

import (
	"context"
	"errors"
	"slices"

	"github.com/modeldoctor/modeldoctor/nn"
)

// sets are T and V at a neck below everything that a plan changes or perturbs.
type sets struct {
	neck       int
	train      *cache // nil: nothing is trained
	validation *cache
}

// openSets returns the sets of some plans, not filled yet, once the examples have been
// checked. They begin at the lowest neck that a plan needs, and can be raised to those
// of the others.
func openSets(m nn.Model, data Data, opt *Options, plans ...Plan) (*sets, error) {
	var necks []int
	trains := false
	for _, plan := range plans {
		trains = trains || plan.trains()
		if plan.Recipe.Rule == Search && opt.PerturbBatch < 1 {
			panic("pol: a perturbation without examples")
		}
		necks = append(necks, plan.neck(m, opt))
	}
	if err := data.Check(m, opt.Batch, trains); err != nil {
		return nil, err
	}
	if trains && (opt.Batch < 1 || opt.Epochs < 1) {
		panic("pol: a training without epochs or examples")
	}
	if trains && opt.Rate == 0 && opt.RateFactor <= 0 {
		panic("pol: a training without a rate")
	}
	slices.Sort(necks)
	left := room{opt.Memory, opt.HostMemory}
	open := func(name string, examples nn.Examples) (c *cache) {
		if opt.NoCache {
			return newCache(m, name, examples, necks[0])
		}
		c, left = newKeptCache(m, name, examples, necks, left, opt.TempDir)
		return c
	}
	s := &sets{neck: necks[0]}
	if trains {
		s.train = open("training example", data.Train)
	}
	s.validation = open("validation example", data.Validation)
	return s, nil
}

// neck is the highest neck below everything that a plan changes or perturbs.
func (p Plan) neck(m nn.Model, opt *Options) int {
	touched := slices.Concat(p.Perturb, p.Update)
	if opt.calibrated() {
		if len(opt.Classifier.Weights) == 0 {
			panic("pol: a temperature without a classifier to fold it into")
		}
		touched = append(touched, opt.Classifier)
	}
	neck := newGroup(m, touched...).neck
	if len(touched) == 0 {
		neck = m.Necks() - 2
	}
	return neck
}

// caches lists the sets that there are.
func (s *sets) caches() []*cache {
	if s.train == nil {
		return []*cache{s.validation}
	}
	return []*cache{s.validation, s.train}
}

// fill computes what is to be kept.
func (s *sets) fill(ctx context.Context, p *progress) error {
	total := 0
	for _, c := range s.caches() {
		if c.kept {
			total += c.examples.Len()
		}
	}
	p.begin(PhaseCache, total)
	for _, c := range s.caches() {
		if err := c.fill(ctx, p.add); err != nil {
			return err
		}
	}
	return nil
}

// used describes what is kept.
func (s *sets) used() Cache {
	used := Cache{Neck: s.neck}
	for _, c := range s.caches() {
		bytes, in := c.all.Held()
		used.Bytes += bytes
		used.Place = max(used.Place, in)
	}
	return used
}

// close frees what is kept.
func (s *sets) close() error {
	var err error
	for _, c := range s.caches() {
		err = errors.Join(err, c.close())
	}
	return err
}
