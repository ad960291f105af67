package graph

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// Sizes of the networks that are drawn for tests.
const (
	sketchTokens  = 7
	sketchWidth   = 6
	sketchHeads   = 2
	sketchHeadDim = sketchWidth / sketchHeads
)

// sketch is a network that is written down as operations on x
// [2, sketchTokens, sketchWidth] and on weights, which are made as they are asked
// for.
type sketch struct {
	t       testing.TB
	program *op.Program
	inputs  []*op.Value // x, then the weights
	next    int         // of the weights
	shapes  [][]int     // of the weights asked for while there are none yet
}

func (s *sketch) do(o op.Op, in ...*op.Value) *op.Value {
	s.t.Helper()
	v, err := s.program.Emit(o, in...)
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *sketch) weight(shape ...int) *op.Value {
	s.next++
	if s.next >= len(s.inputs) {
		s.shapes = append(s.shapes, shape)
		s.inputs = append(s.inputs, s.program.Weight("", optest.Counting(shape...).Type, s.next))
	}
	return s.inputs[s.next]
}

func (s *sketch) linear(x *op.Value, width int) *op.Value {
	return s.do(op.Linear{}, x, s.weight(x.Type.Shape[x.Type.Rank()-1], width), s.weight(width))
}

func (s *sketch) norm(x *op.Value) *op.Value {
	return s.do(op.LayerNormalization{Axis: x.Type.Rank() - 1, Epsilon: 1e-2}, x, s.weight(sketchWidth), s.weight(sketchWidth))
}

func (s *sketch) packed(offsets ...int) op.PackedAttention {
	return op.PackedAttention{Heads: sketchHeads, HeadDim: sketchHeadDim, Scale: 0.7, Offsets: [3]int(offsets)}
}

// attention is a residual attention.
func (s *sketch) attention(x *op.Value) *op.Value {
	qkv := s.linear(s.norm(x), 3*sketchWidth)
	y := s.do(s.packed(0, sketchWidth, 2*sketchWidth), qkv)
	return s.do(op.Add{}, x, s.linear(y, sketchWidth))
}

func (s *sketch) mlp(x *op.Value) *op.Value {
	y := s.do(op.GELU{}, s.linear(s.norm(x), 4))
	return s.do(op.Add{}, s.linear(y, sketchWidth), x)
}

// token takes rows by a Gather.
func (s *sketch) token(x *op.Value, index ...int64) *op.Value {
	return s.do(op.Gather{Axis: 1}, x, s.program.Ints(index...))
}

// cls takes one row and drops its axis.
func (s *sketch) cls(x *op.Value, index int64) *op.Value {
	return s.do(op.Gather{Axis: 1}, x, s.program.Constant(op.Ints([]int64{index})))
}

func (s *sketch) rows(x *op.Value, start, size, step int) *op.Value {
	o := op.WholeSlice(x.Type.Shape)
	o.Starts[1], o.Sizes[1], o.Steps[1] = start, size, step
	return s.do(o, x)
}

// sketchCase is a network with its result.
type sketchCase struct {
	name string
	draw func(s *sketch, x *op.Value) *op.Value
	// same says that there is nothing to be dropped.
	same bool
}

