package lowering

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestLoweringDecides(t *testing.T) {
	p := op.NewProgram(0)
	image := p.Input("image", op.Type{DType: onnx.Float, Shape: []int{2, 3}}, 0)
	half := p.Weight("w", op.Type{DType: onnx.Float16, Shape: []int{3}}, 0)
	same := func(v *op.Value) bool { return v == image }
	is := func(o op.Op) func(v *op.Value) bool {
		return func(v *op.Value) bool { return v.Step != nil && fmt.Sprintf("%#v", v.Step.Op) == fmt.Sprintf("%#v", o) }
	}
	number := func(v float32) *op.Value { return p.Constant(op.Floats([]float32{v})) }
	for _, c := range []struct {
		what  string
		opset int64
		node  *onnx.Node
		in    []*op.Value
		ok    func(v *op.Value) bool
	}{
		{"Identity", 13, &onnx.Node{OpType: "Identity"}, []*op.Value{image}, same},
		{"Dropout", 13, &onnx.Node{OpType: "Dropout"}, []*op.Value{image}, same},
		{"Clip without bounds", 13, &onnx.Node{OpType: "Clip"}, []*op.Value{image}, same},
		{"Clip with inputs", 13, &onnx.Node{OpType: "Clip"}, []*op.Value{image, nil, number(6)}, is(op.Clip{Min: math.Inf(-1), Max: 6})},
		{"Clip with computed bound", 13, &onnx.Node{OpType: "Clip"}, []*op.Value{image, p.Input("b", op.Type{DType: onnx.Float, Shape: []int{}}, 1)}, is(op.Max{})},
		{"CastLike to the same", 19, &onnx.Node{OpType: "CastLike"}, []*op.Value{image, number(1)}, same},
		{"CastLike to FLOAT", 19, &onnx.Node{OpType: "CastLike"}, []*op.Value{half, number(1)}, is(op.Relabel{To: onnx.Float})},
		{"axes from input", 18, &onnx.Node{OpType: "ReduceMean"}, []*op.Value{image, p.Ints(-1)}, is(op.Reduce{By: op.ReduceMean, Axes: []int{1}, KeepDims: true})},
		{"all axes", 18, &onnx.Node{OpType: "ReduceMean"}, []*op.Value{image}, is(op.Reduce{By: op.ReduceMean, Axes: []int{0, 1}, KeepDims: true})},
	} {
		v, err := lower(t, c.opset, c.node, c.in...)
		if err != nil || !c.ok(v) {
			t.Errorf("%s: lowered to %+v (%v)", c.what, v, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	p := op.NewProgram(0)
	image := p.Input("image", op.Type{DType: onnx.Float, Shape: []int{2, 3}}, 0)
	truth := p.Constant(op.Array{Type: op.Type{DType: onnx.Bool, Shape: []int{}}, Data: []bool{true}})
	for _, c := range []struct {
		node *onnx.Node
		in   []*op.Value
		want string
	}{
		{&onnx.Node{OpType: "Add"}, []*op.Value{image, p.Input("b", op.Type{DType: onnx.Float, Shape: []int{2}}, 1)}, "[2 3] [2]"},
		{&onnx.Node{OpType: "Add"}, []*op.Value{image, p.Ints(1)}, "one element type"},
		{&onnx.Node{OpType: "Add"}, []*op.Value{image}, "input 1 is missing"},
		{&onnx.Node{OpType: "Sqrt"}, []*op.Value{p.Ints(4)}, "INT64"},
		{&onnx.Node{OpType: "Where"}, []*op.Value{image, image, image}, "BOOL"},
		{&onnx.Node{OpType: "Dropout"}, []*op.Value{image, nil, truth}, "evaluation mode"},
		{&onnx.Node{OpType: "ReduceSum"}, []*op.Value{image, p.Ints(2)}, "axis 2"},
		{&onnx.Node{OpType: "ReduceSum"}, []*op.Value{image, image}, "must be known"},
		{&onnx.Node{OpType: "Cast"}, []*op.Value{image}, "UNDEFINED"},
	} {
		if _, err := lower(t, 18, c.node, c.in...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that contains %q", c.node.OpType, err, c.want)
		}
	}
}
