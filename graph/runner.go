package graph

import (
	"context"
	"fmt"
	"slices"

	"modeldoctor/graph/exec"
	"modeldoctor/graph/kernel"
	"modeldoctor/graph/op"
	"modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Runner computes spans of a network: activations, losses and gradients. It
// keeps compiled spans and one arena, and is for one goroutine at a time; the
// kernels inside use all its threads. Results do not depend on their number.
type Runner struct {
	network  *Network
	context  *kernel.Context
	machine  *exec.Machine
	stored   [][]float32 // checkpoint's values, read when first needed
	override [][]float32 // nil where the checkpoint's value holds
	spans    map[string]*span
	padded   []float32
	labels   []int64
	budget   int64
}

// RunnerOptions configure a [Runner].
type RunnerOptions struct {
	Threads int // 0: all processors
	// BackwardBytes bounds the activations that one backward span keeps; a
	// longer backward pass is cut at necks and recomputes between them. 0 is
	// [DefaultBackwardBytes]. A single stage is never cut.
	BackwardBytes int64
	// Variant forces a kernel variant, for tests; nil takes the best.
	Variant *kernel.Variant
}

// DefaultBackwardBytes is the default memory of one backward span.
const DefaultBackwardBytes = 256 << 20

// NewRunner returns a runner for n.
func NewRunner(n *Network, opt RunnerOptions) *Runner {
	var options []kernel.Option
	if opt.Variant != nil {
		options = append(options, kernel.WithVariant(*opt.Variant))
	}
	if opt.BackwardBytes == 0 {
		opt.BackwardBytes = DefaultBackwardBytes
	}
	c := kernel.NewContext(opt.Threads, options...)
	return &Runner{
		network:  n,
		context:  c,
		machine:  exec.NewMachine(c),
		stored:   make([][]float32, len(n.Weights)),
		override: make([][]float32, len(n.Weights)),
		spans:    map[string]*span{},
		labels:   make([]int64, n.Batch),
		budget:   opt.BackwardBytes,
	}
}

// Threads is the number of threads that kernels run on.
func (r *Runner) Threads() int { return r.context.Threads() }

// Variant names the kernels' instruction set.
func (r *Runner) Variant() string { return r.context.Variant().String() }

// Batch is the most examples that one call takes.
func (r *Runner) Batch() int { return r.network.Batch }

// Classes is the number of logits.
func (r *Runner) Classes() int { return r.network.Classes }

// Necks is the number of necks, image and logits included.
func (r *Runner) Necks() int { return len(r.network.Necks) }

// NeckElements is the number of values per example at neck k.
func (r *Runner) NeckElements(k int) int { return r.network.Necks[k].Elements }

// Weight returns the checkpoint's value of weight i in file order. It may be a
// view of the file: it must not be changed.
func (r *Runner) Weight(i int) []float32 {
	if r.stored[i] == nil {
		data, err := r.network.Weights[i].Tensor.Float32s()
		if err != nil {
			// Build has checked the tensor's storage.
			panic(fmt.Sprintf("graph: weight %q became unreadable: %v", r.network.Weights[i].Name, err))
		}
		r.stored[i] = data
	}
	return r.stored[i]
}

// Override makes w the value of weight i from now on; nil restores the
// checkpoint. The runner keeps w.
func (r *Runner) Override(i int, w []float32) {
	if w != nil && len(w) != r.network.Weights[i].Elements {
		panic(fmt.Sprintf("graph: %d values for weight %q of %d", len(w), r.network.Weights[i].Name, r.network.Weights[i].Elements))
	}
	r.override[i] = w
}

// Advance computes neck to from neck from < to, for up to Batch examples.
func (r *Runner) Advance(ctx context.Context, from, to int, in, out []float32) error {
	s, err := r.span(spanKind{from: from, to: to})
	if err != nil {
		return err
	}
	examples := len(in) / r.NeckElements(from)
	r.bind(s, from, in)
	if s.losses != nil {
		r.bindLabels(s, nil, 1)
	}
	if err := r.machine.Run(ctx, s.plan, nil); err != nil {
		return err
	}
	copy(out[:examples*r.NeckElements(to)], op.Elem[float32](s.plan.Value(s.out)))
	return nil
}

// Evaluate computes the cross-entropy of logits·invT, in nats, of up to Batch
// examples from their activations at neck from, and the logits themselves
// unless logits is nil.
func (r *Runner) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	s, err := r.span(spanKind{from: from, to: r.Necks() - 1})
	if err != nil {
		return err
	}
	r.bind(s, from, in)
	r.bindLabels(s, labels, invT)
	if err := r.machine.Run(ctx, s.plan, nil); err != nil {
		return err
	}
	for i, x := range op.Elem[float32](s.plan.Value(s.losses))[:len(labels)] {
		losses[i] = float64(x)
	}
	if logits != nil {
		copy(logits[:len(labels)*r.Classes()], op.Elem[float32](s.plan.Value(s.out)))
	}
	return nil
}