var sketches = []sketchCase{
	{name: "class token", draw: func(s *sketch, x *op.Value) *op.Value {
		return s.cls(s.norm(s.mlp(s.attention(x))), 0)
	}},
	{name: "two blocks, last token", draw: func(s *sketch, x *op.Value) *op.Value {
		return s.linear(s.cls(s.mlp(s.attention(s.mlp(s.attention(x)))), -1), 2)
	}},
	{name: "two tokens apart", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.norm(s.mlp(s.attention(x)))
		return s.do(op.Add{}, s.linear(s.cls(y, 0), 2), s.linear(s.cls(y, 5), 2))
	}},
	{name: "tokens out of order, one twice", draw: func(s *sketch, x *op.Value) *op.Value {
		return s.token(s.mlp(s.attention(x)), 4, 0, -3)
	}},
	{name: "tokens at equal distances, backwards", draw: func(s *sketch, x *op.Value) *op.Value {
		return s.rows(s.norm(s.attention(x)), 5, 3, -2)
	}},
	{name: "tokens at no equal distances", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.attention(x)
		return s.do(op.Mul{}, s.rows(y, 0, 2, 1), s.rows(y, 0, 2, 3))
	}},
	{name: "selection of a selection", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.do(op.Relu{}, s.rows(s.mlp(s.attention(x)), 1, 6, 1))
		return s.token(s.rows(y, 1, 4, 1), 2, 1)
	}},
	{name: "same token three times", draw: func(s *sketch, x *op.Value) *op.Value {
		return s.do(op.Softplus{}, s.token(s.do(op.Tanh{}, s.token(s.mlp(x), 3, 3, 3, 1, 2)), 1, 1))
	}},
	{name: "mean of all tokens", same: true, draw: func(s *sketch, x *op.Value) *op.Value {
		return s.do(op.Reduce{By: op.ReduceMean, Axes: []int{1}}, s.mlp(s.attention(x)))
	}},
	{name: "mean of most tokens", same: true, draw: func(s *sketch, x *op.Value) *op.Value {
		return s.do(op.Reduce{By: op.ReduceMean, Axes: []int{1}}, s.rows(s.mlp(s.attention(x)), 1, 6, 1))
	}},
	{name: "class token and the mean", same: true, draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.mlp(s.attention(x))
		return s.do(op.Sub{}, s.cls(y, 0), s.do(op.Reduce{By: op.ReduceMean, Axes: []int{1}}, y))
	}},
	{name: "rows along two axes", same: true, draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.do(op.Sigmoid{}, s.mlp(x))
		o := op.WholeSlice(y.Type.Shape)
		o.Sizes[2] = 1
		return s.do(op.Mul{}, s.cls(y, 0), s.do(op.Reduce{By: op.ReduceSum, Axes: []int{1}}, s.do(o, y)))
	}},
	{name: "no rows", same: true, draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.mlp(x)
		return s.do(op.Concat{Axis: 1}, y, s.rows(s.do(op.Sigmoid{}, y), 0, 0, 1))
	}},
	{name: "queries, keys and values apart", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.norm(x)
		q, k, v := s.linear(y, sketchWidth), s.linear(y, sketchWidth), s.linear(x, sketchWidth)
		return s.cls(s.do(s.packed(0, 0, 0), q, k, v), 2)
	}},
	{name: "without biases, weights transposed", draw: func(s *sketch, x *op.Value) *op.Value {
		qkv := s.do(op.Linear{TransW: true}, s.norm(x), s.weight(3*sketchWidth, sketchWidth))
		return s.cls(s.do(s.packed(2*sketchWidth, 0, sketchWidth), qkv), 2)
	}},
	{name: "keys are the values", draw: func(s *sketch, x *op.Value) *op.Value {
		return s.cls(s.do(s.packed(sketchWidth, 0, 0), s.linear(x, 2*sketchWidth)), 1)
	}},
	{name: "columns read elsewhere", draw: func(s *sketch, x *op.Value) *op.Value {
		qkv := s.linear(x, 3*sketchWidth)
		o := op.WholeSlice(qkv.Type.Shape)
		o.Starts[2], o.Sizes[2] = 2, sketchWidth
		return s.cls(s.do(op.Add{}, s.do(s.packed(0, sketchWidth, 2*sketchWidth), qkv), s.do(o, qkv)), 1)
	}},
	{name: "normalised queries and keys", draw: func(s *sketch, x *op.Value) *op.Value {
		q, k := s.norm(s.linear(x, sketchWidth)), s.norm(s.linear(x, sketchWidth))
		return s.cls(s.do(s.packed(0, 0, 0), q, k, s.linear(x, sketchWidth)), 1)
	}},
	{name: "plain attention with a bias", draw: plainAttention},
	{name: "tokens first", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.norm(s.do(op.Transpose{Perm: []int{1, 0, 2}}, s.attention(x)))
		y = s.do(op.Gather{Axis: 2}, s.do(op.Reshape{Shape: []int{sketchTokens, 2, 6, 1}}, y), s.program.Ints(5, 0, 1, 2, 3, 4))
		y = s.do(op.Reshape{Shape: []int{sketchTokens, 2, 1, 2, 3}}, y)
		y = s.do(op.Reduce{By: op.ReduceL2, Axes: []int{2, 4}}, s.do(op.Mul{}, y, y))
		o := op.WholeSlice(y.Type.Shape)
		o.Starts[0], o.Sizes[0] = 3, 1
		return s.do(o, y)
	}},
	{name: "axis beside one that goes", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.do(op.Reshape{Shape: []int{2, 1, sketchTokens, sketchWidth}}, s.mlp(x))
		y = s.do(op.Concat{Axis: 1}, y, s.do(op.Cos{}, y))
		return s.cls(s.do(op.Abs{}, s.cls(y, 1)), 4)
	}},
	{name: "broadcast", draw: func(s *sketch, x *op.Value) *op.Value {
		positions := s.weight(1, sketchTokens, sketchWidth)
		y := s.do(op.Add{}, s.do(op.Add{}, s.mlp(x), positions), s.weight(sketchTokens, 1))
		mean := s.do(op.Reduce{By: op.ReduceMean, Axes: []int{2}, KeepDims: true}, y)
		y = s.do(op.Concat{Axis: 2}, y, s.do(op.Expand{Shape: []int{2, sketchTokens, 2}}, mean))
		y = s.do(op.RMSNormalization{Axis: 2, Epsilon: 1e-2}, s.do(op.Mul{}, s.do(op.Mul{}, y, s.weight(2, 1, 1)), mean), s.weight(sketchWidth+2))
		return s.do(op.Softmax{Axis: 1}, s.cls(s.do(op.LogSoftmax{Axis: 2}, y), 6))
	}},
	{name: "columns of transposed factors", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.do(op.MatMul{TransA: true}, s.do(op.Tanh{}, x), s.weight(sketchTokens, 3))
		return s.rows(s.do(op.Erf{}, y), 2, 2, 1)
	}},
	{name: "columns mixed by one operation each", same: true, draw: func(s *sketch, x *op.Value) *op.Value {
		var parts []*op.Value
		for _, y := range []*op.Value{s.norm(x), s.do(op.RMSNormalization{Axis: 2, Epsilon: 1e-2}, x, s.weight(sketchWidth)),
			s.linear(x, 3), s.do(op.Softmax{Axis: 2}, x), s.do(op.LogSoftmax{Axis: 2}, x), s.do(op.Concat{Axis: 2}, x, x),
			s.do(s.packed(0, 0, 0), x)} {
			o := op.WholeSlice(y.Type.Shape)
			o.Starts[2], o.Sizes[2] = 1, 1
			parts = append(parts, s.do(o, y))
		}
		return s.do(op.Concat{Axis: 2}, parts...)
	}},
	{name: "products of stacks", draw: func(s *sketch, x *op.Value) *op.Value {
		y := s.do(op.MatMul{TransA: true}, s.weight(sketchTokens, 3), x) // mixes tokens
		y = s.do(op.MatMul{TransB: true}, y, s.do(op.Neg{}, x))          // [2, 3, tokens]
		o := op.WholeSlice(y.Type.Shape)
		o.Sizes[2] = 2
		return s.do(o, s.do(op.Exp{}, y))
	}},
}

