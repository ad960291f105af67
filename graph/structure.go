package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// unit is a block that is seen in what a network computes, and not in names: a
// residual unit, a module of parallel branches, or an operator of a chain.
type unit struct {
	operators []*operator
	stage     int // the neck before the first
	why       string
	residual  bool  // it ends in a sum
	identity  bool  // one term of which is what entered it
	gate      bool  // it ends in a product with what entered it
	splits    bool  // it begins with parts of what entered it
	joined    bool  // of several stages
	whole     *unit // that it is a part of; nil where it is undivided
}

func (u *unit) alone(kind operatorKind) bool {
	return len(u.operators) == 1 && !u.joined && u.operators[0].kind == kind
}

// maxShare is the largest share of a model's parameters that a unit of several
// operators may have.
const maxShare = 0.25

// units divides a network by what it computes. Operators between the same two necks
// are one unit: a residual unit, or branches that meet again; a chain has a neck
// behind every operator. Then what belongs together is joined, see [joinSeparable]
// and [joinRepeated], and what is too large is divided.
func (n *Network) units() []*unit {
	var units []*unit
	for _, o := range n.operators() {
		stage := n.neckBefore(o.step)
		if k := len(units) - 1; k >= 0 && units[k].stage == stage {
			units[k].operators = append(units[k].operators, o)
			continue
		}
		units = append(units, &unit{operators: []*operator{o}, stage: stage})
	}
	for _, u := range units {
		n.describe(u)
	}
	units = joinSeparable(units)
	units = n.joinRepeated(units)
	return n.divide(units)
}

// stageSteps are the steps between a neck and the next.
func (n *Network) stageSteps(stage int) []*op.Step {
	end := len(n.steps)
	if stage+1 < len(n.Necks) {
		end = n.Necks[stage+1].position
	}
	return n.steps[n.Necks[stage].position:end]
}

// describe finds out what a unit of one stage is.
func (n *Network) describe(u *unit) {
	joins, parts := 0, 0
	for _, s := range n.stageSteps(u.stage) {
		if _, ok := s.Op.(op.Slice); ok && s.In[0] == n.Necks[u.stage].value {
			parts++
			u.splits = parts > 1
		}
		if !joinsData(s) {
			continue
		}
		joins++
		_, product := s.Op.(op.Mul)
		u.residual, u.gate = isResidual(s), product
		u.identity = u.residual && slices.Contains(s.In, n.Necks[u.stage].value)
	}
	switch {
	case u.residual:
		u.why = "a residual unit: " + n.between(u)
	case joins > 0:
		u.why = "branches that meet again: " + n.between(u)
	case len(u.operators) > 1:
		u.why = n.between(u)
	default:
		u.why = "an operator of a chain"
	}
}

// between says where a unit of one stage lies.
func (n *Network) between(u *unit) string {
	name := func(k int) string {
		if n.Necks[k].Name == "" {
			return fmt.Sprintf("neck %d", k)
		}
		return n.Necks[k].Name
	}
	return fmt.Sprintf("between the necks %s and %s", name(u.stage), name(min(u.stage+1, len(n.Necks)-1)))
}

// joinsData reports whether a step reads several values of the data path.
func joinsData(s *op.Step) bool {
	var first *op.Value
	for _, v := range s.Operands() {
		if !v.OnDataPath || v == first {
			continue
		}
		if first != nil {
			return true
		}
		first = v
	}
	return false
}

// joinSeparable joins a depthwise convolution of a chain with the pointwise ones
// around it, as MobileNet's units have them: the one that widens before it, unless
// that closes another unit, a gate behind it, and the one that mixes its channels.
// Any other gate belongs to what it weighs. Likewise a module of YOLO's kind: a
// pointwise convolution, parts of whose channels go different ways, and another where
// they meet.
func joinSeparable(units []*unit) []*unit {
	var out []*unit
	for i := 0; i < len(units); i++ {
		u := units[i]
		last := len(out) - 1
		switch {
		case u.alone(depthwise):
			parts := []*unit{u}
			if last >= 0 && out[last].alone(pointwise) {
				parts = []*unit{out[last], u}
				out = out[:last]
			}
			if i+1 < len(units) && units[i+1].gate {
				i++
				parts = append(parts, units[i])
			}
			if i+1 < len(units) && units[i+1].alone(pointwise) {
				i++
				parts = append(parts, units[i])
			}
			if len(parts) > 1 {
				u = join("a depthwise convolution with those that widen and mix its channels", parts...)
			}
			out = append(out, u)
		case u.gate && last >= 0:
			out[last] = join(out[last].why+", with its gate", out[last], u)
		case u.splits && last >= 0 && out[last].alone(pointwise):
			parts := []*unit{out[last], u}
			if i+1 < len(units) && units[i+1].alone(pointwise) {
				i++
				parts = append(parts, units[i])
			}
			out[last] = join("a module that splits what a pointwise convolution gives, and another joins", parts...)
		default:
			out = append(out, u)
		}
	}
	return out
}

