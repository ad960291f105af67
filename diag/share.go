package diag

import (
	"fmt"
	"slices"
	"sort"

	"github.com/modeldoctor/modeldoctor/nn"
)

// A Share is what [Measure] is to do of a diagnosis that several machines share. The
// zero value is all of it.
type Share struct {
	Layers []int // indices of the layers to measure, among those given; nil: all
	// Done, if not nil, is what an interrupted Measure of the same share has found: its
	// layers are not measured again. It is an error if it was measured on something else.
	Done *Findings
	// Measured, if not nil, is told after each layer what has been found so far. Its
	// error ends the measurement.
	Measured func(*Findings) error
}

// visits are the indices of the layers that are still to be measured, in the order in
// which the boundary moves.
func (s *Share) visits(layers []Layer) []int {
	return slices.DeleteFunc(measurable(layers), func(i int) bool {
		done := s.Done != nil && i < len(s.Done.Layers) && s.Done.Layers[i].Measured
		return done || s.Layers != nil && !slices.Contains(s.Layers, i)
	})
}

// resume takes over the layers that are done, once all else has been measured.
func (s *Share) resume(f *Findings) error {
	if s.Done == nil {
		return nil
	}
	if err := f.Join(s.Done); err != nil {
		return &ResumeError{err}
	}
	return nil
}

func (s *Share) measured(f *Findings) error {
	if s.Measured == nil {
		return nil
	}
	return s.Measured(f)
}

// ResumeError says why [Share.Done] cannot be gone on from.
type ResumeError struct{ err error }

func (e *ResumeError) Error() string {
	return fmt.Sprintf("what was measured before was measured on something else: %v", e.err)
}

func (e *ResumeError) Unwrap() error { return e.err }

// PlannedShare is a share of a diagnosis and what it is expected to cost, as a share of
// the cost of the whole on one machine.
type PlannedShare struct {
	Layers []int // indices among the layers given, ascending by what they cost: the highest layer last
	Cost   float64
}

// PlanShares divides the layers that can be measured among so many machines, so that
// the dearest share is as cheap as it can be with consecutive layers: a layer costs what
// lies above it, a share its layers, one sweep for their gradients from the lowest of
// them up, which is why they are consecutive, and one evaluation of all examples. The
// plan depends on nothing else than what is given. Where there are more machines than
// layers, some have none.
func PlanShares(m nn.Model, layers []Layer, examples int, opt Options, machines int) []PlannedShare {
	opt = opt.withDefaults()
	costs, visits := newCosts(m, examples, opt), measurable(layers)
	below := make([]int, len(visits)+1) // the cost of the layers before each, by themselves
	for i, k := range visits {
		below[i+1] = below[i] + costs.layer(layers[k].Neck)
	}
	// cost is what [costs.total] is of the visits from one on and before another, in one
	// sweep.
	cost := func(from, to int) int {
		if from == to {
			return costs.evaluation(0)
		}
		lowest, highest := layers[visits[from]].Neck, layers[visits[to-1]].Neck
		return costs.evaluation(0) + costs.gradients(lowest) + costs.advance(0, highest) + below[to] - below[from]
	}
	// divide deals the layers out from the lowest, as many as a limit allows and as leave
	// one for each machine that is left. It returns where each share ends, and whether
	// that is all of them.
	divide := func(limit int) (ends []int, fits bool) {
		from, fits := 0, true
		for left := machines; left > 0; left-- {
			to := min(from+1, len(visits))
			for to < len(visits)-(left-1) && cost(from, to+1) <= limit {
				to++
			}
			fits = fits && cost(from, to) <= limit
			ends = append(ends, to)
			from = to
		}
		return ends, fits && from == len(visits)
	}
	whole := cost(0, len(visits))
	limit := sort.Search(whole, func(limit int) bool { _, fits := divide(limit); return fits })
	ends, _ := divide(limit)
	plan, from := make([]PlannedShare, machines), 0
	for i, to := range ends {
		plan[i] = PlannedShare{slices.Clone(visits[from:to]), float64(cost(from, to)) / float64(whole)}
		from = to
	}
	return plan
}
