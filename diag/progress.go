package diag

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/nn"
)

// What the parts of a measurement are expected to cost, in evaluations of all
// examples, as measured on the reference model.
const (
	searchCost   = 3 // to find the step
	transferCost = 3 // four searches and four gains, a quarter of the examples each
	gradientCost = 3 // of a forward and backward pass, in forward passes
)

// progress turns work into calls of Options.Progress. Its unit is one example
// through one stage. Each phase has an expected amount: work beyond it is not
// counted, and what is missing at its end is made up for, so that the total
// stays what it was.
type progress struct {
	call     func(phase string, done, total int)
	phase    string
	begun    int // phases, this one included
	phases   int // of the whole diagnosis
	total    int
	done     int // before the phase
	expected int // of the phase
	work     int // in the phase
}

// begin ends the phase before and starts another.
func (p *progress) begin(phase string, expected int) {
	p.done += p.expected
	p.begun++
	p.phase, p.expected, p.work = fmt.Sprintf("%d/%d %s", p.begun, p.phases, phase), expected, 0
	p.report()
}

// end ends the last phase.
func (p *progress) end() {
	p.done += p.expected
	p.expected, p.work = 0, 0
	p.report()
}

// add counts work.
func (p *progress) add(work int) {
	p.work = min(p.work+work, p.expected)
	p.report()
}

func (p *progress) report() {
	if p.call != nil {
		p.call(p.phase, p.done+p.work, p.total)
	}
}

// costs are what the phases of a diagnosis are expected to cost, in the unit of
// progress.
type costs struct {
	examples int
	training int // number of training examples
	logits   int // the last neck
	perLayer int // evaluations of all examples for a layer
}

func newCosts(m nn.Sizes, examples int, opt Options) costs {
	c := costs{examples: examples, logits: m.Necks() - 1, perLayer: searchCost}
	if opt.Direction == Descent {
		c.perLayer = opt.DescentSteps * (searchCost + gradientCost)
	}
	if examples >= MinTransferExamples {
		c.perLayer += transferCost
	}
	if opt.Training != nil {
		c.training = opt.Training.Len()
	}
	return c
}

// advance is that of moving the boundaries.
func (c costs) advance(from, to int) int { return (c.examples + c.training) * (to - from) }

// evaluation is that of the loss of all examples from a neck on.
func (c costs) evaluation(neck int) int { return (c.examples + c.training) * (c.logits - neck) }

// gradients is that of one sweep from a neck on.
func (c costs) gradients(neck int) int { return gradientCost * c.evaluation(neck) }

// layer is that of measuring a layer that starts at a neck: the training examples
// are evaluated once.
func (c costs) layer(neck int) int {
	return (c.perLayer*c.examples + c.training) * (c.logits - neck)
}

// phases is how many phases a diagnosis has which visits the layers group by group.
func phases(groups [][]Layer) int {
	n := 1 // the loss
	for _, group := range groups {
		n += 1 + len(group) // the gradients
	}
	return n
}

// total is that of a diagnosis which visits the layers group by group.
func (c costs) total(groups [][]Layer) int {
	total, at := c.evaluation(0), 0
	for _, group := range groups {
		total += c.gradients(group[0].Neck)
		for _, l := range group {
			total += c.advance(at, l.Neck) + c.layer(l.Neck)
			at = l.Neck
		}
	}
	return total
}