// Gradients differentiates the sum of the examples' losses, as Evaluate
// computes them, and hands sink the gradient of each wanted weight once. All
// uses of the wanted weights lie above neck from. The slice is valid during the
// call of sink only.
func (r *Runner) Gradients(ctx context.Context, from int, in []float32, labels []int, invT float64, want []int, sink func(weight int, g []float32) error) error {
	if len(want) == 0 {
		return nil
	}
	chain := r.backwardSpans(from, want)
	activations := [][]float32{in}
	for i, k := range chain[:len(chain)-1] {
		// Every span's input is kept, so that its inside can be recomputed.
		out := make([]float32, len(labels)*r.NeckElements(k.to))
		if err := r.Advance(ctx, k.from, k.to, activations[i], out); err != nil {
			return err
		}
		activations = append(activations, out)
	}
	partial := r.sharedGradients(chain)
	var cotangent []float32
	for i, k := range slices.Backward(chain) {
		if len(k.want) == 0 && !k.inGrad {
			break // below the lowest wanted weight
		}
		s, err := r.span(k)
		if err != nil {
			return err
		}
		r.bind(s, k.from, activations[i])
		if s.losses != nil {
			r.bindLabels(s, labels, invT)
			cotangent = make([]float32, r.Batch())
			for j := range labels {
				cotangent[j] = 1
			}
		}
		s.plan.Bind(s.cotangent, op.Array{Type: s.graph.TypeOf(s.cotangent), Data: cotangent})
		// Two weights that are added to one value share their gradient's node.
		weightsOf := map[*gorgonia.Node][]int{}
		for _, g := range s.gradients {
			weightsOf[g.node] = append(weightsOf[g.node], g.index)
		}
		err = r.machine.Run(ctx, s.plan, func(node *gorgonia.Node, a op.Array) error {
			g := op.Elem[float32](a)
			for _, w := range weightsOf[node] {
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
		if s.inGrad != nil {
			cotangent = slices.Clone(op.Elem[float32](s.plan.Value(s.inGrad)))
		}
	}
	return nil
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

func (r *Runner) sharedGradients(chain []spanKind) map[int]*partialGradient {
	count := map[int]int{}
	for _, k := range chain {
		for w := range k.want {
			count[w]++
		}
	}
	partial := map[int]*partialGradient{}
	for w, k := range count {
		if k > 1 {
			partial[w] = &partialGradient{remaining: k}
		}
	}
	return partial
}

// backwardSpans cuts the stages above from into spans whose activations fit the
// budget, and says what each has to differentiate.
func (r *Runner) backwardSpans(from int, want []int) []spanKind {
	n := r.network
	var chain []spanKind
	for end := len(n.Necks) - 1; end > from; {
		start := end - 1
		for start > from && n.stageBytes(start-1, end) <= r.budget {
			start--
		}
		chain = append(chain, spanKind{from: start, to: end, backward: true, want: map[int]bool{}})
		end = start
	}
	slices.Reverse(chain)
	below := false
	for i := range chain {
		k := &chain[i]
		used := n.weightsBetween(k.from, k.to)
		for _, w := range want {
			if used[w] {
				k.want[w] = true
			}
		}
		k.inGrad = below
		below = below || len(k.want) > 0
	}
	return chain
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

// span returns a compiled span, compiling it at first use.
func (r *Runner) span(k spanKind) (*span, error) {
	key := fmt.Sprint(k.from, k.to, k.backward, k.inGrad, sortedKeys(k.want))
	if s := r.spans[key]; s != nil {
		return s, nil
	}
	s, err := r.network.compileSpan(k)
	if err != nil {
		return nil, &Error{Path: r.network.Model.Path, Msg: "the model cannot be run", Err: err, Help: "see `modeldoctor inspect`"}
	}
	r.spans[key] = s
	return s, nil
}

func sortedKeys(m map[int]bool) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// bind gives a span its weights and its input. A partial batch is filled up
// with its first example; what it computes for those is ignored.
func (r *Runner) bind(s *span, from int, in []float32) {
	for _, w := range s.weights {
		data := r.override[w.index]
		if data == nil {
			data = r.Weight(w.index)
		}
		s.plan.Bind(w.node, op.Array{Type: s.graph.TypeOf(w.node), Data: data})
	}
	size := r.NeckElements(from)
	full := size * r.Batch()
	if len(in) < full {
		if len(r.padded) < full {
			r.padded = make([]float32, full)
		}
		n := copy(r.padded, in)
		for ; n < full; n += size {
			copy(r.padded[n:n+size], in[:size])
		}
		in = r.padded[:full]
	}
	s.plan.Bind(s.in, op.Array{Type: s.graph.TypeOf(s.in), Data: in})
}

// bindLabels gives a span that ends in losses its labels and temperature.
func (r *Runner) bindLabels(s *span, labels []int, invT float64) {
	clear(r.labels)
	for i, y := range labels {
		r.labels[i] = int64(y)
	}
	s.plan.Bind(s.labels, op.Array{Type: op.Type{DType: onnx.Int64, Shape: []int{r.Batch()}}, Data: r.labels})
	s.plan.Bind(s.inverseTemperature, op.Array{Type: s.graph.TypeOf(s.inverseTemperature), Data: []float32{float32(invT)}})
}