// plainAttention is one that fuseAttention does not know: something is added to
// its scores.
func plainAttention(s *sketch, x *op.Value) *op.Value {
	y := s.norm(x)
	heads := func(v *op.Value) *op.Value {
		v = s.do(op.Reshape{Shape: []int{2, sketchTokens, sketchHeads, sketchHeadDim}}, v)
		return s.do(op.Transpose{Perm: []int{0, 2, 1, 3}}, v)
	}
	q, k, v := heads(s.linear(y, sketchWidth)), heads(s.linear(y, sketchWidth)), heads(s.linear(y, sketchWidth))
	scores := s.do(op.Add{}, s.do(op.MatMul{TransB: true, Alpha: 0.6}, q, k), s.weight(sketchHeads, sketchTokens, sketchTokens))
	mask := s.do(op.Less{}, s.program.Constant(op.NewArray(scores.Type.With(sketchTokens, 1))), scores)
	scores = s.do(op.Where{}, mask, scores, s.do(op.Sin{}, scores))
	y = s.do(op.MatMul{}, s.do(op.Softmax{Axis: 3}, scores), v)
	y = s.do(op.Reshape{Shape: x.Type.Shape}, s.do(op.Transpose{Perm: []int{0, 2, 1, 3}}, y))
	return s.cls(s.do(op.Add{}, x, s.linear(y, sketchWidth)), 4)
}

