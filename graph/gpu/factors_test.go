//go:build gpu && linux && cgo

package gpu_test

import (
	"context"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"

	"gorgonia.org/gorgonia"
)

// block is half a block of a transformer and its gradient, with operations between
// the products that round their result themselves and others that do not.
type block struct {
	*op.Graph
	bound   map[*gorgonia.Node]op.Array
	between []*gorgonia.Node // what products alone read
	outputs []*gorgonia.Node
}

func newBlock(t *testing.T) *block {
	const rows, width, hidden = 6, 8, 20
	b := &block{Graph: op.NewGraph(), bound: map[*gorgonia.Node]op.Array{}}
	input := func(name string, shape ...int) *gorgonia.Node {
		a := normal(shape...)
		n := b.Input(name, a.Type, true)
		b.bound[n] = a
		return n
	}
	apply := func(o op.Op, in ...*gorgonia.Node) *gorgonia.Node {
		t.Helper()
		n, err := b.Apply(o, in...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	x, scale, shift := input("x", rows, width), input("scale", width), input("shift", width)
	w1, b1, w2, b2 := input("w1", width, hidden), input("b1", hidden), input("w2", hidden, width), input("b2", width)
	h := apply(op.LayerNormalization{Axis: 1, Epsilon: 1e-5}, x, scale, shift)
	g := apply(op.GELU{}, apply(op.Linear{}, h, w1, b1))
	y := apply(op.Add{}, x, apply(op.Linear{}, g, w2, b2))
	negative := apply(op.Neg{}, y)                                                     // by a kernel that does not round
	remainder := apply(op.Mod{Fmod: true}, input("a", rows, width), input("b", width)) // by the host
	z := apply(op.MatMul{TransB: true}, apply(op.Reshape{Shape: []int{2, rows / 2, width}}, negative), remainder)
	cotangent := input("cotangent", b.TypeOf(z).Shape...)
	grads, err := b.Backpropagate(z, cotangent, []*gorgonia.Node{w1, b1, w2, x})
	if err != nil {
		t.Fatal(err)
	}
	b.between = []*gorgonia.Node{h, g, negative, remainder}
	b.outputs = append([]*gorgonia.Node{z}, grads...)
	return b
}

// run computes the outputs, and keeps other values, too.
func (b *block) run(t *testing.T, precision driver.Precision, keep ...*gorgonia.Node) (results []op.Array, launches int) {
	t.Helper()
	d := testdevice.Open(t, gpu.Options{Precision: precision, Threads: 1})
	p, err := exec.Compile(b.Graph, exec.Config{Outputs: append(keep, b.outputs...)})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range p.Inputs() {
		p.Bind(n, upload(t, d, b.bound[n]))
	}
	m := exec.NewMachineOn(d)
	defer m.Close()
	if !fake.Real() {
		fake.Set(t, fake.Faults{})
	}
	if err := m.Run(context.Background(), p, nil); err != nil {
		t.Fatal(err)
	}
	launches = fake.Count(fake.Launches)
	for _, n := range b.outputs {
		a := op.NewArray(b.TypeOf(n))
		if err := d.DownloadArray(a, p.Value(n)); err != nil {
			t.Fatal(err)
		}
		results = append(results, a)
	}
	return results, launches
}

// TestFactorsAreRoundedOnce: what only products read is rounded as it is computed.
// That takes fewer launches, and changes no bit.
func TestFactorsAreRoundedOnce(t *testing.T) {
	b := newBlock(t)
	got, few := b.run(t, driver.BF16)
	want, many := b.run(t, driver.BF16, b.between...)
	full, _ := b.run(t, driver.FP32)
	for i := range want {
		for j, v := range want[i].AsFloats() {
			if w := got[i].AsFloats()[j]; v != w && !(fake.Real() && math.Abs(v-w) < 1e-2) {
				t.Fatalf("output %d, element %d: %v, rounded by each product %v", i, j, w, v)
			}
		}
		if e := largestError(got[i], full[i]); e > 3e-2 || e == 0 && !fake.Real() {
			t.Errorf("output %d: error %.1e", i, e)
		}
	}
	t.Logf("%d launches, %d if each product rounds", few, many)
	if !fake.Real() && few >= many {
		t.Errorf("%d launches, %d if each product rounds", few, many)
	}
}
