package exec

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"

	"gorgonia.org/gorgonia"
)

// Config says what a plan computes and from what. A node may be named several
// times, and be both kept and streamed.
type Config struct {
	// Outputs are kept: their values can be read after a run.
	Outputs []*gorgonia.Node
	// Streamed are handed to the sink of the run, each node once, right after
	// the step that computes it, and are not kept. Streamed inputs and feeds
	// are handed over before the first step.
	Streamed []*gorgonia.Node
	// Feeds are nodes whose value is given instead of computed. What only they
	// depend on is not run.
	Feeds []*gorgonia.Node
	// BFloat16 are inputs and feeds that are activations, or their cotangents, for a
	// device that holds what is computed from such in bfloat16 ([Device]), in half
	// the memory. Weights are none, nor is what depends on weights alone. Outputs,
	// streamed or kept, stay float32, and so do logits and losses.
	BFloat16 []*gorgonia.Node
	// OnHost says that the plan is for the host, which has kernels of its own for
	// linear layers and convolutions with what follows them ([LinearGELU], op.ConvThen).
	OnHost bool
	// Threads are those of the host, if it is known.
	Threads int
}

// Plan is a graph compiled for chosen outputs and feeds. It holds the bound
// inputs and, after a run, the outputs; it is used by one goroutine at a time and
// belongs to the first machine that runs it.
type Plan struct {
	graph    *op.Graph
	slots    map[*gorgonia.Node]int
	values   []op.Array // by slot; Data is nil before it is bound or attached
	inputs   []input
	steps    []step
	buffers  []buffer
	owners   []int  // slot of each buffer
	bfloat16 []bool // whether a value is so held, see inBFloat16, by slot
	arity    int    // the most inputs of a step
	outputs  []*gorgonia.Node
	streamed bool // some output is streamed
	arena    int64
	live     int64

	// The machine whose arena the values view, and which of its arenas and of
	// its runs. run is 0 when there is nothing to read.
	machine    *Machine
	generation int
	run        uint64
}

// input is a value that must be bound.
type input struct {
	node     *gorgonia.Node
	slot     int
	streamed bool
}

// step computes one value.
type step struct {
	node     *gorgonia.Node
	op       Operation
	in       []int // slots
	out      int   // slot
	streamed bool
	gradient bool // part of a backward pass

	run     *imageRun // nil for a step that computes all images at once
	grouped []int     // of each operand and of the result: which of run.whole it is, or -1
}

// Operation is what a step needs of an op.Op: it is one, a [Sum], a
// [LinearAdd], a [LinearGELU] or an op.ConvThen.
type Operation interface {
	Name() string
	Forward(c *kernel.Context, out op.Array, in []op.Array)
}

// view stands for every op.View: the result is the input under another type.
type view struct{ Operation }

// Sum is the addition that Gorgonia inserts where several cotangents of one value
// meet. The result is a new array, never one of the terms.
type Sum struct{}

// Name is Sum.
func (Sum) Name() string { return "Sum" }

// Forward adds the two inputs.
func (Sum) Forward(c *kernel.Context, out op.Array, in []op.Array) {
	switch out.Data.(type) {
	case []float32:
		kernel.Add(c, op.Elem[float32](in[0]), op.Elem[float32](in[1]), op.Elem[float32](out))
	case []float64:
		kernel.Add(c, op.Elem[float64](in[0]), op.Elem[float64](in[1]), op.Elem[float64](out))
	}
}

