package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Kind says where a value comes from.
type Kind uint8

// The kinds of values.
const (
	Constant Kind = iota // known while the program is built
	Input                // fed at run time: the images
	Weight               // a weight of the model, as stored in the file
	Computed             // the result of a step
	Sequence             // a list of values, which no Op takes
)

// Value is a tensor of a program, or a list of them.
type Value struct {
	Type       Type
	Kind       Kind
	Name       string   // the ONNX value's name where it has one
	Const      *Array   // the elements, for a Constant; read only
	Index      int      // for a Weight or an Input: its number, given by the caller
	Step       *Step    // for a Computed value: the step it is the result of
	Items      []*Value // of a Sequence
	OnDataPath bool     // depends on an Input
}

// Step is one Op of a program.
type Step struct {
	Op    Op
	In    []*Value
	Out   *Value
	Node  *onnx.Node // the node it was lowered from; nil for steps a pass made
	Index int        // its place in [Program.Steps]
}

// Operands are the inputs that the result is made of: without that which only tells the
// scale of a grid.
func (s *Step) Operands() []*Value {
	if _, ok := s.Op.(DynamicProduct); ok {
		return s.In[:1]
	}
	return s.In
}

// Program is the straight-line code that an ONNX graph was lowered to: every
// step's inputs are results of earlier steps, weights, inputs or constants.
type Program struct {
	Steps []*Step

	node   *onnx.Node
	ctx    *kernel.Context
	budget int64 // bytes that may be folded, in all
	folded int64 // bytes that have been
}

// BaseFoldBudget is what the constants folded in one program may take, in
// bytes: every program's budget at least. See [NewProgram].
const BaseFoldBudget = 24 << 20

// ErrOverBudget is in the errors of constants for which a program's budget is too small.
var ErrOverBudget = errors.New("over the limit")

// NewProgram returns an empty program for a model of so many bytes, its external
// data included. All that is computed while it is built may take [BaseFoldBudget]
// and twice the model, intermediate results counted: a file that asks for more is
// refused at the node that does. Constants are folded on one thread.
func NewProgram(model int64) *Program {
	return &Program{ctx: kernel.NewContext(1), budget: BaseFoldBudget + 2*min(model, math.MaxInt64/4)}
}

// NewArray allocates a zeroed array within the program's budget.
func (p *Program) NewArray(t Type) (Array, error) {
	if err := p.Reserve(t); err != nil {
		return Array{}, err
	}
	return NewArray(t), nil
}

// Reserve takes the bytes of an array of type t from the budget.
func (p *Program) Reserve(t Type) error {
	if _, err := sized(t); err != nil {
		return err
	}
	bytes := int64(t.Elements()) * int64(ElementBytes(t.DType))
	if bytes > p.budget-p.folded {
		return fmt.Errorf("a constant of %d elements (%d bytes) is %w: the constants computed from a file of this size may take %d bytes, and %d are taken",
			t.Elements(), bytes, ErrOverBudget, p.budget, p.folded)
	}
	p.folded += bytes
	return nil
}

// At sets the ONNX node that the steps emitted next belong to.
func (p *Program) At(n *onnx.Node) { p.node = n }

// Constant returns a value with known elements; the program keeps a.
func (p *Program) Constant(a Array) *Value {
	return &Value{Type: a.Type, Kind: Constant, Const: &a}
}

// Ints returns a known INT64 vector.
func (p *Program) Ints(v ...int64) *Value { return p.Constant(Ints(v, len(v))) }

// Input returns a value that is fed at run time.
func (p *Program) Input(name string, t Type, index int) *Value {
	return &Value{Type: t, Kind: Input, Name: name, Index: index, OnDataPath: true}
}

// Weight returns a value that stands for a weight of the model.
func (p *Program) Weight(name string, t Type, index int) *Value {
	return &Value{Type: t, Kind: Weight, Name: name, Index: index}
}

// Sequence returns a list of values, which the program keeps. Lists that grow by one at
// every node are bounded by the program's budget.
func (p *Program) Sequence(items []*Value) (*Value, error) {
	if err := p.Reserve(Type{DType: onnx.Int64, Shape: []int{len(items)}}); err != nil {
		return nil, err
	}
	onPath := false
	for _, v := range items {
		onPath = onPath || v.OnDataPath
	}
	return &Value{Kind: Sequence, Items: items, OnDataPath: onPath}, nil
}

// Emit applies o to the inputs. When all of them are constants the result is
// computed at once and is a constant; else a step is appended. The error is the
// Op's own, about types.
func (p *Program) Emit(o Op, in ...*Value) (*Value, error) {
	types := make([]Type, len(in))
	known, onPath := true, false
	for i, v := range in {
		if v.Kind == Sequence {
			return nil, fmt.Errorf("%s: input %d is a sequence of %d tensors, expected a tensor", o.Name(), i, len(v.Items))
		}
		types[i] = v.Type
		known = known && v.Kind == Constant
		onPath = onPath || v.OnDataPath
	}
	t, err := o.Infer(types)
	if err == nil {
		t, err = sized(t)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name(), err)
	}
	if known {
		out, err := p.NewArray(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name(), err)
		}
		arrays := make([]Array, len(in))
		for i, v := range in {
			arrays[i] = *v.Const
		}
		o.Forward(p.ctx, out, arrays)
		return p.Constant(out), nil
	}
	v := &Value{Type: t, Kind: Computed, OnDataPath: onPath}
	v.Step = &Step{Op: o, In: in, Out: v, Node: p.node, Index: len(p.Steps)}
	p.Steps = append(p.Steps, v.Step)
	return v, nil
}
