package graph

import (
	"context"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Runner computes spans of a network: activations, losses and gradients. It
// keeps compiled spans and one arena, and is for one goroutine at a time; the
// kernels inside use all its threads. Results do not depend on their number.
type Runner struct {
	network  *Network
	context  *kernel.Context
	machine  *exec.Machine
	device   Device                   // nil: the host
	stored   [][]float32              // checkpoint's values, read when first needed
	override [][]float32              // nil where the checkpoint's value holds
	spans    map[string]*span         // by spanKind
	passes   map[string]*backwardPass // by what was asked for
	key      []byte
	padded   []float32
	labels   []int64
	ones     []float32 // the cotangent of a batch's losses
	// cotangents hold that of the neck between two spans, by turns.
	cotangents [2][]float32
	downloaded []float32 // of the device, read last
	budget     int64
	memory     int64 // the machine's, in bytes; 0 where it is not known
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
	// Device is where to run; nil is the host.
	Device Device
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
	r := &Runner{
		network:  n,
		context:  c,
		machine:  exec.NewMachine(c),
		stored:   make([][]float32, len(n.Weights)),
		override: make([][]float32, len(n.Weights)),
		spans:    map[string]*span{},
		passes:   map[string]*backwardPass{},
		labels:   make([]int64, n.Batch),
		ones:     make([]float32, n.Batch),
		budget:   opt.BackwardBytes,
		memory:   usableMemory(),
	}
	if opt.Device == nil && testDevice != nil {
		opt.Device = testDevice()
	}
	if opt.Device != nil {
		r.device, r.machine, r.memory = opt.Device, opt.Device.NewMachine(), 0
	}
	return r
}

// Close gives back the memory of the runner's device. The runner is not used again.
func (r *Runner) Close() { r.machine.Close() }

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
	result, err := r.read(s.plan.Value(s.out))
	copy(out[:examples*r.NeckElements(to)], result)
	return err
}

// Evaluate computes the cross-entropy of logits·invT, in nats, of up to Batch
// examples from their activations at neck from, and the logits themselves
// unless logits is nil.
func (r *Runner) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	return r.evaluate(ctx, metric.Loss{}, from, in, labels, invT, losses, logits)
}

func (r *Runner) evaluate(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	s, err := r.span(spanKind{from: from, to: r.Necks() - 1, loss: loss})
	if err != nil {
		return err
	}
	r.bind(s, from, in)
	r.bindLabels(s, labels, invT)
	if err := r.machine.Run(ctx, s.plan, nil); err != nil {
		return err
	}
	if err := r.copyLosses(s, losses, len(labels)); err != nil || logits == nil {
		return err
	}
	result, err := r.read(s.plan.Value(s.out))
	copy(logits[:len(labels)*r.Classes()], result)
	return err
}

// span returns a compiled span, compiling it at first use.
func (r *Runner) span(k spanKind) (*span, error) {
	r.key = k.appendKey(r.key[:0])
	if s := r.spans[string(r.key)]; s != nil {
		return s, nil
	}
	s, err := r.network.compileSpan(k)
	if err != nil {
		return nil, &Error{Path: r.network.Model.Path, Msg: "the model cannot be run", Err: err, Help: "see `modeldoctor inspect`"}
	}
	if err := r.fits(s.plan.ArenaBytes()); err != nil {
		return nil, err
	}
	r.spans[string(r.key)] = s
	return s, nil
}

// fits refuses an arena that is larger than the machine's memory: to allocate
// it would end the program without a word to its user.
func (r *Runner) fits(arena int64) error {
	if r.memory == 0 || arena <= r.memory {
		return nil
	}
	help := "run fewer images at a time"
	if r.network.Input.FixedBatch > 0 {
		help = "the file is bound to this batch: export the model with a free one"
	}
	gib := func(bytes int64) float64 { return float64(bytes) / (1 << 30) }
	return &Error{Path: r.network.Model.Path,
		Msg:  fmt.Sprintf("the plan needs %.1f GiB for a batch of %d, the machine has %.1f GiB", gib(arena), r.Batch(), gib(r.memory)),
		Help: help}
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
		r.padded = append(slices.Grow(r.padded[:0], full), in...)
		for len(r.padded) < full {
			r.padded = append(r.padded, in[:size]...)
		}
		in = r.padded
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

// copyLosses copies the losses of the first examples, in nats, from the last run.
func (r *Runner) copyLosses(s *span, losses []float64, examples int) error {
	computed, err := r.read(s.plan.Value(s.losses))
	if err != nil {
		return err
	}
	for i, x := range computed[:examples] {
		losses[i] = float64(x)
	}
	return nil
}