// TestReadRows: with the rows that are read alone, results are those of all rows,
// and gradients what finite differences are, in float64.
func TestReadRows(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, c := range sketches {
			t.Run(c.name, func(t *testing.T) {
				x := optest.Normal(optest.Random(), 2, sketchTokens, sketchWidth)
				first := &sketch{t: t, program: op.NewProgram(0)}
				first.inputs = []*op.Value{first.program.Input("x", x.Type, 0)}
				c.draw(first, first.inputs[0])
				inputs := []op.Array{x}
				random := optest.Random()
				for _, shape := range first.shapes {
					inputs = append(inputs, optest.Normal(random, shape...))
				}
				optest.ProgramGradient(t, on, func(p *op.Program, in []*op.Value) (*op.Value, error) {
					for _, v := range in[1:] {
						v.OnDataPath = false
					}
					y := c.draw(&sketch{t: t, program: p, inputs: in}, in[0])
					if y.Const != nil {
						return y, nil // all rows, for comparison
					}
					all := schedule(p, y)
					before := elements(all)
					steps, err := readRows(p, y, all)
					if now := elements(steps); c.same && now != before || !c.same && now >= before {
						t.Errorf("%d elements are computed, were %d", now, before)
					}
					p.Steps = steps
					return y, err
				}, inputs...)
			})
		}
	})
}

// elements counts the elements that are computed from x, views aside.
func elements(steps []*op.Step) (n int) {
	for _, s := range steps {
		if _, view := s.Op.(op.View); !view && s.Out.OnDataPath {
			n += s.Out.Type.Elements()
		}
	}
	return n
}

// TestSketchesCoverAxes: every kind of step that passes a selection on is in some
// sketch.
func TestSketchesCoverAxes(t *testing.T) {
	var names []string
	for _, c := range sketches {
		s := &sketch{t: t, program: op.NewProgram(0)}
		s.inputs = []*op.Value{s.program.Input("x", optest.Counting(2, sketchTokens, sketchWidth).Type, 0)}
		y := c.draw(s, s.inputs[0])
		d := newDemand(schedule(s.program, y), y)
		for step := range d.axes {
			names = append(names, step.Op.Name())
		}
	}
	for _, name := range []string{"Linear", "MatMul", "LayerNormalization", "Softmax", "LogSoftmax", "Concat", "Transpose", "Reshape",
		"Slice", "Gather", "ReduceMean", "RMSNormalization", "PackedAttention", "Add", "Where", "Expand", "Gelu"} {
		if !slices.Contains(names, name) {
			t.Errorf("no sketch passes a selection on through %s", name)
		}
	}
}
