package graph

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// offsets lists, in order, the source element that each element of a layout
// reads.
func (l layout) offsets() []int {
	list := []int{l.offset}
	for _, d := range l.dims {
		for _, f := range d {
			var next []int
			for _, at := range list {
				for i := range f.size {
					next = append(next, at+i*f.stride)
				}
			}
			list = next
		}
	}
	return list
}

// TestLayoutFollowsIndices runs random chains of rearrangements on an array of
// indices, by the operations themselves, and compares with the strides.
func TestLayoutFollowsIndices(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	described := 0
	for range 500 {
		p := op.NewProgram(0)
		source := p.Input("x", op.Type{DType: 1, Shape: []int{3, 4, 6}}, 0)
		data := make([]float32, 72)
		for i := range data {
			data[i] = float32(i)
		}
		v, value := source, op.Floats(data, 3, 4, 6)
		l := contiguous(source)
		for range 4 {
			o := randomLayoutOp(r, v.Type.Shape)
			next, err := p.Emit(o, v)
			if err != nil {
				t.Fatal(err)
			}
			out := op.NewArray(next.Type)
			o.Forward(kernel.NewContext(1), out, []op.Array{value})
			followed, ok := l.apply(next.Step)
			if !ok {
				break
			}
			v, value, l = next, out, followed
			described++
			want := make([]int, v.Type.Elements())
			for i, x := range op.Elem[float32](value) {
				want[i] = int(x)
			}
			if got := l.offsets(); !slices.Equal(got, want) {
				t.Fatalf("%s to %v reads %v, want %v", o.Name(), v.Type.Shape, got, want)
			}
			if l.identity() != slices.Equal(want, countTo(72)) {
				t.Fatalf("identity is %v for %v", l.identity(), want)
			}
		}
	}
	if described < 1000 {
		t.Errorf("only %d of 2000 operations were described", described)
	}
}

func countTo(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// randomLayoutOp returns a Transpose, Reshape or Slice of a shape.
func randomLayoutOp(r *rand.Rand, shape []int) op.Op {
	switch r.IntN(3) {
	case 0:
		return op.Transpose{Perm: r.Perm(len(shape))}
	case 1:
		factors := []int{}
		for _, d := range shape {
			for _, f := range []int{2, 2, 3, 3} {
				if d%f == 0 {
					factors = append(factors, f)
					d /= f
				}
			}
			if d > 1 {
				factors = append(factors, d)
			}
		}
		out := []int{1}
		for _, f := range factors {
			if r.IntN(2) == 0 {
				out[len(out)-1] *= f
			} else {
				out = append(out, f)
			}
		}
		return op.Reshape{Shape: out}
	}
	o := op.Slice{Starts: make([]int, len(shape)), Sizes: slices.Clone(shape), Steps: make([]int, len(shape))}
	for i := range shape {
		o.Steps[i] = 1
	}
	if k := r.IntN(len(shape)); shape[k] > 1 {
		o.Starts[k] = r.IntN(shape[k] - 1)
		o.Sizes[k] = 1 + r.IntN(shape[k]-o.Starts[k])
	}
	return o
}

// TestCastsAreNoLayout: a conversion between half and single precision behind a
// Reshape, or before a Linear, keeps its place, though it is a view.
func TestCastsAreNoLayout(t *testing.T) {
	s := &sketch{t: t, program: op.NewProgram(0)}
	x := s.program.Input("x", op.Type{DType: onnx.Float16, Shape: []int{2, 3, 4}}, 0)
	y := s.do(op.Reshape{Shape: []int{2, 12}}, s.do(op.Tanh{}, x))
	y = s.do(op.Relabel{To: onnx.Float}, y)
	y = s.do(op.Linear{}, y, s.program.Weight("w", op.Type{DType: onnx.Float, Shape: []int{12, 5}}, 0))
	before := schedule(s.program, y)
	after, err := fuse(s.program, y, before, passes())
	if err != nil || len(after) != len(before) {
		t.Errorf("%d steps, were %d (%v)", len(after), len(before), err)
	}
}
