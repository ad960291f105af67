package op

import (
	"fmt"
	"hash"
	"hash/fnv"
	"slices"
	"sync"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Differentiable is an Op with a gradient.
type Differentiable interface {
	Op
	// Gradient appends to g the computation of the inputs' cotangents. in, out
	// are the operation's own nodes, dout the cotangent of out (of out's type).
	// need[i] says whether input i wants one: the result has one node per
	// input, of the input's type, nil where need is false.
	//
	// The Op of a cotangent is named after the operation, as in MaxPoolGradient, and
	// the routine that computes it with Grad, as in package kernel.
	//
	// It is called while Gorgonia differentiates; wrong shapes are programming
	// errors and panic (see [Graph.Do]).
	Gradient(g *Graph, in []*gorgonia.Node, out, dout *gorgonia.Node, need []bool) []*gorgonia.Node
}

// Graph is a Gorgonia expression graph made of Ops. Building and
// differentiating graphs takes a package-wide lock, because Gorgonia's
// differentiation is not safe in two goroutines at once even on two graphs.
//
// One graph may be differentiated once ([Graph.Backpropagate]); Gorgonia skips
// nodes that already have a derivative.
type Graph struct {
	Expr *gorgonia.ExprGraph

	types   map[*gorgonia.Node]Type
	tracked map[*gorgonia.Node]bool // a gradient is wanted through the node
	labels  map[*gorgonia.Node]string
	next    uint64
	forward int64 // the number of nodes before differentiation; 0: not differentiated

	differentiating string // label of the node whose gradient is being appended
}

// NewGraph returns an empty graph.
func NewGraph() *Graph {
	return &Graph{
		Expr:    gorgonia.NewGraph(),
		types:   map[*gorgonia.Node]Type{},
		tracked: map[*gorgonia.Node]bool{},
		labels:  map[*gorgonia.Node]string{},
	}
}

// Input adds a node whose value is given at run time. tracked says that a
// gradient with respect to it will be asked for. Names must be unique within
// the graph: Gorgonia merges inputs that look alike.
func (g *Graph) Input(name string, t Type, tracked bool) *gorgonia.Node {
	shape := gorgoniaShape(t.Shape)
	n := gorgonia.NewTensor(g.Expr, gorgoniaDType(t.DType), len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	g.types[n] = t
	g.tracked[n] = tracked
	return n
}

// Apply adds o applied to the inputs.
func (g *Graph) Apply(o Op, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	return g.apply(o, true, in)
}

// Do is Apply for the nodes of a gradient, whose shapes follow from shapes
// already checked: an error is a programming error and panics. No gradient
// flows through the result.
func (g *Graph) Do(o Op, in ...*gorgonia.Node) *gorgonia.Node {
	n, err := g.apply(o, false, in)
	if err != nil {
		panic(fmt.Sprintf("op: gradient: %v", err))
	}
	return n
}

func (g *Graph) apply(o Op, differentiable bool, in []*gorgonia.Node) (*gorgonia.Node, error) {
	a := &Applied{Op: o, graph: g, In: make([]Type, len(in)), need: make([]bool, len(in)), inTypes: make([]hm.Type, len(in))}
	_, hasGradient := o.(Differentiable)
	any := false
	for i, n := range in {
		a.In[i] = g.TypeOf(n)
		a.inTypes[i] = n.Type()
		a.need[i] = differentiable && hasGradient && g.tracked[n]
		any = any || a.need[i]
	}
	var err error
	if a.Out, err = o.Infer(a.In); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name(), err)
	}
	if class := ClassOf(a.Out.DType); class != ClassFloat32 && class != ClassFloat64 {
		// Comparisons and the like: no gradient flows through their result.
		any = false
		clear(a.need)
	} else if differentiable && !hasGradient && slices.ContainsFunc(in, g.Tracked) {
		return nil, fmt.Errorf("%s has no gradient", o.Name())
	}
	g.next++
	a.id = g.next
	n, err := gorgonia.ApplyOp(a, in...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name(), err)
	}
	g.types[n] = a.Out
	g.tracked[n] = any
	if g.differentiating != "" {
		g.labels[n] = "gradient of " + g.differentiating
	}
	return n, nil
}

// TypeOf returns a node's type. The sums that Gorgonia inserts where several
// cotangents meet have the type of their terms.
func (g *Graph) TypeOf(n *gorgonia.Node) Type {
	if t, ok := g.types[n]; ok {
		return t
	}
	for it := g.Expr.From(n.ID()); it != nil && it.Next(); {
		return g.TypeOf(it.Node().(*gorgonia.Node))
	}
	panic(fmt.Sprintf("op: node %v is not of this graph", n))
}

// Tracked reports whether a gradient flows through the node.
func (g *Graph) Tracked(n *gorgonia.Node) bool { return g.tracked[n] }

