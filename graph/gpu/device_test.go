//go:build gpu && linux && cgo

package gpu_test

import (
	"errors"
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/exec"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/fake"
	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/graph/op/optest"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Operations are compared with the CPU's where those are tested: the tests of
// graph/op and graph/lowering run them on a device, too (optest.Gradient).

// upload copies an array to the device until the test ends.
func upload(t *testing.T, d *gpu.Device, a op.Array) op.Array {
	t.Helper()
	p := alloc(t, d, a.Type)
	if err := d.Update(p, a); err != nil {
		t.Fatal(err)
	}
	return p
}

func alloc(t *testing.T, d *gpu.Device, u op.Type) op.Array {
	t.Helper()
	p, err := d.NewArray(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.FreeArray(p) })
	return p
}

// forward computes an operation on the device and on the host.
func forward(t *testing.T, d *gpu.Device, o op.Op, in ...op.Array) (got, want op.Array, err error) {
	t.Helper()
	var types []op.Type
	var operands []op.Array
	for _, a := range in {
		types, operands = append(types, a.Type), append(operands, upload(t, d, a))
	}
	result, err := o.Infer(types)
	if err != nil {
		t.Fatal(err)
	}
	got, want = op.NewArray(result), op.NewArray(result)
	o.Forward(kernel.NewContext(1), want, in)
	out := alloc(t, d, result)
	if err = d.Forward(o, out, operands); err == nil {
		err = d.DownloadArray(got, out)
	}
	return got, want, err
}

// largestError is relative to the largest element.
func largestError(got, want op.Array) float64 {
	difference, scale := 0.0, 0.0
	for i, w := range want.AsFloats() {
		difference, scale = max(difference, math.Abs(got.AsFloats()[i]-w)), max(scale, math.Abs(w))
	}
	return difference / scale
}

func normal(shape ...int) op.Array { return optest.Float32(optest.Normal(optest.Random(), shape...)) }

// TestPrecision: products are as exact as asked for, and no more exact than that.
func TestPrecision(t *testing.T) {
	attention := op.PackedAttention{Heads: 2, HeadDim: 8, Scale: 0.3, Offsets: [3]int{0, 16, 32}}
	conv := op.Conv{Kernel: []int{3, 3}, Strides: []int{1, 1}, Dilations: []int{1, 1}, Pads: []int{1, 1, 1, 1}, Group: 1}
	for precision, bounds := range map[driver.Precision][2]float64{
		driver.FP32: {0, 1e-6}, driver.TF32: {1e-5, 2e-3}, driver.BF16: {1e-4, 2e-2},
	} {
		t.Run(precision.String(), func(t *testing.T) {
			d := testdevice.Open(t, gpu.Options{Precision: precision, Threads: 1})
			for _, k := range []struct {
				o     op.Op
				in    []op.Array
				least bool // of full precision is more than asked for, but right
			}{
				{op.Linear{TransW: true}, []op.Array{normal(3, 7, 40), normal(24, 40), normal(24)}, false},
				{op.MatMul{TransA: true, Alpha: 0.5}, []op.Array{normal(3, 1, 40, 7), normal(2, 40, 5)}, false},
				{op.PatchEmbedding{Kernel: []int{4, 4}}, []op.Array{normal(2, 3, 8, 12), normal(8, 3, 4, 4), normal(8)}, false},
				{attention, []op.Array{normal(2, 9, 48)}, true},
				{conv, []op.Array{normal(2, 4, 6, 6), normal(5, 4, 3, 3), normal(5)}, true},
			} {
				got, want, err := forward(t, d, k.o, k.in...)
				if err != nil {
					t.Fatal(err)
				}
				if e := largestError(got, want); e > bounds[1] || e < bounds[0] && !fake.Real() && !k.least {
					t.Errorf("%s: error %.1e, expected %.0e to %.0e", k.o.Name(), e, bounds[0], bounds[1])
				}
			}
		})
	}
}

