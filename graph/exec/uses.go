package exec

// uses says of each value, by slot, how it is used.
type uses struct {
	readers    []int // how often it is read, by steps or from outside
	reader     []int // the last step that reads it
	computedBy []int // the step that does, -1 for an input, which is there from the start
}

func (p *Plan) uses() uses {
	u := uses{make([]int, len(p.values)), make([]int, len(p.values)), make([]int, len(p.values))}
	for slot := range u.computedBy {
		u.computedBy[slot] = -1
	}
	for _, n := range p.outputs {
		u.readers[p.slots[n]]++
	}
	for i, s := range p.steps {
		u.computedBy[s.out] = i
		if s.streamed {
			u.readers[s.out]++
		}
		for _, in := range s.in {
			u.readers[in]++
			u.reader[in] = i
		}
	}
	return u
}

// onlyReader returns the step that alone reads a value, once, if there is one.
func (u uses) onlyReader(slot int) (step int, ok bool) {
	i := u.reader[slot]
	return i, u.readers[slot] == 1 && i > u.computedBy[slot]
}

// source follows a value that has one reader, through views that have one, to the
// step that computes it.
func (p *Plan) source(u uses, slot int) (i int, views []int, ok bool) {
	for u.readers[slot] == 1 && u.computedBy[slot] >= 0 {
		i = u.computedBy[slot]
		if _, ok := p.steps[i].op.(view); !ok {
			return i, views, true
		}
		views, slot = append(views, i), p.steps[i].in[0]
	}
	return 0, nil, false
}

// remove takes the marked steps out of the plan.
func (p *Plan) remove(gone []bool) {
	steps := p.steps[:0]
	for i, s := range p.steps {
		if !gone[i] {
			steps = append(steps, s)
			p.arity = max(p.arity, len(s.in))
		}
	}
	p.steps = steps
}