// SetLabel says what a node is called in errors: best the label of the ONNX node
// that it computes. The nodes of its gradient are labelled after it.
func (g *Graph) SetLabel(n *gorgonia.Node, label string) { g.labels[n] = label }

// Label returns what SetLabel said, or "".
func (g *Graph) Label(n *gorgonia.Node) string { return g.labels[n] }

// InGradient reports whether Backpropagate has added the node: Gorgonia numbers nodes
// from 0 as they are added.
func (g *Graph) InGradient(n *gorgonia.Node) bool { return g.forward > 0 && n.ID() >= g.forward }

// gorgoniaLock guards Gorgonia's differentiation, which races on a shared
// package constant.
var gorgoniaLock sync.Mutex

// Backpropagate adds the gradient of <out, cotangent> with respect to each of
// wrt, which must be tracked nodes that out depends on. It may be called once
// per graph.
func (g *Graph) Backpropagate(out, cotangent *gorgonia.Node, wrt []*gorgonia.Node) (grads []*gorgonia.Node, err error) {
	gorgoniaLock.Lock()
	defer gorgoniaLock.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("differentiate: %v", r)
		}
	}()
	g.forward = int64(len(g.Expr.AllNodes()))
	return gorgonia.Backpropagate(gorgonia.Nodes{out}, gorgonia.Nodes{cotangent}, gorgonia.Nodes(wrt))
}

// Applied is an Op at one place of a Gorgonia graph: it implements
// gorgonia.SDOp. Package exec runs it through Op, never through Do.
type Applied struct {
	Op  Op
	In  []Type
	Out Type

	graph   *Graph
	id      uint64 // makes every application distinct: Gorgonia merges nodes of equal hash
	need    []bool
	inTypes []hm.Type
}

var _ gorgonia.SDOp = (*Applied)(nil)

// Arity is the number of inputs.
func (a *Applied) Arity() int { return len(a.In) }

// Type returns a new function type at each call: Gorgonia recycles it.
func (a *Applied) Type() hm.Type {
	out := gorgonia.TensorType{Dims: len(gorgoniaShape(a.Out.Shape)), Of: gorgoniaDType(a.Out.DType)}
	return hm.NewFnType(append(slices.Clone(a.inTypes), out)...)
}

// InferShape returns the shape found when the Op was applied.
func (a *Applied) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	return gorgoniaShape(a.Out.Shape), nil
}

// Do runs the Op on freshly allocated memory; it serves Gorgonia's own
// machines, which only tests use.
func (a *Applied) Do(values ...gorgonia.Value) (gorgonia.Value, error) {
	in := make([]Array, len(values))
	for i, v := range values {
		in[i] = Array{a.In[i], v.Data()}
	}
	out := NewArray(a.Out)
	a.Op.Forward(kernel.NewContext(1), out, in)
	return tensor.New(tensor.WithShape(gorgoniaShape(a.Out.Shape)...), tensor.WithBacking(out.Data)), nil
}

// ReturnsPtr, CallsExtern and OverwritesInput tell Gorgonia's own machines that
// the Op allocates its result and leaves its inputs alone.
func (a *Applied) ReturnsPtr() bool { return true }

// CallsExtern reports that no foreign code is called.
func (a *Applied) CallsExtern() bool { return false }

// OverwritesInput reports that no input is overwritten.
func (a *Applied) OverwritesInput() int { return -1 }

// WriteHash writes a hash unique to this application.
func (a *Applied) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s#%d", a.Op.Name(), a.id) }

// Hashcode is the 32-bit hash of WriteHash.
func (a *Applied) Hashcode() uint32 {
	h := fnv.New32a()
	a.WriteHash(h)
	return h.Sum32()
}

func (a *Applied) String() string { return a.Op.Name() }

// DiffWRT says which inputs of this very application want a gradient, so that
// nothing else is ever computed.
func (a *Applied) DiffWRT(int) []bool { return slices.Clone(a.need) }

// SymDiff appends the Op's gradient.
func (a *Applied) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d, ok := a.Op.(Differentiable)
	if !ok {
		return nil, fmt.Errorf("%s has no gradient", a.Op.Name())
	}
	a.graph.differentiating = a.graph.labels[out]
	defer func() { a.graph.differentiating = "" }()
	return d.Gradient(a.graph, in, out, grad, a.need), nil
}

// gorgoniaShape writes rank 0 as one element, so that Gorgonia, which treats
// scalars as a kind of their own, never meets one.
func gorgoniaShape(shape []int) tensor.Shape {
	if len(shape) == 0 {
		return tensor.Shape{1}
	}
	return slices.Clone(shape)
}

func gorgoniaDType(t onnx.DType) tensor.Dtype {
	switch ClassOf(t) {
	case ClassFloat32:
		return tensor.Float32
	case ClassFloat64:
		return tensor.Float64
	case ClassInt:
		return tensor.Int64
	case ClassBool:
		return tensor.Bool
	}
	panic(fmt.Sprintf("op: no Gorgonia type for %v", t))
}
