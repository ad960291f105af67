package exec

import (
	"cmp"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// A Profile adds up what a machine's steps take, by operation.
type Profile struct{ work map[kind]*Work }

// kind is what steps are told apart by.
type kind struct {
	name     string
	gradient bool
}

// Work is what all steps of one kind took.
type Work struct {
	Op       string // its name, see op.Op
	Gradient bool   // of a backward pass, not of a forward one
	Calls    int
	Time     time.Duration
	FLOPs    int64 // by op.Counted; 0 where there are no products
}

// Work is that of each kind, what took longest first.
func (p *Profile) Work() []Work {
	var all []Work
	for _, w := range p.work {
		all = append(all, *w)
	}
	slices.SortFunc(all, func(a, b Work) int {
		order := func(w Work) int { // forward comes first
			if w.Gradient {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.Op, b.Op), cmp.Compare(order(a), order(b)))
	})
	return all
}

// add counts a step that took a time, for all images or a group of them.
func (p *Profile) add(s *step, in []op.Array, took time.Duration, group int) {
	k := kind{s.op.Name(), s.gradient}
	w := p.work[k]
	if w == nil {
		if p.work == nil {
			p.work = map[kind]*Work{}
		}
		w = &Work{Op: k.name, Gradient: k.gradient}
		p.work[k] = w
	}
	if group == 0 {
		w.Calls++
	}
	w.Time += took
	if o, ok := s.op.(op.Counted); ok {
		types := make([]op.Type, len(in))
		for i, a := range in {
			types[i] = a.Type
		}
		w.FLOPs += o.FLOPs(types)
	}
}
