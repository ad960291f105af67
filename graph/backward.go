package graph

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"

	"gorgonia.org/gorgonia"
)

// Gradients differentiates the sum of the examples' losses, as Evaluate
// computes them, and hands sink the gradient of each wanted weight once. All
// uses of the wanted weights lie above neck from. The slice is valid during the
// call of sink only.
func (r *Runner) Gradients(ctx context.Context, from int, in []float32, labels []int, invT float64, want []int, sink func(weight int, g []float32) error) error {
	return r.LossGradients(ctx, metric.Loss{}, from, in, labels, invT, want, nil, sink)
}

// LossGradients is Gradients for any loss, of logits·invT. Unless losses is nil
// it also gets the loss of each example, those of the cross-entropy the very
// bits that Evaluate gives. They come from the same pass, and are computed even
// where no gradient is wanted. They are complete when the call returns; after
// an error their content is undefined.
func (r *Runner) LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g []float32) error) error {
	b := r.backward(loss, from, want, losses != nil)
	if len(b.chain) == 0 {
		if losses == nil {
			return nil
		}
		return r.evaluate(ctx, loss, from, in, labels, invT, losses, nil)
	}
	last := len(b.chain) - 1
	activations := make([][]float32, len(b.chain))
	activations[0] = in
	for i, k := range b.chain[:last] {
		// Every span's input is kept, so that its inside can be recomputed.
		b.kept[i] = grow(b.kept[i], r.Batch()*r.NeckElements(k.to))
		activations[i+1] = b.kept[i][:len(labels)*r.NeckElements(k.to)]
		if err := r.Advance(ctx, k.from, k.to, activations[i], activations[i+1]); err != nil {
			return err
		}
	}
	partial := b.partialGradients()
	var cotangent []float32
	for i := last; i >= b.lowest; i-- {
		s, err := r.compiled(b, i)
		if err != nil {
			return err
		}
		r.bind(s, b.chain[i].from, activations[i])
		if i == last {
			r.bindLabels(s, labels, invT)
			cotangent = r.ones
			for j := range cotangent {
				cotangent[j] = 0
				if j < len(labels) {
					cotangent[j] = 1
				}
			}
		}
		s.plan.Bind(s.cotangent, op.Array{Type: s.graph.TypeOf(s.cotangent), Data: cotangent})
		err = r.machine.Run(ctx, s.plan, func(node *gorgonia.Node, a op.Array) error {
			g := op.Elem[float32](a)
			for _, w := range s.gradients[node] {
				hand := sink
				if p := partial[w]; p != nil {
					hand = p.collect(sink)
				}
				if err := hand(w, g); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if i == last && losses != nil {
			s.copyLosses(losses, len(labels))
		}
		if s.inGrad != nil {
			// Out of the arena, beside the one that this span has read.
			computed := op.Elem[float32](s.plan.Value(s.inGrad))
			next := &r.cotangents[i%2]
			*next = grow(*next, len(computed))
			cotangent = (*next)[:copy(*next, computed)]
		}
	}
	return nil
}

// backward is a backward pass as it was planned: the spans it is cut into, from
// the bottom up. It has none where nothing is to be differentiated.
type backward struct {
	chain  []spanKind
	spans  []*span     // compiled when first needed
	kept   [][]float32 // what each span but the last ends in, for one batch
	lowest int         // the span of the lowest wanted weight
	// spansOf counts the spans that use a weight, where there are several.
	spansOf map[int]int
}

// backward returns the plan of a pass. A training step asks for the same one
// thousands of times, so it is kept.
func (r *Runner) backward(loss metric.Loss, from int, want []int, losses bool) *backward {
	key := appendLossKey(r.key[:0], loss)
	key = append(key, flag(losses))
	key = binary.AppendUvarint(key, uint64(from))
	for _, w := range want {
		key = binary.AppendUvarint(key, uint64(w))
	}
	r.key = key
	b := r.passes[string(key)]
	if b == nil {
		b = r.planBackward(loss, from, want, losses)
		r.passes[string(key)] = b
	}
	return b
}

// planBackward cuts the stages above from into spans whose activations fit the
// budget, and says what each has to differentiate.
func (r *Runner) planBackward(loss metric.Loss, from int, want []int, losses bool) *backward {
	n, b := r.network, &backward{lowest: -1}
	spansOf := map[int]int{}
	for end := len(n.Necks) - 1; end > from; {
		start := end - 1
		for start > from && n.stageBytes(start-1, end) <= r.budget {
			start--
		}
		b.chain = append(b.chain, spanKind{from: start, to: end, backward: true})
		end = start
	}
	slices.Reverse(b.chain)
	for i := range b.chain {
		k := &b.chain[i]
		used := n.weightsBetween(k.from, k.to)
		for _, w := range want {
			if used[w] {
				k.want = append(k.want, w)
			}
		}
		slices.Sort(k.want)
		k.want = slices.Compact(k.want)
		for _, w := range k.want {
			spansOf[w]++
		}
		k.inGrad = b.lowest >= 0
		if b.lowest < 0 && len(k.want) > 0 {
			b.lowest = i
		}
	}
	if b.lowest < 0 {
		return &backward{}
	}
	maps.DeleteFunc(spansOf, func(_, count int) bool { return count == 1 })
	b.spansOf = spansOf
	top := &b.chain[len(b.chain)-1]
	top.loss, top.losses = loss, losses
	b.spans = make([]*span, len(b.chain))
	b.kept = make([][]float32, len(b.chain)-1)
	return b
}

// compiled returns a span of a pass, compiling it at first use.
func (r *Runner) compiled(b *backward, i int) (*span, error) {
	if b.spans[i] == nil {
		s, err := r.span(b.chain[i])
		if err != nil {
			return nil, err
		}
		b.spans[i] = s
	}
	return b.spans[i], nil
}

// grow returns s if it has room for n elements, else a new slice of n.
func grow(s []float32, n int) []float32 {
	if len(s) < n {
		return make([]float32, n)
	}
	return s
}

// partialGradient sums the gradient of a weight that several spans use.
type partialGradient struct {
	sum       []float32
	remaining int
}

// collect returns a sink that adds up and hands on the last sum.
func (p *partialGradient) collect(sink func(int, []float32) error) func(int, []float32) error {
	return func(w int, g []float32) error {
		if p.sum == nil {
			p.sum = make([]float32, len(g))
		}
		for i, x := range g {
			p.sum[i] += x
		}
		if p.remaining--; p.remaining == 0 {
			return sink(w, p.sum)
		}
		return nil
	}
}

func (b *backward) partialGradients() map[int]*partialGradient {
	var partial map[int]*partialGradient
	for w, count := range b.spansOf {
		if partial == nil {
			partial = map[int]*partialGradient{}
		}
		partial[w] = &partialGradient{remaining: count}
	}
	return partial
}

// stageBytes estimates what a backward pass between two necks keeps: every
// value, and its cotangent.
func (n *Network) stageBytes(from, to int) int64 {
	var bytes int64
	for _, s := range n.steps[n.Necks[from].position:n.Necks[to].position] {
		if _, view := s.Op.(op.View); !view && s.Out.Data {
			bytes += int64(s.Out.Type.Elements()) * 4
		}
	}
	return 2 * bytes
}

// weightsBetween returns the weights that the stages between two necks use.
func (n *Network) weightsBetween(from, to int) map[int]bool {
	used := map[int]bool{}
	seen := map[*op.Value]bool{n.Necks[from].value: true}
	stack := []*op.Value{n.Necks[to].value}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v] {
			continue
		}
		seen[v] = true
		if i, ok := n.weightOf[v]; ok {
			used[i] = true
		}
		if v.Step != nil {
			stack = append(stack, v.Step.In...)
		}
	}
	return used
}
