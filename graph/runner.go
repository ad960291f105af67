package graph

import (
	"context"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Runner computes spans of a network: activations, losses and gradients. It
// keeps compiled spans and one arena, and is for one goroutine at a time; the
// kernels inside use all its threads. Results do not depend on their number. It is
// an [nn.Model]; memory is of its device.
type Runner struct {
	network    *Network
	context    *kernel.Context // of the host
	device     Device
	machine    *exec.Machine
	checkpoint []nn.Memory              // the checkpoint's values, made when first needed
	override   []nn.Memory              // nil where the checkpoint's value holds
	spans      map[string]*span         // by spanKind
	passes     map[string]*backwardPass // by what was asked for
	key        []byte
	// What every run is given besides activations and weights: a batch's labels,
	// the inverse temperature, and the cotangent of the losses.
	labels, inverseTemperature, ones shared
	padded                           nn.Scratch // a partial batch, filled up
	// cotangents hold that of the neck between two spans, by turns.
	cotangents [2]nn.Scratch
	read       []float32 // what comes back from a device
	budget     int64
	memory     int64 // the machine's, in bytes; 0 where it is not known
}

// RunnerOptions configure a [Runner].
type RunnerOptions struct {
	Threads int // of the host; 0: all processors
	// BackwardBytes bounds the activations that one backward span keeps; a
	// longer backward pass is cut at necks and recomputes between them. 0 is
	// [DefaultBackwardBytes]. A single stage is never cut.
	BackwardBytes int64
	// Variant forces a kernel variant, for tests; nil takes the best.
	Variant *kernel.Variant
	// Device is what computes; nil is the host.
	Device Device
	// Profile is told what steps take, unless it is nil: see exec.Machine.
	Profile *exec.Profile
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
	r := &Runner{
		network:    n,
		context:    kernel.NewContext(opt.Threads, options...),
		device:     opt.Device,
		checkpoint: make([]nn.Memory, len(n.Weights)),
		override:   make([]nn.Memory, len(n.Weights)),
		spans:      map[string]*span{},
		passes:     map[string]*backwardPass{},
		budget:     opt.BackwardBytes,
	}
	if r.device == nil {
		r.device = host{nn.Host{}, exec.NewKernels(r.context)}
		r.memory = UsableMemory()
	}
	r.machine = exec.NewMachineOn(r.device)
	r.machine.Profile = opt.Profile
	batch := []int{n.Batch}
	r.labels.host = op.Array{Type: op.Type{DType: onnx.Int64, Shape: batch}, Data: make([]int64, n.Batch)}
	r.ones.host = op.Array{Type: op.Type{DType: onnx.Float, Shape: batch}, Data: make([]float32, n.Batch)}
	r.inverseTemperature.host = op.Array{Type: op.Type{DType: onnx.Float}, Data: make([]float32, 1)}
	return r
}

// Close gives back the memory of the device that the runner holds. It is not used
// again.
func (r *Runner) Close() {
	r.machine.Close()
	for _, m := range r.checkpoint {
		r.device.Free(m)
	}
	held := []*nn.Scratch{&r.padded, &r.cotangents[0], &r.cotangents[1]}
	for _, b := range r.passes {
		for i := range b.kept {
			held = append(held, &b.kept[i])
		}
	}
	for _, b := range held {
		b.Free(r.device)
	}
	clear(r.checkpoint)
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

// WeightElements is the number of elements of weight i.
func (r *Runner) WeightElements(i int) int { return r.network.Weights[i].Elements }

// Device is where the runner computes.
func (r *Runner) Device() nn.Device { return r.device }

// Weight returns the checkpoint's value of weight i in file order. It may be a
// view of the file: it must not be changed.
func (r *Runner) Weight(i int) []float32 {
	if m := r.checkpoint[i]; m != nil {
		if data := r.device.InPlace(m); data != nil {
			return data
		}
	}
	data, err := r.network.Weights[i].Tensor.Float32s()
	if err != nil {
		// Build has checked the tensor's storage.
		panic(fmt.Sprintf("graph: weight %q became unreadable: %v", r.network.Weights[i].Name, err))
	}
	return data
}

// Checkpoint is weight i as the file has it, in the device's memory.
func (r *Runner) Checkpoint(i int) (nn.Memory, error) {
	if r.checkpoint[i] == nil {
		m, err := r.device.Import(r.Weight(i))
		if err != nil {
			return nil, fmt.Errorf("memory for weight %q: %w", r.network.Weights[i].Name, err)
		}
		r.checkpoint[i] = m
	}
	return r.checkpoint[i], nil
}

// Override makes w the value of weight i from now on; nil restores the
// checkpoint. The runner keeps w.
func (r *Runner) Override(i int, w nn.Memory) { r.override[i] = w }

// Advance computes neck to from neck from < to, for up to Batch examples.
func (r *Runner) Advance(ctx context.Context, from, to int, in, out nn.Memory, examples int) error {
	s, err := r.span(spanKind{from: from, to: to})
	if err != nil {
		return err
	}
	if err := r.bind(s, from, in, examples); err != nil {
		return err
	}
	if s.losses != nil {
		if err := r.bindLabels(s, nil, 1); err != nil {
			return err
		}
	}
	if err := r.machine.Run(ctx, s.plan, nil); err != nil {
		return err
	}
	return r.device.Copy(out, r.device.Slice(s.plan.Value(s.out).Data, 0, examples*r.NeckElements(to)))
}

// Evaluate computes the cross-entropy of logits·invT, in nats, of up to Batch
// examples from their activations at neck from, and the logits themselves
// unless logits is nil.
func (r *Runner) Evaluate(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses []float64, logits []float32) error {
	return r.evaluate(ctx, metric.Loss{}, from, in, labels, invT, losses, logits)
}

// Losses computes what Evaluate does and writes the losses, and the logits unless
// logits is nil, to the beginning of a memory of the device each.
func (r *Runner) Losses(ctx context.Context, from int, in nn.Memory, labels []int, invT float64, losses, logits nn.Memory) error {
	s, err := r.runLosses(ctx, metric.Loss{}, from, in, labels, invT)
	if err != nil {
		return err
	}
	err = r.device.Copy(losses, r.device.Slice(s.plan.Value(s.losses).Data, 0, len(labels)))
	if err != nil || logits == nil {
		return err
	}
	return r.device.Copy(logits, r.device.Slice(s.plan.Value(s.out).Data, 0, len(labels)*r.Classes()))
}

func (r *Runner) evaluate(ctx context.Context, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64, losses []float64, logits []float32) error {
	s, err := r.runLosses(ctx, loss, from, in, labels, invT)
	if err != nil {
		return err
	}
	if err := r.readLosses(s, losses[:len(labels)]); err != nil || logits == nil {
		return err
	}
	return r.device.Download(logits[:len(labels)*r.Classes()], s.plan.Value(s.out).Data)
}

// runLosses runs the span from a neck to the losses.
func (r *Runner) runLosses(ctx context.Context, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64) (*span, error) {
	s, err := r.span(spanKind{from: from, to: r.Necks() - 1, loss: loss})
	if err != nil {
		return nil, err
	}
	if err := r.bind(s, from, in, len(labels)); err != nil {
		return nil, err
	}
	if err := r.bindLabels(s, labels, invT); err != nil {
		return nil, err
	}
	return s, r.machine.Run(ctx, s.plan, nil)
}

// span returns a compiled span, compiling it at first use.
func (r *Runner) span(k spanKind) (*span, error) {
	r.key = k.appendKey(r.key[:0])
	if s := r.spans[string(r.key)]; s != nil {
		return s, nil
	}
	s, err := r.network.compileSpan(k, r.device)
	if err != nil {
		return nil, &Error{Path: r.network.Model.Path, Msg: "the model cannot be run", Err: err, Help: "see `modeldoctor inspect`"}
	}
	if err := r.fits(s.plan.ArenaBytes()); err != nil {
		return nil, err
	}
	if err := s.bindConstants(r.device); err != nil {
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
func (r *Runner) bind(s *span, from int, in nn.Memory, examples int) (err error) {
	for _, w := range s.weights {
		data := r.override[w.index]
		if data == nil {
			if data, err = r.Checkpoint(w.index); err != nil {
				return err
			}
		}
		s.plan.Bind(w.node, op.Array{Type: s.graph.TypeOf(w.node), Data: data})
	}
	if examples < r.Batch() {
		if in, err = r.pad(in, examples, r.NeckElements(from)); err != nil {
			return err
		}
	}
	s.plan.Bind(s.in, op.Array{Type: s.graph.TypeOf(s.in), Data: in})
	return nil
}

// pad returns a batch of so many examples, and the first for the rest.
func (r *Runner) pad(in nn.Memory, examples, size int) (nn.Memory, error) {
	d := r.device
	full, err := r.padded.Grow(d, r.Batch()*size)
	if err != nil {
		return nil, err
	}
	if err := d.Copy(full, d.Slice(in, 0, examples*size)); err != nil {
		return nil, err
	}
	first := d.Slice(in, 0, size)
	for i := examples; i < r.Batch(); i++ {
		if err := d.Copy(d.Slice(full, i*size, (i+1)*size), first); err != nil {
			return nil, err
		}
	}
	return full, nil
}

// bindLabels gives a span that ends in losses its labels and temperature.
func (r *Runner) bindLabels(s *span, labels []int, invT float64) error {
	for i := range r.Batch() {
		label := int64(0)
		if i < len(labels) {
			label = int64(labels[i])
		}
		set(&r.labels, i, label)
	}
	set(&r.inverseTemperature, 0, float32(invT))
	if err := r.labels.bind(r.device, s, s.labels); err != nil {
		return err
	}
	return r.inverseTemperature.bind(r.device, s, s.inverseTemperature)
}

// readLosses reads the losses of the first examples, in nats, from the last run.
func (r *Runner) readLosses(s *span, losses []float64) error {
	r.read = slices.Grow(r.read[:0], len(losses))[:len(losses)]
	if err := r.device.Download(r.read, s.plan.Value(s.losses).Data); err != nil {
		return err
	}
	for i, x := range r.read {
		losses[i] = float64(x)
	}
	return nil
}
