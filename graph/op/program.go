package op

import (
	"fmt"

	"modeldoctor/graph/kernel"
	"modeldoctor/onnx"
)

// Kind says where a value comes from.
type Kind uint8

// The kinds of values.
const (
	Constant Kind = iota // known while the program is built
	Input                // fed at run time: the images
	Weight               // a weight of the model, as stored in the file
	Computed             // the result of a step
)

// Value is a tensor of a program.
type Value struct {
	Type  Type
	Kind  Kind
	Name  string // the ONNX value's name where it has one
	Const *Array // the elements, for a Constant; read only
	Index int    // for a Weight or an Input: its number, given by the caller
	Step  *Step  // for a Computed value: the step it is the result of
	Data  bool   // depends on an Input: it lies on the data path
}

// Step is one Op of a program.
type Step struct {
	Op   Op
	In   []*Value
	Out  *Value
	Node *onnx.Node // the node it was lowered from; nil for steps a pass made
}

// Program is the straight-line code that an ONNX graph was lowered to: every
// step's inputs are results of earlier steps, weights, inputs or constants.
type Program struct {
	Steps []*Step

	node *onnx.Node
	ctx  *kernel.Context
	cap  int
}

// DefaultFoldCap bounds the elements of one folded constant (64 Mi elements):
// a file that asks for more is refused by name.
const DefaultFoldCap = 64 << 20

// NewProgram returns an empty program. Constants are folded on one thread.
func NewProgram() *Program {
	return &Program{ctx: kernel.NewContext(1), cap: DefaultFoldCap}
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
	return &Value{Type: t, Kind: Input, Name: name, Index: index, Data: true}
}

// Weight returns a value that stands for a weight of the model.
func (p *Program) Weight(name string, t Type, index int) *Value {
	return &Value{Type: t, Kind: Weight, Name: name, Index: index}
}

// Emit applies o to the inputs. When all of them are constants the result is
// computed at once and is a constant; else a step is appended. The error is the
// Op's own, about types.
func (p *Program) Emit(o Op, in ...*Value) (*Value, error) {
	types := make([]Type, len(in))
	known, data := true, false
	for i, v := range in {
		types[i] = v.Type
		known = known && v.Kind == Constant
		data = data || v.Data
	}
	t, err := o.Infer(types)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name(), err)
	}
	if known {
		if n := t.Elements(); n > p.cap {
			return nil, fmt.Errorf("%s: a constant of %d elements is over the limit of %d", o.Name(), n, p.cap)
		}
		arrays := make([]Array, len(in))
		for i, v := range in {
			arrays[i] = *v.Const
		}
		out := NewArray(t)
		o.Forward(p.ctx, out, arrays)
		return p.Constant(out), nil
	}
	v := &Value{Type: t, Kind: Computed, Data: data}
	v.Step = &Step{Op: o, In: in, Out: v, Node: p.node}
	p.Steps = append(p.Steps, v.Step)
	return v, nil
}
