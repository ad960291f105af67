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
	cost := func(share []int) int {
		group := make([]Layer, len(share))
		for i, k := range share {
			group[i] = layers[k]
		}
		if len(group) == 0 {
			return costs.total(nil)
		}
		return costs.total([][]Layer{group})
	}
	// divide deals the layers out from the lowest, as many as a limit allows and as leave
	// one for each machine that is left, and reports whether that is all of them.
	divide := func(limit int) (shares [][]int, fits bool) {
		rest := visits
		for left := machines; left > 0; left-- {
			n := min(1, len(rest))
			for n < len(rest)-(left-1) && cost(rest[:n+1]) <= limit {
				n++
			}
			shares = append(shares, rest[:n])
			rest = rest[n:]
		}
		return shares, len(rest) == 0 && !slices.ContainsFunc(shares, func(s []int) bool { return cost(s) > limit })
	}
	whole := cost(visits)
	limit := sort.Search(whole, func(limit int) bool { _, fits := divide(limit); return fits })
	shares, _ := divide(limit)
	plan := make([]PlannedShare, machines)
	for i, share := range shares {
		plan[i] = PlannedShare{slices.Clone(share), float64(cost(share)) / float64(whole)}
	}
	return plan
}