func join(why string, parts ...*unit) *unit {
	joined := &unit{stage: parts[0].stage, why: why, joined: true}
	for _, u := range parts {
		joined.operators = append(joined.operators, u.operators...)
	}
	return joined
}

// maxPeriod bounds how many residual units one block may have.
const maxPeriod = 4

// joinRepeated joins residual units that differ, but come in the same order again and
// again, as the attention and the MLP of a transformer do, or the two of a mixer.
func (n *Network) joinRepeated(units []*unit) []*unit {
	signatures := make([]string, len(units))
	for i, u := range units {
		if u.identity && !u.joined {
			signatures[i] = n.signature(u)
		}
	}
	var out []*unit
	for i := 0; i < len(units); {
		period := repeats(signatures[i:])
		if period < 2 {
			out = append(out, units[i])
			i++
			continue
		}
		pattern := signatures[i : i+period]
		for i+period <= len(units) && slices.Equal(signatures[i:i+period], pattern) {
			out = append(out, join(fmt.Sprintf("%d residual units that come in the same order again", period), units[i:i+period]...))
			i += period
		}
	}
	return out
}

// repeats returns the least number of signatures that the list begins with twice in a
// row, 0 where there is none. An empty one is like no other.
func repeats(signatures []string) int {
	for period := 1; period <= maxPeriod && 2*period <= len(signatures); period++ {
		first, second := signatures[:period], signatures[period:2*period]
		if !slices.Contains(first, "") && slices.Equal(first, second) {
			return period
		}
	}
	return 0
}

// signature lists the operations of a unit's stage.
func (n *Network) signature(u *unit) string {
	var names []string
	for _, s := range n.stageSteps(u.stage) {
		if _, view := s.Op.(op.View); !view && s.Out.OnDataPath {
			names = append(names, s.Op.Name())
		}
	}
	return strings.Join(names, " ")
}

// divide divides units of several operators that hold more than [maxShare] of the
// parameters: between the places where branches meet, as the layers of a dense block
// do, and where that is not enough into operators.
func (n *Network) divide(units []*unit) []*unit {
	most := int(maxShare * float64(n.Parameters()))
	var out []*unit
	for _, u := range units {
		if len(u.operators) < 2 || n.parametersOf(u.operators) <= most {
			out = append(out, u)
			continue
		}
		why := u.why + "; it holds more than a quarter of the parameters, and is divided"
		for _, part := range n.atJoins(u) {
			if n.parametersOf(part) <= most {
				out = append(out, &unit{operators: part, stage: u.stage, why: why, joined: true, whole: u})
				continue
			}
			for _, o := range part {
				out = append(out, &unit{operators: []*operator{o}, stage: u.stage, why: why, whole: u})
			}
		}
	}
	return out
}

// atJoins divides a unit's operators by the joins that come before them.
func (n *Network) atJoins(u *unit) [][]*operator {
	var parts [][]*operator
	at := u.operators[0].step
	for i, o := range u.operators {
		if i == 0 || slices.ContainsFunc(n.steps[at:o.step], joinsData) {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], o)
		at = o.step
	}
	return parts
}

// divideEnds divides what lies before or after the blocks that names tell of, where it
// has several operators, a quarter of the parameters, and half as many again as the
// largest block: a stem or a head that is about as large as a block is one.
func (n *Network) divideEnds() {
	shares := map[string]int{}
	largest := 0 // of the blocks
	for _, w := range n.Weights {
		shares[w.member.block] += w.Elements
		if block := w.member.block; block != embedLayer && block != headLayer {
			largest = max(largest, shares[block])
		}
	}
	for _, end := range []string{embedLayer, headLayer} {
		if shares[end] <= max(largest+largest/2, int(maxShare*float64(n.Parameters()))) {
			continue
		}
		var operators int
		for _, o := range n.operators() {
			if n.Weights[o.weights[0]].member.block == end {
				operators++
			}
		}
		if operators < 2 {
			continue
		}
		n.divideEnd(end)
	}
}

// divideEnd makes modules of the units of embed or head.
func (n *Network) divideEnd(end string) {
	for _, u := range n.units() {
		name := ""
		for _, o := range u.operators {
			for _, i := range o.weights {
				w := n.Weights[i]
				if w.member.block != end {
					continue
				}
				module := moduleOf(strings.Split(w.Name, "."))
				if name == "" {
					name = module
				}
				w.member = membership{block: name, why: u.why, named: module}
			}
		}
	}
}
