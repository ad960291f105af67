package graph

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"

	"gorgonia.org/gorgonia"
)

// LossGradients differentiates the sum of the examples' losses of logits·invT, and
// hands sink the gradient of each wanted weight once. All uses of the wanted
// weights lie above neck from. The memory is valid during the call of sink only.
//
// Unless losses is nil it also gets the loss of each example, those of the
// cross-entropy the very bits that Evaluate gives. They come from the same pass,
// and are computed even where no gradient is wanted. They are complete when the
// call returns; after an error their content is undefined.
func (r *Runner) LossGradients(ctx context.Context, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64, want []int, losses []float64, sink func(weight int, g nn.Memory) error) error {
	b := r.backwardPass(loss, from, want, losses != nil)
	if len(b.chain) == 0 {
		if losses == nil {
			return nil
		}
		return r.evaluate(ctx, loss, from, in, labels, invT, losses, nil)
	}
	b.sink, b.partial = sink, b.partialGradients()
	defer r.endPass(b)
	if err := r.spanInputs(ctx, b, in, len(labels)); err != nil {
		return err
	}
	var cotangent nn.Memory
	last := len(b.chain) - 1
	for i := last; i >= b.lowest; i-- {
		s, err := r.compiled(b, i)
		if err != nil {
			return err
		}
		if err := r.bind(s, b.chain[i].from, b.inputs[i], len(labels)); err != nil {
			return err
		}
		if i == last {
			err = errors.Join(r.bindLabels(s, labels, invT), r.bindLossCotangent(s, len(labels)))
		} else {
			s.plan.Bind(s.cotangent, op.Array{Type: s.graph.TypeOf(s.cotangent), Data: cotangent})
		}
		if err != nil {
			return err
		}
		if err := r.machine.Run(ctx, s.plan, b.handOut[i]); err != nil {
			return err
		}
		if i == last && losses != nil {
			if err := r.readLosses(s, losses[:len(labels)]); err != nil {
				return err
			}
		}
		if s.inCotangent != nil {
			// Out of the arena, beside the one that this span has read.
			if cotangent, err = r.cotangents[i%2].Grow(r.device, r.Batch()*r.NeckElements(b.chain[i].from)); err != nil {
				return err
			}
			if err := r.device.Copy(cotangent, s.plan.Value(s.inCotangent).Data); err != nil {
				return err
			}
		}
	}
	return nil
}

// endPass lets go of what a pass held while it ran.
func (r *Runner) endPass(b *backwardPass) {
	for _, p := range b.partial {
		r.device.Free(p.sum)
	}
	b.sink, b.partial = nil, nil
	clear(b.inputs)
}

// spanInputs computes what each span of a pass begins at, from what the first
// one does. All of it is kept, so that the inside of any span can be recomputed.
func (r *Runner) spanInputs(ctx context.Context, b *backwardPass, in nn.Memory, examples int) error {
	b.inputs[0] = in
	for i, k := range b.chain[:len(b.chain)-1] {
		kept, err := b.kept[i].Grow(r.device, r.Batch()*r.NeckElements(k.to))
		if err != nil {
			return err
		}
		b.inputs[i+1] = kept
		if err := r.Advance(ctx, k.from, k.to, b.inputs[i], kept, examples); err != nil {
			return err
		}
	}
	return nil
}

// bindLossCotangent gives a span the cotangent of a batch's losses: 1 for the
// examples, 0 for what fills a partial batch up.
func (r *Runner) bindLossCotangent(s *span, examples int) error {
	for i := range r.Batch() {
		cotangent := float32(0)
		if i < examples {
			cotangent = 1
		}
		set(&r.ones, i, cotangent)
	}
	return r.ones.bind(r.device, s, s.cotangent)
}

// handOut returns the sink of a span of a pass: it gives the weights' gradients to the
// pass's sink, those of several spans once they are summed.
func (r *Runner) handOut(b *backwardPass, s *span) exec.Sink {
	return func(node *gorgonia.Node, a op.Array) error {
		for _, w := range s.gradients[node] {
			g := nn.Memory(a.Data)
			if p := b.partial[w]; p != nil {
				if err := p.add(r, w, g); err != nil {
					return err
				}
				if p.remaining > 0 {
					continue
				}
				g = p.sum
			}
			if err := b.sink(w, g); err != nil {
				return err
			}
		}
		return nil
	}
}

// backwardPass is a backward pass as it was cut: its spans, from the bottom up. It
// has none where nothing is to be differentiated.
type backwardPass struct {
	chain   []spanKind
	spans   []*span      // compiled when first needed
	handOut []exec.Sink  // of the runs of the spans
	kept    []nn.Scratch // what each span but the last ends in, for one batch
	lowest  int          // the span of the lowest wanted weight
	// spansOf counts the spans that use a weight, where there are several.
	spansOf map[int]int

	// While the pass runs:
	inputs  []nn.Memory // what each span begins at
	sink    func(weight int, g nn.Memory) error
	partial map[int]*partialGradient // of the weights of spansOf
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
	b.handOut = make([]exec.Sink, len(b.chain))
	b.inputs = make([]nn.Memory, len(b.chain))
	b.kept = make([]nn.Scratch, len(b.chain)-1)
	return b
}

// compiled returns a span of a pass, compiling it at first use.
func (r *Runner) compiled(b *backwardPass, i int) (*span, error) {
	if b.spans[i] == nil {
		s, err := r.span(b.chain[i])
		if err != nil {
			return nil, err
		}
		b.spans[i], b.handOut[i] = s, r.handOut(b, s)
	}
	return b.spans[i], nil
}

// partialGradient sums the gradient of a weight that several spans use.
type partialGradient struct {
	sum       nn.Memory // nil before the first
	remaining int
}

// add adds what one of the spans has computed of weight w.
func (p *partialGradient) add(r *Runner, w int, g nn.Memory) (err error) {
	if p.sum == nil {
		if p.sum, err = r.device.Alloc(r.WeightElements(w)); err != nil {
			return fmt.Errorf("memory for gradients: %w", err)
		}
	}
	p.remaining--
	return r.device.Add(p.sum, g)
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
