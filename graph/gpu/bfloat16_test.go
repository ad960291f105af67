//go:build gpu && linux && cgo

package gpu_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"

	"gorgonia.org/gorgonia"
)

// held returns an array of the device until the test ends, of bfloat16 or not.
func held(t *testing.T, d *gpu.Device, u op.Type, half bool) op.Array {
	t.Helper()
	a, err := d.Arena(int64(max(1, u.Elements())) * 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Free)
	return op.Array{Type: u, Data: a.Data(u, 0, half)}
}

// compared is the host, with every step computed by a device, too, on the same
// numbers, in every format.
type compared struct {
	exec.Kernels
	t      *testing.T
	device *gpu.Device
	ran    map[string]bool
}

func isFloat(u op.Type) bool { return op.ClassOf(u.DType) == op.ClassFloat32 }

// Forward compares a step whose operands and result are bfloat16, or one of them is
// not. They are rounded for both, so that only the result's rounding differs, and
// that of what is computed from it within the step.
func (c compared) Forward(o exec.Operation, out op.Array, in []op.Array) error {
	c.t.Helper()
	c.ran[o.Name()] = true
	for exact := -2; exact <= len(in); exact++ { // the operand that is not, -1 the result, -2 none
		operands, same := make([]op.Array, len(in)), make([]op.Array, len(in))
		for i, a := range in {
			half := isFloat(a.Type) && i != exact
			operands[i] = held(c.t, c.device, a.Type, half)
			same[i] = op.NewArray(a.Type)
			if err := c.device.Update(operands[i], a); err != nil {
				return err
			}
			if err := c.device.DownloadArray(same[i], operands[i]); err != nil {
				return err
			}
		}
		result := held(c.t, c.device, out.Type, isFloat(out.Type) && exact != -1)
		if err := c.device.Forward(o, result, operands); err != nil {
			return err
		}
		got, want := op.NewArray(out.Type), op.NewArray(out.Type)
		if err := c.device.DownloadArray(got, result); err != nil {
			return err
		}
		if err := c.Kernels.Forward(o, want, same); err != nil {
			return err
		}
		if e := largestError(got, want); e > 1e-2 {
			c.t.Errorf("%s %+v of %v, exact %d: error %.1e", o.Name(), o, in[0].Type, exact, e)
		}
	}
	return c.Kernels.Forward(o, out, in)
}

// operationsInBFloat16 are operations with operands that their gradients do not
// depend on the rounding of, or not much.
var operationsInBFloat16 = []struct {
	o  op.Op
	in []op.Array
}{
	{op.Linear{TransW: true}, []op.Array{normal(2, 7, 40), normal(24, 40), normal(24)}},
	{op.Linear{}, []op.Array{normal(3, 16), normal(16, 8)}},
	{op.MatMul{TransA: true, Alpha: 0.5}, []op.Array{normal(3, 1, 16, 7), normal(2, 16, 5)}},
	{op.LayerNormalization{Axis: 2, Epsilon: 1e-5}, []op.Array{normal(2, 3, 24), normal(24), normal(24)}},
	{op.RMSNormalization{Axis: 1, Epsilon: 1e-5}, []op.Array{normal(5, 24), normal(24)}},
	{op.BatchNormalization{Epsilon: 1e-5}, []op.Array{normal(2, 3, 5, 4), normal(3), normal(3), normal(3), positive(3)}},
	{op.Softmax{Axis: 1}, []op.Array{normal(5, 20)}},
	{op.Softmax{Axis: 0}, []op.Array{normal(5, 20)}},
	{op.LogSoftmax{Axis: 1}, []op.Array{normal(5, 20)}},
	{op.PackedAttention{Heads: 2, HeadDim: 8, Scale: 0.3, Offsets: [3]int{0, 16, 32}}, []op.Array{normal(3, 9, 48)}},
	{op.PackedAttention{Heads: 2, HeadDim: 8, Scale: 0.3}, []op.Array{normal(3, 4, 16), normal(3, 9, 16), normal(3, 9, 16)}},
	{op.PatchEmbedding{Kernel: []int{4, 4}}, []op.Array{normal(2, 3, 8, 12), normal(8, 3, 4, 4), normal(8)}},
	{op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 1},
		[]op.Array{normal(2, 4, 6, 6), normal(5, 4, 3, 3), normal(5)}},
	{op.AveragePool{PoolWindow: window}, []op.Array{normal(2, 3, 6, 6)}},
	{op.MaxPool{PoolWindow: window}, []op.Array{normal(2, 3, 6, 6)}},
	{op.Neg{}, []op.Array{normal(40)}},
	{op.Sqrt{}, []op.Array{positive(40)}},
	{op.Reciprocal{}, []op.Array{positive(40)}},
	{op.Exp{}, []op.Array{normal(40)}},
	{op.Log{}, []op.Array{positive(40)}},
	{op.Erf{}, []op.Array{normal(40)}},
	{op.Relu{}, []op.Array{normal(40)}},
	{op.Sigmoid{}, []op.Array{normal(40)}},
	{op.Tanh{}, []op.Array{normal(40)}},
	{op.Softplus{}, []op.Array{normal(40)}},
	{op.GELU{}, []op.Array{normal(7, 300)}},
	{op.GELU{Tanh: true}, []op.Array{normal(7, 300)}},
	{op.QuickGELU{Alpha: 1.7}, []op.Array{normal(7, 300)}},
	{op.Add{}, []op.Array{normal(4, 5, 6), normal(5, 1)}},
	{op.Sub{}, []op.Array{normal(4, 5, 6), normal(6)}},
	{op.Mul{}, []op.Array{normal(4, 5, 6), normal(4, 5, 6)}},
	{op.Div{}, []op.Array{normal(4, 5, 6), positive(6)}},
	{op.Pow{}, []op.Array{positive(4, 6), normal(6)}},
	{op.Max{}, []op.Array{normal(4, 6), normal(6)}},
	{op.Mod{Fmod: true}, []op.Array{normal(4, 6), positive(6)}}, // by the host
	{op.Reduce{By: op.ReduceMean, Axes: []int{1, 2}}, []op.Array{normal(3, 5, 6)}},
	{op.Reduce{By: op.ReduceL2, Axes: []int{0, 2}}, []op.Array{normal(3, 5, 6)}},
	{op.Expand{Shape: []int{3, 4, 5}}, []op.Array{normal(4, 1)}},
	{op.Transpose{Perm: []int{0, 2, 1}}, []op.Array{normal(2, 30, 40)}},
	{op.Slice{Starts: []int{1, 3}, Sizes: []int{2, 3}, Steps: []int{1, -1}}, []op.Array{normal(4, 5)}},
	{op.Concat{Axis: 1}, []op.Array{normal(2, 1, 5), normal(2, 4, 5)}},
	{op.Pad{Before: []int{1, 0}, After: []int{0, 2}, Mode: op.PadConstant, Value: 2}, []op.Array{normal(3, 4)}},
	{op.Gather{Axis: 1}, []op.Array{normal(2, 5, 3), op.Ints([]int64{4, 0, -1}, 3)}},
	{op.Reshape{Shape: []int{6, 4}}, []op.Array{normal(2, 12)}},
	{op.CumSum{Axis: 1}, []op.Array{normal(2, 12)}}, // by the host
	{op.Loss{Of: op.CrossEntropy{}}, []op.Array{normal(3, 8), op.Ints([]int64{4, 0, 7}, 3), op.Floats([]float32{0.5})}},
}

