package pol

// progress turns work into calls of Options.Progress.
type progress struct {
	call        func(phase string, done, total int)
	phase       string
	done, total int
}

// begin starts a phase, whose work is counted in images.
func (p *progress) begin(phase string, total int) {
	p.phase, p.done, p.total = phase, 0, total
	p.report()
}

// add counts work.
func (p *progress) add(work int) {
	p.done += work
	p.report()
}

func (p *progress) report() {
	if p.call != nil && p.total > 0 {
		p.call(p.phase, p.done, p.total)
	}
}
