package graph

import (
	"errors"
	"fmt"
	"sync"

	"github.com/modeldoctor/modeldoctor/graph/lowering"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// defaultForwardBytes bounds the memory of a forward pass when the batch is
// chosen, and maxBatch the batch itself: beyond it matrix products gain
// nothing.
const (
	defaultForwardBytes = 64 << 20
	maxBatch            = 64
	maxDeviceBatch      = 128 // where much memory was granted
)

// probeBatch is the batch at which a network is first bound: small, because
// constants may grow with it, and a size that hardly any dimension has.
const probeBatch = 11

// Build reads a model as a network. The errors are *Error; a model with nodes
// that cannot be run gives an *Error that names the first of them (all of them
// are listed by [Inspect]).
func Build(m *onnx.Model, opt Options) (*Network, error) {
	n, err := build(m, opt)
	var refused *refusal
	if errors.As(err, &refused) {
		return nil, unsupportedError(m, refused.nodes)
	}
	return n, err
}

func unsupportedError(m *onnx.Model, list []onnx.Unsupported) error {
	return &Error{Path: m.Path, Msg: (&refusal{nodes: list}).Error(), Help: advise(list[0])}
}

// refusal is the error that some nodes, one at least, cannot be run.
type refusal struct {
	nodes []onnx.Unsupported
	first bool // reading stopped at the first, and others may be refused, too
}

func (r *refusal) Error() string {
	msg := r.nodes[0].Node + ": " + r.nodes[0].Reason
	if more := len(r.nodes) - 1; more > 0 {
		msg += fmt.Sprintf(" (and %d more nodes)", more)
	}
	return msg
}

// build is Build, but for the type of a refusal.
func build(m *onnx.Model, opt Options) (*Network, error) {
	b, err := newBuilder(m, opt)
	if err != nil {
		return nil, err
	}
	n, err := b.network()
	if err != nil {
		return nil, err
	}
	if !opt.NoFuse {
		if err := n.dropUnreadRows(); err != nil {
			return nil, err
		}
	}
	n.finish()
	return n, nil
}

// finish finds out what follows from steps, necks and weights that are final.
func (n *Network) finish() {
	n.program = nil // it holds steps that are not run
	n.setNecks()
	n.layers = groupLayers(n)
	n.stages = sync.OnceValue(n.weightStages)
}

// builder reads one model, at one batch size after another.
type builder struct {
	model      *onnx.Model
	options    Options
	registry   *lowering.Registry
	input      InputSpec
	output     string
	live       []*onnx.Node // those that the output depends on, in topological order
	candidates *candidates  // as far as is known by now
}

func newBuilder(m *onnx.Model, opt Options) (*builder, error) {
	b := &builder{model: m, options: opt, registry: lowering.NewRegistry()}
	var err error
	if b.input, err = inputSpec(m, opt); err != nil {
		return nil, err
	}
	if b.output, err = outputOf(m, opt); err != nil {
		return nil, err
	}
	if b.live, err = liveNodes(m, b.output); err != nil {
		return nil, err
	}
	if list := unsupportedNodes(m, b.registry, b.live); len(list) > 0 {
		return nil, &refusal{nodes: list}
	}
	b.candidates = findCandidates(m)
	return b, nil
}

// network returns the network without its layers, at the batch that the file, the
// caller or the memory of a forward pass asks for.
//
// A graph that was traced with one image may have that number in its shapes although
// the declaration of its input leaves it open. It takes one image at a time.
func (b *builder) network() (*Network, error) {
	n, err := b.atOwnBatch()
	var traced tracedError
	if !errors.As(err, &traced) {
		return n, err
	}
	if b.input.FixedBatch == 0 {
		b.input.FixedBatch = 1
		if n, err := b.atOwnBatch(); err == nil {
			return n, nil
		}
	}
	return nil, traced.error
}

// A tracedError is one that a graph traced with one image gives for more: its shapes do
// not fit at a node, or it has one row of scores for all of them.
type tracedError struct{ error }

func (b *builder) atOwnBatch() (*Network, error) {
	batch, noFuse := b.options.Batch, b.options.NoFuse
	if b.input.FixedBatch > 0 {
		batch = b.input.FixedBatch
	}
	// A second binding, at another batch, tells the batch dimension from others
	// that happen to have its size. Where the batch is chosen here it is made
	// first, to see how much memory an example takes.
	var other *Network
	var err error
	if batch == 0 {
		if other, err = b.at(probeBatch, noFuse); err != nil {
			return nil, err
		}
		bytes, most := int64(defaultForwardBytes), int64(maxBatch)
		if b.options.ForwardBytes > 0 {
			bytes, most = b.options.ForwardBytes, maxDeviceBatch
		}
		batch = int(max(1, min(most, bytes/max(1, int64(other.widestBytes())))))
	}
	n, err := b.withNecks(batch, noFuse, other)
	if err != nil {
		return nil, err
	}
	if noFuse {
		fused, err := b.withNecks(batch, false, nil)
		if err != nil {
			return nil, err
		}
		fused.nameWeights()
		n.takeNames(fused)
	} else {
		n.nameWeights()
	}
	n.options = b.options
	n.options.Batch = batch
	return n, nil
}

// withNecks binds the model to a batch size, and finds the necks by comparing it with
// other, the same at another batch; nil where there is none yet.
func (b *builder) withNecks(batch int, noFuse bool, other *Network) (*Network, error) {
	n, err := b.at(batch, noFuse)
	if err != nil || b.input.FixedBatch > 0 {
		return n, err
	}
	if other == nil || other.Batch == batch {
		if other, err = b.at(batch+1, noFuse); err != nil {
			return nil, err
		}
	}
	several := n
	if batch == 1 { // for one image steps fall away, such as expanding to the batch
		if several, err = b.at(other.Batch+1, noFuse); err != nil {
			return nil, err
		}
	}
	if list := several.mixing(other); len(list) > 0 {
		return nil, &refusal{nodes: list}
	}
	n.keepBatchedNecks(other)
	return n, nil
}

// at binds the model to a batch size, again and again until no tensor that was
// taken for a weight turns out to be none: that is a constant, and folded.
func (b *builder) at(batch int, noFuse bool) (*Network, error) {
	for {
		n, constants, err := b.bind(batch, noFuse)
		if err != nil || len(constants) == 0 {
			return n, err
		}
		for t, reason := range constants {
			b.candidates.exclude(t, reason)
		}
	}
}

// takeNames gives the weights the names and the blocks that they have in another
// reading of the same file, the fused one, so that both have the same layers.
func (n *Network) takeNames(fused *Network) {
	n.structured = fused.structured
	named := map[*onnx.Tensor]*Weight{}
	for _, w := range fused.Weights {
		named[w.Tensor] = w
	}
	for _, w := range n.Weights {
		same := named[w.Tensor]
		w.Name, w.Source, w.member = same.Name, same.Source, same.member
	}
}

// widestBytes is the most bytes per example that the values alive at one step
// take, over all steps: a measure of a forward pass's memory.
func (n *Network) widestBytes() int {
	last := make(map[*op.Value]int, 2*len(n.steps))
	for i, s := range n.steps {
		for _, v := range s.In {
			last[v] = i
		}
	}
	ends := make([]int, len(n.steps)+1) // bytes of the values that a step is the last to use
	alive, widest := 0, 0
	for i, s := range n.steps {
		if !s.Out.OnDataPath {
			continue
		}
		bytes := s.Out.Type.Elements() * 4
		alive += bytes
		widest = max(widest, alive)
		ends[last[s.Out]] += bytes
		alive -= ends[i]
	}
	return widest / n.Batch
}
