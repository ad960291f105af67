package graph

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
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
	b := r.backwardPass(loss, from, want, losses != nil)
	if len(b.chain) == 0 {
		if losses == nil {
			return nil
		}
		return r.evaluate(ctx, loss, from, in, labels, invT, losses, nil)
	}
	activations, err := r.spanInputs(ctx, b, in, len(labels))
	if err != nil {
		return err
	}
	partial := b.partialGradients()
	cotangent := r.lossCotangent(len(labels))
	last := len(b.chain) - 1
	for i := last; i >= b.lowest; i-- {
		s, err := r.compiled(b, i)
		if err != nil {
			return err
		}
		r.bind(s, b.chain[i].from, activations[i])
		if i == last {
			r.bindLabels(s, labels, invT)
		}
		s.plan.Bind(s.cotangent, op.Array{Type: s.graph.TypeOf(s.cotangent), Data: cotangent})
		if err := r.machine.Run(ctx, s.plan, r.handOut(s, partial, sink)); err != nil {
			return err
		}
		if i == last && losses != nil {
			if err := r.copyLosses(s, losses, len(labels)); err != nil {
				return err
			}
		}
		if s.inCotangent != nil {
			// Out of the arena, beside the one that this span has read.
			computed, err := r.read(s.plan.Value(s.inCotangent))
			if err != nil {
				return err
			}
			next := &r.cotangents[i%2]
			*next = append((*next)[:0], computed...)
			cotangent = *next
		}
	}
	return nil
}

// spanInputs computes what each span of a pass begins at, from what the first
// one does. All of it is kept, so that the inside of any span can be recomputed.
func (r *Runner) spanInputs(ctx context.Context, b *backwardPass, in []float32, examples int) ([][]float32, error) {
	activations := make([][]float32, len(b.chain))
	activations[0] = in
	for i, k := range b.chain[:len(b.chain)-1] {
		if b.kept[i] == nil {
			b.kept[i] = make([]float32, r.Batch()*r.NeckElements(k.to))
		}
		activations[i+1] = b.kept[i][:examples*r.NeckElements(k.to)]
		if err := r.Advance(ctx, k.from, k.to, activations[i], activations[i+1]); err != nil {
			return nil, err
		}
	}
	return activations, nil
}

// lossCotangent is that of a batch's losses: 1 for the examples, 0 for what fills
// a partial batch up.
func (r *Runner) lossCotangent(examples int) []float32 {
	clear(r.ones)
	for i := range examples {
		r.ones[i] = 1
	}
	return r.ones
}

// handOut returns the sink of a run that gives the weights' gradients to sink,
// those of several spans once they are summed.
func (r *Runner) handOut(s *span, partial map[int]*partialGradient, sink func(weight int, g []float32) error) exec.Sink {
	return func(node *gorgonia.Node, a op.Array) error {
		g, err := r.read(a)
		if err != nil {
			return err
		}
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
	}
}

// backwardPass is a backward pass as it was cut: its spans, from the bottom up. It
// has none where nothing is to be differentiated.
type backwardPass struct {
	chain  []spanKind
	spans  []*span     // compiled when first needed
	kept   [][]float32 // what each span but the last ends in, for one batch
	lowest int         // the span of the lowest wanted weight
	// spansOf counts the spans that use a weight, where there are several.
	spansOf map[int]int
}

// backwardPass returns the pass for what is wanted. A training step asks for the
// same one thousands of times, so it is kept.
func (r *Runner) backwardPass(loss metric.Loss, from int, want []int, losses bool) *backwardPass {
	key := appendLossKey(r.key[:0], loss)
	key = append(key, flag(losses))
	key = binary.AppendUvarint(key, uint64(from))
	for _, w := range want {
		key = binary.AppendUvarint(key, uint64(w))
	}
	r.key = key
	b := r.passes[string(key)]
	if b == nil {
		b = r.cutBackward(loss, from, want, losses)
		r.passes[string(key)] = b
	}
	return b
}

// cutBackward cuts the stages above from into spans whose activations fit the
// budget, and says what each has to differentiate.
func (r *Runner) cutBackward(loss metric.Loss, from int, want []int, losses bool) *backwardPass {
	n, b := r.network, &backwardPass{lowest: -1}
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
		k.inCotangent = b.lowest >= 0
		if b.lowest < 0 && len(k.want) > 0 {
			b.lowest = i
		}
	}
	if b.lowest < 0 {
		return &backwardPass{}
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
func (r *Runner) compiled(b *backwardPass, i int) (*span, error) {
	if b.spans[i] == nil {
		s, err := r.span(b.chain[i])
		if err != nil {
			return nil, err
		}
		b.spans[i] = s
	}
	return b.spans[i], nil
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

func (b *backwardPass) partialGradients() map[int]*partialGradient {
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
		if _, view := s.Op.(op.View); !view && s.Out.OnDataPath {
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