// Compile plans the computation of the outputs. The graph may grow afterwards;
// the plan does not see it.
//
// Errors: a node of another graph, an operation that is not an op.Op (named), a
// result too large to address. 3,000 steps take some 20 ms.
func Compile(g *op.Graph, config Config) (*Plan, error) {
	p := &Plan{graph: g, slots: map[*gorgonia.Node]int{}, outputs: distinct(config.Outputs)}
	if len(config.Outputs)+len(config.Streamed) == 0 {
		return nil, errors.New("exec: a plan needs an output")
	}
	fed, streamed := setOf(config.Feeds), setOf(config.Streamed)
	nodes, operands, err := needed(g, slices.Concat(config.Outputs, config.Streamed), fed)
	if err != nil {
		return nil, err
	}
	p.values = make([]op.Array, len(nodes))
	for slot, n := range nodes {
		p.slots[n] = slot
		p.values[slot].Type = g.TypeOf(n)
		p.streamed = p.streamed || streamed[n]
		if n.Op() == nil || fed[n] {
			p.inputs = append(p.inputs, input{n, slot, streamed[n]})
			continue
		}
		s := step{node: n, out: slot, streamed: streamed[n], gradient: g.InGradient(n)}
		for _, m := range operands[n] {
			in, ok := p.slots[m]
			if !ok {
				return nil, fmt.Errorf("exec: node %v was added before its input %v", n, m)
			}
			s.in = append(s.in, in)
		}
		if s.op, err = p.operationOf(n, s.in); err != nil {
			return nil, err
		}
		p.arity = max(p.arity, len(s.in))
		p.steps = append(p.steps, s)
	}
	p.joinAdditions()
	if config.OnHost {
		p.joinGELUs()
		p.joinConvolutions()
		p.groupImages(config.Threads)
	}
	if err := p.layOut(config); err != nil {
		return nil, err
	}
	return p, nil
}

// needed returns the nodes that the outputs depend on, down to inputs and fed
// nodes, in an order in which each comes after its operands, and the operands of
// those that are computed.
func needed(g *op.Graph, outputs []*gorgonia.Node, fed map[*gorgonia.Node]bool) (nodes []*gorgonia.Node, operands map[*gorgonia.Node][]*gorgonia.Node, err error) {
	operands = map[*gorgonia.Node][]*gorgonia.Node{}
	seen := map[*gorgonia.Node]bool{}
	for stack := slices.Clone(outputs); len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		if n == nil || g.Expr.Node(n.ID()) != n {
			return nil, nil, fmt.Errorf("exec: node %v is not of this graph", n)
		}
		nodes = append(nodes, n)
		if n.Op() == nil || fed[n] {
			continue
		}
		for it := g.Expr.From(n.ID()); it != nil && it.Next(); {
			operands[n] = append(operands[n], it.Node().(*gorgonia.Node))
		}
		stack = append(stack, operands[n]...)
	}
	// A node is numbered when it is added to the graph, after its operands.
	slices.SortFunc(nodes, func(a, b *gorgonia.Node) int { return cmp.Compare(a.ID(), b.ID()) })
	return nodes, operands, nil
}

// operationOf returns what computes n from the values in the slots in.
func (p *Plan) operationOf(n *gorgonia.Node, in []int) (Operation, error) {
	if a, ok := n.Op().(*op.Applied); ok {
		if _, ok := a.Op.(op.View); ok {
			return view{a.Op}, nil
		}
		return a.Op, nil
	}
	// The only operation that gorgonia.Backpropagate adds of its own accord. Its
	// type is not exported; this is how it prints.
	if n.Op().String() == "+ false" && len(in) == 2 {
		t, a, b := p.graph.TypeOf(n), p.values[in[0]].Type, p.values[in[1]].Type
		class := op.ClassOf(t.DType)
		if t.Equal(a) && t.Equal(b) && (class == op.ClassFloat32 || class == op.ClassFloat64) {
			return Sum{}, nil
		}
	}
	return nil, fmt.Errorf("exec: node %v: %v is not an operation of package op", n, n.Op())
}

// layOut finds how long each value lives and gives those that are computed a
// place in the arena.
func (p *Plan) layOut(config Config) error {
	// A view lives in the bytes of the value it was made from.
	root := make([]int, len(p.values))
	last := make([]int, len(p.values)) // by root: the last step that reads the bytes
	for i := range root {
		root[i] = i
	}
	for i, s := range p.steps {
		if _, ok := s.op.(view); ok {
			root[s.out] = root[s.in[0]]
		}
		for _, in := range s.in {
			last[root[in]] = p.until(i, in)
		}
		last[s.out] = p.until(i, s.out) // the step itself writes them, and the sink reads them
	}
	for _, n := range p.outputs {
		last[root[p.slots[n]]] = len(p.steps) - 1
	}
	p.bfloat16 = p.inBFloat16(config, root)
	for i, s := range p.steps {
		if root[s.out] != s.out {
			continue
		}
		size, err := bytesOf(p.values[s.out].Type)
		if err != nil {
			return &StepError{Op: s.op.Name(), Node: p.graph.Label(s.node), Type: p.values[s.out].Type, Err: err}
		}
		if p.bfloat16[s.out] {
			size /= 2
		}
		p.owners = append(p.owners, s.out)
		p.buffers = append(p.buffers, buffer{size: align(size), first: int32(p.since(i, s.out)), last: int32(last[s.out])})
	}
	p.live = liveBytes(p.buffers, len(p.steps))
	p.arena = assignOffsets(p.buffers)
	return nil
}