// TestLinearAdd: a linear layer and a residual connection are one product where all
// is bfloat16, besides what rounds its weights and bias; otherwise they are added
// afterwards.
func TestLinearAdd(t *testing.T) {
	for _, k := range []struct {
		precision driver.Precision
		half      bool
		bound     float64
		launches  int
		last      string // the call that launches the last of them
	}{
		{driver.FP32, false, 1e-6, 2, "cuLaunchKernel"},
		{driver.TF32, false, 2e-3, 2, "cuLaunchKernel"},
		{driver.BF16, false, 2e-2, 3, "cuLaunchKernel"},
		{driver.BF16, true, 2e-2, 2, "cublasLtMatmul"},
	} {
		for _, bias := range []bool{false, true} {
			d := testdevice.Open(t, gpu.Options{Precision: k.precision, Threads: 1})
			in := []op.Array{normal(3, 7, 40), normal(24, 40)}
			if bias {
				in = append(in, normal(24))
			}
			in = append(in, normal(3, 7, 24))
			o, last := exec.LinearAdd{Linear: op.Linear{TransW: true}}, in[len(in)-1]
			got, want := op.NewArray(last.Type), op.NewArray(last.Type)
			o.Forward(kernel.NewContext(1), want, in)
			var operands []op.Array
			for i, a := range in {
				operand := held(t, d, a.Type, k.half && (i == 0 || i == len(in)-1))
				if err := d.Update(operand, a); err != nil {
					t.Fatal(err)
				}
				operands = append(operands, operand)
			}
			out := held(t, d, last.Type, k.half)
			run := func() {
				t.Helper()
				if err := d.Forward(o, out, operands); err != nil {
					t.Fatal(err)
				}
			}
			run()
			if err := d.DownloadArray(got, out); err != nil {
				t.Fatal(err)
			}
			if e := largestError(got, want); e > k.bound {
				t.Errorf("%+v, bias %v: error %.1e", k, bias, e)
			}
			if fake.Real() {
				continue
			}
			fake.Set(t, fake.Faults{})
			run()
			if n := fake.Count(fake.Launches); n != k.launches {
				t.Errorf("%+v, bias %v: %d launches", k, bias, n)
			}
			fake.Set(t, fake.Faults{Launch: k.launches})
			var e *driver.Error
			if err := d.Forward(o, out, operands); !errors.As(err, &e) || e.Call != k.last {
				t.Errorf("%+v, bias %v: the last launch fails, found %v", k, bias, err)
			}
		}
	}
}

// TestFaults: each failure is the driver's own error, wrapped with the operation,
// and what is not lost goes on.
func TestFaults(t *testing.T) {
	x := normal(2, 3, 8, 8)
	o := op.PatchEmbedding{Kernel: []int{4, 4}} // which takes scratch memory
	in := []op.Array{x, normal(5, 3, 4, 4)}
	for _, k := range []struct {
		name   string
		faults fake.Faults
		is     func(*driver.Error) bool
	}{
		{"allocation", fake.Faults{Alloc: 4}, (*driver.Error).OutOfMemory}, // after two operands and the result
		{"launch", fake.Faults{Launch: 1}, func(e *driver.Error) bool { return e.Call == "cuLaunchKernel" }},
		{"lost", fake.Faults{Lost: 9}, (*driver.Error).DeviceLost},
	} {
		t.Run(k.name, func(t *testing.T) {
			d := testdevice.Open(t, gpu.Options{Threads: 1})
			fake.Set(t, k.faults)
			_, _, err := forward(t, d, o, in...)
			var e *driver.Error
			if !errors.As(err, &e) || !k.is(e) {
				t.Errorf("found %v", err)
			}
			fake.Set(t, fake.Faults{})
			got, want, err := forward(t, d, o, in...)
			if err != nil {
				t.Fatal(err)
			}
			if e := largestError(got, want); e > 1e-6 {
				t.Errorf("afterwards: error %.1e", e)
			}
		})
	}
}

// TestNothingIsAllocated when an operation runs again.
func TestNothingIsAllocated(t *testing.T) {
	d := testdevice.Open(t, gpu.Options{Threads: 1, Precision: driver.BF16})
	x, w, y := upload(t, d, normal(4, 32)), upload(t, d, normal(16, 32)), alloc(t, d, normal(4, 16).Type)
	run := func() {
		if err := d.Forward(op.Linear{TransW: true}, y, []op.Array{x, w}); err != nil {
			t.Fatal(err)
		}
	}
	run()
	fake.Set(t, fake.Faults{Alloc: 1})
	run()
}

// TestManyLoops: moves of more loops than the kernels take.
func TestManyLoops(t *testing.T) {
	d := testdevice.Open(t, gpu.Options{Threads: 1})
	x := normal(2, 3, 2, 3, 2, 2, 3, 2)
	for _, o := range []op.Op{
		op.Transpose{Perm: []int{7, 6, 5, 4, 3, 2, 1, 0}},
		op.Pad{Before: []int{1, 0, 1, 0, 1, 0, 1, 0}, After: []int{0, 1, 0, 1, 0, 1, 0, -1}, Mode: op.PadConstant, Value: 2},
	} {
		got, want, err := forward(t, d, o, x)
		if err != nil {
			t.Fatal(err)
		}
		if e := largestError(got, want); e != 0 {
			t.Errorf("%s: error %.1e", o.Name(), e)
		}
	}
}

// TestHasKernel: what the device computes itself depends on the types.
func TestHasKernel(t *testing.T) {
	f, d, i := op.Type{DType: onnx.Float, Shape: []int{2, 3}}, op.Type{DType: onnx.Double, Shape: []int{2, 3}}, op.Type{DType: onnx.Int64, Shape: []int{2, 3}}
	half := op.Type{DType: onnx.Float16, Shape: []int{2, 3}}
	for _, k := range []struct {
		o    op.Op
		t    op.Type
		want bool
	}{
		{op.Add{}, f, true}, {op.Add{}, half, true}, {op.Add{}, d, false}, {op.Add{}, i, false}, {op.Mod{}, f, false},
		{op.Reshape{Shape: []int{6}}, i, true},
	} {
		if got := gpu.HasKernel(k.o, k.t, k.t, k.t); got != k.want {
			t.Errorf("%s of %v: %v", k.o.Name(), k.t, got)
		}
	}
}
