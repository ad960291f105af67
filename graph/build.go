package graph

import (
	"fmt"
	"sync"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Options says how a model is read.
type Options struct {
	// Batch is the number of examples per run; 0 chooses one that keeps the
	// memory of a forward pass small. A model exported with a fixed batch runs
	// at that one.
	Batch int
	// NoFuse runs every operator through its plain Op.
	NoFuse bool
	// Height and Width are used where the model leaves the image size open.
	Height, Width int
	// Output names the output that holds the logits; "" chooses it.
	Output string
}

// Error says that a model cannot be used, and what to do about it.
type Error struct {
	Path string // the model file
	Msg  string
	Help string
	Err  error
}

func (e *Error) Error() string {
	s := e.Path + ": " + e.Msg
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Hint says what the user can do.
func (e *Error) Hint() string { return e.Help }

func (e *Error) Unwrap() error { return e.Err }

// Layout is the order of an image's dimensions in the model's input.
type Layout string

// The two layouts of image batches.
const (
	NCHW Layout = "NCHW"
	NHWC Layout = "NHWC"
)

// InputSpec describes the images a network takes.
type InputSpec struct {
	Name       string
	DType      onnx.DType
	Layout     Layout
	Channels   int
	Height     int
	Width      int
	FixedBatch int // the batch the file is bound to; 0 where it is free
}

// Elements is the number of values per image.
func (s InputSpec) Elements() int { return s.Channels * s.Height * s.Width }

// Network is an image classifier as a chain of stages, bound to one batch size.
// It holds no state of a run and may be shared; see [Runner].
type Network struct {
	Model   *onnx.Model
	Input   InputSpec
	Output  string // the ONNX output that was taken
	Classes int
	Batch   int
	// SoftmaxRemoved says that the graph ends in a Softmax and that losses are
	// measured on what enters it.
	SoftmaxRemoved bool
	Weights        []*Weight // what gradients are taken of, in order of first use
	Skipped        []Skipped
	Necks          []Neck // 0 is the image, the last one the logits

	options  Options // that it was built with, and the batch that it has
	steps    []*op.Step
	weightOf map[*op.Value]int       // the index in Weights of a value that is one
	found    map[*onnx.Tensor]string // what was lowered as a weight and is none, and why: see build
	live     map[*onnx.Node]bool     // the nodes that the output depends on
	layers   map[Granularity][]Layer
	stages   func() [][]int // see [Network.Stages]; found when first asked for
}

// Neck is a value that every path from the image to the logits passes through.
type Neck struct {
	Name     string // the ONNX value's name where it has one
	Shape    []int  // of one example
	Elements int    // values per example

	value    *op.Value
	position int // steps before it in Network.steps, itself included
}

// defaultForwardBytes bounds the memory of a forward pass when the batch is
// chosen, and maxBatch the batch itself: beyond it matrix products gain
// nothing.
const (
	defaultForwardBytes = 64 << 20
	maxBatch            = 64
)

// probeBatch is the batch at which a network is first bound: small, because
// constants may grow with it, and a size that hardly any dimension has.
const probeBatch = 11

// Build reads a model as a network. The errors are *Error; a model with nodes
// that cannot be run gives an *Error that names the first of them (all of them
// are listed by [Inspect]).
func Build(m *onnx.Model, opt Options) (*Network, error) {
	n, refused, err := build(m, opt)
	if err != nil {
		return nil, err
	}
	if refused.nodes != nil {
		return nil, unsupportedError(m, refused.nodes)
	}
	n.options = opt
	n.options.Batch = n.Batch
	return n, nil
}

func unsupportedError(m *onnx.Model, list []onnx.Unsupported) error {
	msg := list[0].Node + ": " + list[0].Reason
	if more := len(list) - 1; more > 0 {
		msg += fmt.Sprintf(" (and %d more nodes)", more)
	}
	return &Error{Path: m.Path, Msg: msg, Help: advise(list[0])}
}

// refusal is what stands in the way of a model; without nodes nothing does.
type refusal struct {
	nodes []onnx.Unsupported
	first bool // reading stopped at the first, and others may be refused, too
}

// build returns the network, or the nodes that stand in its way.
func build(m *onnx.Model, opt Options) (*Network, refusal, error) {
	spec, err := inputSpec(m, opt)
	if err != nil {
		return nil, refusal{}, err
	}
	output, err := outputOf(m, opt)
	if err != nil {
		return nil, refusal{}, err
	}
	live, err := liveNodes(m, output)
	if err != nil {
		return nil, refusal{}, err
	}
	registry := op.NewRegistry()
	if list := unsupportedNodes(m, registry, live); len(list) > 0 {
		return nil, refusal{nodes: list}, nil
	}
	if spec.FixedBatch > 0 {
		opt.Batch = spec.FixedBatch
	}
	roles := classifyWeights(m)
	at := func(opt Options) (*Network, refusal, error) {
		for {
			n, list, err := bind(m, registry, live, roles, spec, output, opt)
			if n == nil || len(n.found) == 0 {
				return n, list, err
			}
			// What the values showed to be no weight is a constant, and folded.
			for t, reason := range n.found {
				roles.exclude(t, reason)
			}
		}
	}
	// A second binding, at another batch, tells the batch dimension from others
	// that happen to have its size. Where the batch is chosen here it is made
	// first, to see how much memory an example takes.
	var other *Network
	if opt.Batch == 0 {
		probe := opt
		probe.Batch = probeBatch
		var refused refusal
		if other, refused, err = at(probe); err != nil || refused.nodes != nil {
			return nil, refused, err
		}
		opt.Batch = max(1, min(maxBatch, defaultForwardBytes/max(1, other.widestBytes())))
	}
	n, refused, err := at(opt)
	if err != nil || refused.nodes != nil {
		return nil, refused, err
	}
	if spec.FixedBatch == 0 {
		if other == nil || other.Batch == n.Batch {
			second := opt
			second.Batch++
			if other, refused, err = at(second); err != nil || refused.nodes != nil {
				return nil, refused, err
			}
		}
		n.keepBatchedNecks(other)
	}
	if opt.NoFuse {
		// Weights without a name in the file are named by the fused network,
		// so that both readings have the same layers.
		opt.Batch, opt.NoFuse = n.Batch, false
		fused, refused, err := at(opt)
		if err != nil || refused.nodes != nil {
			return nil, refused, err
		}
		names := fused.weightsByTensor()
		for _, w := range n.Weights {
			w.Name, w.Source = names[w.Tensor].Name, names[w.Tensor].Source
		}
	}
	n.placeWeights()
	n.layers = groupLayers(n)
	n.stages = sync.OnceValue(n.weightStages)
	return n, refusal{}, nil
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
		if !s.Out.Data {
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

// inputSpec finds the image input and binds what the file leaves open.
func inputSpec(m *onnx.Model, opt Options) (InputSpec, error) {
	fail := func(help, format string, args ...any) (InputSpec, error) {
		return InputSpec{}, &Error{Path: m.Path, Msg: fmt.Sprintf(format, args...), Help: help}
	}
	if len(m.Inputs) != 1 {
		names := make([]string, len(m.Inputs))
		for i, in := range m.Inputs {
			names[i] = in.Name
		}
		return fail("export the model with the image as its only input",
			"the model has %d inputs %q, expected one image", len(m.Inputs), names)
	}
	in := m.Inputs[0]
	if op.ClassOf(in.DType) != op.ClassFloat32 {
		return fail("export the model with a float32 input", "input %q has type %v, expected FLOAT, FLOAT16 or BFLOAT16", in.Name, in.DType)
	}
	if len(in.Shape) != 4 {
		return fail("an image classifier takes a batch of images [N, 3, H, W]", "input %q has rank %d, expected 4", in.Name, len(in.Shape))
	}
	spec := InputSpec{Name: in.Name, DType: in.DType, Layout: NCHW}
	dims := [4]int{}
	for i, d := range in.Shape {
		dims[i] = -1
		if d.Value > 0 {
			if d.Value > maxDim {
				return fail("", "input %q: dimension %d is %d", in.Name, i, d.Value)
			}
			dims[i] = int(d.Value)
		}
	}
	c, h, w := 1, 2, 3
	if isChannels(dims[3]) && !isChannels(dims[1]) {
		spec.Layout = NHWC
		c, h, w = 3, 1, 2
	}
	if dims[c] < 0 {
		dims[c] = 3
	}
	for _, asked := range []struct{ dim, size int }{{h, opt.Height}, {w, opt.Width}} {
		switch {
		case dims[asked.dim] < 0:
			dims[asked.dim] = asked.size
		case asked.size > 0 && asked.size != dims[asked.dim]:
			return fail("leave --image-size out", "input %q has images of %d×%d, not of %d×%d", in.Name, dims[h], dims[w], opt.Height, opt.Width)
		}
	}
	if dims[h] <= 0 || dims[w] <= 0 {
		return fail("give the size the model was trained at with --image-size", "input %q leaves the image size open", in.Name)
	}
	if !isChannels(dims[c]) {
		return fail("the input must be a batch of RGB images, [N, 3, H, W] or [N, H, W, 3]", "input %q has shape %v: no dimension of 3 channels", in.Name, in.Shape)
	}
	spec.Channels, spec.Height, spec.Width = dims[c], dims[h], dims[w]
	if dims[0] > 0 {
		spec.FixedBatch = dims[0]
	}
	return spec, nil
}

// maxDim bounds a declared input dimension; larger ones are absurd for images.
const maxDim = 1 << 16

func isChannels(d int) bool { return d == 3 || d == 1 }

// outputOf chooses the output that holds the logits: the named one, else one
// called logits, else the first that can be [N, classes].
func outputOf(m *onnx.Model, opt Options) (string, error) {
	if opt.Output != "" {
		for _, o := range m.Outputs {
			if o.Name == opt.Output {
				return o.Name, nil
			}
		}
		return "", &Error{Path: m.Path, Msg: fmt.Sprintf("no output is called %q", opt.Output), Help: "see `modeldoctor inspect` for the outputs' names"}
	}
	if len(m.Outputs) == 0 {
		return "", &Error{Path: m.Path, Msg: "the graph has no outputs"}
	}
	first := ""
	for _, o := range m.Outputs {
		if o.Shape != nil && len(o.Shape) != 2 {
			continue
		}
		if o.Name == "logits" {
			return o.Name, nil
		}
		if first == "" {
			first = o.Name
		}
	}
	if first == "" {
		o := m.Outputs[0]
		return "", &Error{Path: m.Path, Msg: fmt.Sprintf("output %q has rank %d, expected class scores [N, classes]", o.Name, len(o.Shape)), Help: "export the classifier, with its head, rather than its features"}
	}
	return first, nil
}

// liveNodes returns the nodes that the output depends on, in topological order.
func liveNodes(m *onnx.Model, output string) ([]*onnx.Node, error) {
	producer := make(map[string]*onnx.Node, len(m.Nodes))
	for _, n := range m.Nodes {
		for _, o := range n.Outputs {
			if o != "" {
				producer[o] = n
			}
		}
	}
	if producer[output] == nil {
		return nil, &Error{Path: m.Path, Msg: fmt.Sprintf("output %q is computed by no node", output)}
	}
	live := map[*onnx.Node]bool{producer[output]: true}
	stack := []*onnx.Node{producer[output]}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, in := range n.Inputs {
			if p := producer[in]; p != nil && !live[p] {
				live[p] = true
				stack = append(stack, p)
			}
		}
	}
	var order []*onnx.Node
	for _, n := range m.Nodes {
		if live[n] {
			order = append(order, n)
		}
	}
	return order, nil
}

// unsupportedNodes lists the live nodes that cannot be run.
func unsupportedNodes(m *onnx.Model, registry *op.Registry, live []*onnx.Node) []onnx.Unsupported {
	var list []onnx.Unsupported
	structural := map[string]onnx.Unsupported{}
	for _, u := range m.Unsupported() {
		if u.Node == "" {
			u.Node = "the file"
			list = append(list, u)
			continue
		}
		structural[u.Node] = u
	}
	for _, n := range live {
		if n.Guard != nil {
			continue // perhaps of a branch that is not taken: seen when it is lowered
		}
		if u, ok := structural[n.Label()]; ok {
			list = append(list, u)
			continue
		}
		if _, err := registry.Find(n.Domain, n.OpType, n.Opset); err != nil {
			list = append(list, n.Unsupported(err.Error()))
		}
	}
	return list
}