// maxBytes bounds one array, so that sums of sizes do not overflow.
const maxBytes = 1 << 40

// bytesOf returns the size of an array in memory.
func bytesOf(t op.Type) (int64, error) {
	size := uint64(op.ElementBytes(t.DType))
	if size == 0 {
		return 0, errors.New("elements of this type cannot be computed with")
	}
	for _, d := range t.Shape {
		high, low := bits.Mul64(size, uint64(d))
		if d < 0 || high != 0 || low > min(maxBytes, math.MaxInt) {
			return 0, errors.New("the result is too large for any memory")
		}
		size = low
	}
	return int64(size), nil
}

// ArenaBytes returns the size of the arena that a run needs, in bytes, for what
// is computed; bound arrays are not in it.
func (p *Plan) ArenaBytes() int64 { return p.arena }

// LiveBytes returns the bound that no arena can be below, in bytes: the largest
// sum, over the steps, of the sizes of the results that are alive, each rounded
// up to the alignment of 64 bytes.
func (p *Plan) LiveBytes() int64 { return p.live }

// Inputs returns every node that must be bound before a run, in the order they
// were added to the graph: the inputs and feeds that the outputs depend on.
func (p *Plan) Inputs() []*gorgonia.Node {
	nodes := make([]*gorgonia.Node, len(p.inputs))
	for i, in := range p.inputs {
		nodes[i] = in.node
	}
	return nodes
}

// Bind gives an input or fed node its value, for all runs until it is bound
// again, in the memory of the machine's device. The array is not copied: the
// caller may change its elements between runs. A node that no output depends on
// is ignored. Binding a node that the plan computes, or an array of another type,
// is a programming error and panics.
func (p *Plan) Bind(n *gorgonia.Node, a op.Array) {
	slot, ok := p.slots[n]
	if !ok {
		return
	}
	if !slices.ContainsFunc(p.inputs, func(in input) bool { return in.slot == slot }) {
		panic(fmt.Sprintf("exec: Bind: node %v is computed", n))
	}
	if want := p.values[slot].Type; !a.Type.Equal(want) || !wellFormed(a) {
		panic(fmt.Sprintf("exec: Bind: node %v is %v, the array is %v with elements %T", n, want, a.Type, a.Data))
	}
	p.values[slot].Data = a.Data
}

// wellFormed reports whether Data, if it is the host's, is what the type says.
func wellFormed(a op.Array) bool {
	n := -1
	switch class := op.ClassOf(a.DType); d := a.Data.(type) {
	default:
		return d != nil
	case []float32:
		if class == op.ClassFloat32 {
			n = len(d)
		}
	case []float64:
		if class == op.ClassFloat64 {
			n = len(d)
		}
	case []int64:
		if class == op.ClassInt {
			n = len(d)
		}
	case []bool:
		if class == op.ClassBool {
			n = len(d)
		}
	}
	return n == a.Elements()
}

// Value returns a kept output of the plan's last run. It views the arena, and is
// valid until the next run on the machine. Reading a node that is not an output,
// or after another run on the machine, or after a run that failed, is a
// programming error and panics.
func (p *Plan) Value(n *gorgonia.Node) op.Array {
	if !slices.Contains(p.outputs, n) {
		panic(fmt.Sprintf("exec: Value: node %v is not an output", n))
	}
	if p.run == 0 || p.run != p.machine.runs {
		panic("exec: Value: the plan was not the last to run on its machine, or failed")
	}
	return p.values[p.slots[n]]
}

func setOf(nodes []*gorgonia.Node) map[*gorgonia.Node]bool {
	set := make(map[*gorgonia.Node]bool, len(nodes))
	for _, n := range nodes {
		set[n] = true
	}
	return set
}

// distinct returns the nodes without repetitions.
func distinct(nodes []*gorgonia.Node) []*gorgonia.Node {
	seen := make(map[*gorgonia.Node]bool, len(nodes))
	var list []*gorgonia.Node
	for _, n := range nodes {
		if !seen[n] {
			seen[n] = true
			list = append(list, n)
		}
	}
	return list
}