var window = op.PoolWindow{Kernel: []int{3, 2}, Strides: []int{2, 2}, Dilations: []int{1, 1}, Pads: []int{1, 0, 1, 0}}

func positive(shape ...int) op.Array {
	a := normal(shape...)
	for i, v := range op.Elem[float32](a) {
		op.Elem[float32](a)[i] = max(v, -v) + 0.5
	}
	return a
}

// TestOperationsInBFloat16: the operations that a device has kernels for, and some
// that it leaves to the host, and their gradients, take bfloat16 in the place of
// float32 and round their results.
func TestOperationsInBFloat16(t *testing.T) {
	ran := map[string]bool{}
	for _, k := range operationsInBFloat16 {
		t.Run(fmt.Sprintf("%s%+v", k.o.Name(), k.o), func(t *testing.T) {
			d := testdevice.Open(t, gpu.Options{Precision: driver.BF16, Threads: 1})
			g := op.NewGraph()
			bound := map[*gorgonia.Node]op.Array{}
			var in, wanted []*gorgonia.Node
			for i, a := range k.in {
				n := g.Input(fmt.Sprint(i), a.Type, isFloat(a.Type) && a.Rank() > 0)
				bound[n], in = a, append(in, n)
				if isFloat(a.Type) && a.Rank() > 0 {
					wanted = append(wanted, n)
				}
			}
			y, err := g.Apply(k.o, in...)
			if err != nil {
				t.Fatal(err)
			}
			outputs := []*gorgonia.Node{y}
			if u := g.TypeOf(y); k.o.Name() != "Mod" {
				cotangent := g.Input("cotangent", u, false)
				bound[cotangent] = normal(u.Shape...)
				grads, err := g.Backpropagate(y, cotangent, wanted)
				if err != nil {
					t.Fatal(err)
				}
				outputs = append(outputs, grads...)
			}
			p, err := exec.Compile(g, exec.Config{Outputs: outputs})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range p.Inputs() {
				p.Bind(n, bound[n])
			}
			m := exec.NewMachineOn(compared{exec.NewKernels(kernel.NewContext(1)), t, d, ran})
			defer m.Close()
			if err := m.Run(context.Background(), p, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, name := range []string{"Linear", "NormalizationGradient", "PackedAttentionGradient", "SumTo"} {
		if !ran[name] {
			t.Errorf("%s was not compared, of %v", name, ran)
		}
	}
}
