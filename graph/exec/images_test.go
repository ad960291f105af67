package exec_test

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/onnx"

	"gorgonia.org/gorgonia"
)

// Steps whose maps are larger than a cache are run by groups of images: those that go together, with
// the same bits, in less memory.
func TestImageRuns(t *testing.T) {
	relu, pool := op.Relu{}, op.MaxPool{PoolWindow: op.PoolWindow{Kernel: []int{2, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}}}
	down := op.MaxPool{PoolWindow: op.PoolWindow{Kernel: []int{9, 9}, Strides: []int{9, 9}, Dilations: []int{1, 1}, Pads: []int{0, 0, 0, 0}}}
	mean := op.Reduce{By: op.ReduceMean, Axes: []int{2, 3}, KeepDims: true}
	for _, c := range []struct {
		name   string
		images int
		build  func(n *maps2D) []*gorgonia.Node
		runs   []exec.ImageRun
	}{
		{"a chain", 6, func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.apply(relu, n.conv(n.apply(pool, n.norm(op.BatchNormalization{Epsilon: 1e-3}, n.conv(n.x, n.bias)))))}
		}, []exec.ImageRun{{[]string{"Conv + BatchNormalization", "MaxPool"}, 3}}},
		{"branches and a value that is read elsewhere", 7, func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			z := n.apply(op.Concat{Axis: 1}, n.apply(op.Mul{}, y, n.x), y)
			return []*gorgonia.Node{z, n.apply(sine{}, y)}
		}, []exec.ImageRun{{[]string{"Conv", "Mul", "Concat"}, 7}}},
		{"a residual", 5, func(n *maps2D) []*gorgonia.Node {
			y := n.apply(relu, n.conv(n.x))
			return []*gorgonia.Node{n.apply(relu, n.apply(op.Add{}, n.conv(n.conv(y)), y)), n.apply(sine{}, y)}
		}, []exec.ImageRun{{[]string{"Conv + Relu", "Conv", "Conv + Add + Relu"}, 5}}},
		{"squeeze and excite", 4, func(n *maps2D) []*gorgonia.Node {
			y := n.conv(n.x)
			return []*gorgonia.Node{n.apply(mean, n.conv(n.apply(op.Mul{}, y, n.apply(op.Sigmoid{}, n.conv(n.apply(mean, y))))))}
		}, []exec.ImageRun{{[]string{"Conv", "ReduceMean", "Conv", "Sigmoid", "Mul", "Conv", "ReduceMean"}, 2}}},
		{"small maps at the end", 6, func(n *maps2D) []*gorgonia.Node {
			return []*gorgonia.Node{n.conv(n.conv(n.apply(down, n.conv(n.conv(n.x)))))}
		}, []exec.ImageRun{{[]string{"Conv", "Conv", "MaxPool"}, 3}}},
		{"one image", 1, func(n *maps2D) []*gorgonia.Node { return []*gorgonia.Node{n.conv(n.conv(n.x))} }, nil},
		{"one step", 6, func(n *maps2D) []*gorgonia.Node { return []*gorgonia.Node{n.conv(n.x)} }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newMapsOf(t, onnx.Float, c.images, 150, 300)
			outputs := c.build(n)
			config := exec.Config{Outputs: outputs, OnHost: true}
			if found := n.compile(config).ImageRuns(); !reflect.DeepEqual(found, c.runs) {
				t.Fatalf("runs %+v, want %+v", found, c.runs)
			}
			for _, threads := range []int{1, 3} {
				p := n.compile(config)
				m := exec.NewMachine(kernel.NewContext(threads))
				defer m.Close()
				for round := range 3 { // the image is another array each time, and then as it was
					n.bound[n.x] = ramp(round%2, n.TypeOf(n.x).Shape...)
					for _, in := range p.Inputs() {
						p.Bind(in, n.bound[in])
					}
					run(t, m, p, nil)
					for i, o := range outputs {
						sameBits(t, fmt.Sprintf("output %d, round %d, %d threads", i, round, threads), p.Value(o), evaluate(n.Graph, maps.Clone(n.bound), o))
					}
				}
			}
		})
	}
}

// What one group of images needs is all that a run has room for, and nothing is left of it in a
// machine that has closed; a profile counts what all groups did.
func TestImageRunMemoryAndProfile(t *testing.T) {
	n := newMapsOf(t, onnx.Float, 6, 150, 300)
	y := n.x
	for range 4 {
		y = n.conv(y)
	}
	outputs := []*gorgonia.Node{y}
	grouped, whole := n.compile(exec.Config{Outputs: outputs, OnHost: true}), n.compile(exec.Config{Outputs: outputs})
	one := int64(4 * n.TypeOf(n.x).Elements())
	if got, want := grouped.ArenaBytes(), one+2*one/3; got != want || grouped.LiveBytes() != want {
		t.Errorf("an arena of %d bytes, want %d", got, want)
	}
	if got, want := whole.ArenaBytes(), 2*one; got != want {
		t.Errorf("elsewhere an arena of %d bytes, want %d", got, want)
	}
	if runs := n.compile(exec.Config{Outputs: outputs, OnHost: true, Threads: 13}).ImageRuns(); len(runs) != 1 || runs[0].Groups != 2 {
		t.Errorf("13 threads have room for 3 images: %+v", runs)
	}
	var profiles [2]exec.Profile
	for i, p := range []*exec.Plan{grouped, whole} {
		for _, in := range p.Inputs() {
			p.Bind(in, n.bound[in])
		}
		m := exec.NewMachine(kernel.NewContext(1))
		m.Profile = &profiles[i]
		run(t, m, p, nil)
		m.Close()
		if p.HoldsArena() {
			t.Error("the plan holds on to the arena")
		}
	}
	got, want := profiles[0].Work()[0], profiles[1].Work()[0]
	if got.Time, want.Time = 0, 0; got != want || got.Calls != 4 || got.FLOPs == 0 {
		t.Errorf("by groups %+v, otherwise %+v", got, want)
	}
	p := n.compile(exec.Config{Streamed: outputs, OnHost: true})
	if runs := p.ImageRuns(); len(runs) != 1 || len(runs[0].Steps) != 3 {
		t.Errorf("a streamed value is part of a run: %+v", runs)
	}
}

func sameBits(t *testing.T, what string, got, want op.Array) {
	t.Helper()
	x, y := op.Elem[float32](got), op.Elem[float32](want)
	if !got.Type.Equal(want.Type) || !slices.EqualFunc(x, y, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
		t.Errorf("%s: not the bits of one operation after the other", what)
	}
}
