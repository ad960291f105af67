package exec_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// A convolution and what follows it are one step where nobody can tell, and where the plan is for
// the host; the bits are the same in any case.
func TestConvThen(t *testing.T) {
	norm, clip, gate := op.BatchNormalization{Epsilon: 1e-3}, op.Clip{Min: -0.5, Max: 1}, op.HardSigmoid{Alpha: 1. / 6, Beta: 0.5}
	for _, c := range []struct {
		name  string
		build func(n *maps2D) []*gorgonia.Node
		steps []string
	}{
		{"nothing follows", func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.conv(n.x)}
		}, []string{"Conv"}},
		{"all", func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(op.Relu{}, n.apply(op.Add{}, n.x, n.norm(norm, n.conv(n.x, n.bias))))}
		}, []string{"Conv + BatchNormalization + Add + Relu"}},
		{"a clip", func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(clip, n.conv(n.x, n.bias))}
		}, []string{"Conv + Clip"}},
		{"no second activation", func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(op.Relu{}, n.apply(clip, n.conv(n.x)))}
		}, []string{"Conv + Clip", "Relu"}},
		{"a normalisation after an addition", func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.norm(norm, n.apply(op.Add{}, n.conv(n.x), n.x))}
		}, []string{"Conv + Add", "BatchNormalization"}},
		{"two convolutions", func(n *maps2D) []*gorgonia.Node {
			y := n.apply(op.Relu{}, n.conv(n.x))
			return []*gorgonia.Node{n.apply(op.Relu{}, n.apply(op.Add{}, n.conv(y), n.conv(n.x, n.bias)))}
		}, []string{"Conv + Relu", "Conv", "Conv + Add + Relu"}},
		{"what is added comes later", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{n.apply(op.Add{}, y, n.apply(sine{}, n.x))}
		}, []string{"Conv", "Sine", "Add"}},
		{"a row is added", func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(op.Add{}, n.conv(n.x), n.row)}
		}, []string{"Conv", "Add"}},
		{"added to itself", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{n.apply(op.Add{}, y, y)}
		}, []string{"Conv", "Add"}},
		{"another reader", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{n.apply(times{}, n.apply(op.Relu{}, y), y)}
		}, []string{"Conv", "Relu", "Times"}},
		{"an output", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{y, n.apply(op.Relu{}, y)}
		}, []string{"Conv", "Relu"}},
		{"a gate", func(n *maps2D) []*gorgonia.Node {
			y := n.norm(norm, n.conv(n.x))
			return []*gorgonia.Node{n.apply(op.Mul{}, y, n.apply(gate, y))}
		}, []string{"Conv + BatchNormalization + HardSigmoid + Mul"}},
		{"a gate first", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x, n.bias)
			return []*gorgonia.Node{n.apply(op.Relu{}, n.apply(op.Mul{}, n.apply(op.Sigmoid{}, y), y))}
		}, []string{"Conv + Sigmoid + Mul", "Relu"}},
		{"a gate with another reader", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			g := n.apply(op.Sigmoid{}, y)
			return []*gorgonia.Node{n.apply(op.Mul{}, y, g), n.apply(sine{}, g)}
		}, []string{"Conv", "Sigmoid", "Mul", "Sine"}},
		{"a gate of something else", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{n.apply(op.Mul{}, y, n.apply(op.Sigmoid{}, n.x)), n.apply(sine{}, y)}
		}, []string{"Conv", "Sigmoid", "Mul", "Sine"}},
		{"squared", func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{n.apply(op.Mul{}, y, y)}
		}, []string{"Conv", "Mul"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dtype := range []onnx.DType{onnx.Float, onnx.Double} {
				n := newMaps2D(t, dtype)
				outputs := c.build(n)
				p := n.compile(exec.Config{Outputs: outputs, OnHost: true})
				if found := p.StepNames(); !slices.Equal(found, c.steps) {
					t.Fatalf("steps %q, expected %q", found, c.steps)
				}
				for _, variant := range kernel.Variants() {
					p := n.compile(exec.Config{Outputs: outputs, OnHost: true}) // a plan belongs to one machine
					for _, in := range p.Inputs() {
						p.Bind(in, n.bound[in])
					}
					m := exec.NewMachine(kernel.NewContext(2, kernel.WithVariant(variant)))
					defer m.Close()
					for range 2 {
						run(t, m, p, nil)
						for _, o := range outputs {
							want := evaluate(n.Graph, maps.Clone(n.bound), o)
							if variant == kernel.Plain && variant != kernel.Best() {
								testdevice.CloseTo(t, "output", p.Value(o).AsFloats(), want.AsFloats(), 1e-5)
							} else {
								equal(t, "output", p.Value(o), want)
							}
						}
					}
				}
			}
		})
	}
	t.Run("elsewhere", func(t *testing.T) {
		n := newMaps2D(t, onnx.Float)
		p := n.compile(exec.Config{Outputs: []*gorgonia.Node{n.apply(op.Relu{}, n.conv(n.x))}})
		if steps := p.StepNames(); len(steps) != 2 {
			t.Errorf("steps %q", steps)
		}
	})
}

// maps2D is a graph of convolutions between maps of one shape.
type maps2D struct {
	builder
	x, w, bias, row *gorgonia.Node
	parameters      [4]*gorgonia.Node // of a batch normalisation
	bound           map[*gorgonia.Node]op.Array
}

func newMaps2D(t *testing.T, dtype onnx.DType) *maps2D { return newMapsOf(t, dtype, 3, 7, 9) }

// newMapsOf has so many images of a size.
func newMapsOf(t *testing.T, dtype onnx.DType, images, height, width int) *maps2D {
	n := &maps2D{builder: newBuilder(t), bound: map[*gorgonia.Node]op.Array{}}
	input := func(name string, shape ...int) *gorgonia.Node {
		a := op.NewArray(op.Type{DType: dtype, Shape: shape})
		node := n.Input(name, a.Type, true)
		for i, v := range ramp(len(n.bound), shape...).AsFloats() {
			if name == "variance" {
				v += 1.5
			}
			switch x := a.Data.(type) {
			case []float32:
				x[i] = float32(v)
			case []float64:
				x[i] = v / 3
			}
		}
		n.bound[node] = a
		return node
	}
	const channels = 5
	n.x, n.w = input("x", images, channels, height, width), input("w", channels, channels, 3, 3)
	n.bias, n.row = input("bias", channels), input("row", width)
	for i, name := range []string{"scale", "shift", "mean", "variance"} {
		n.parameters[i] = input(name, channels)
	}
	return n
}

func (n *maps2D) conv(x *gorgonia.Node, bias ...*gorgonia.Node) *gorgonia.Node {
	o := op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 1}
	return n.apply(o, append([]*gorgonia.Node{x, n.w}, bias...)...)
}

func (n *maps2D) norm(o op.BatchNormalization, x *gorgonia.Node) *gorgonia.Node {
	return n.apply(o, append([]*gorgonia.Node{x}, n.parameters[:]...)...)
}
