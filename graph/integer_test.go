package graph

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// integers writes networks of integers: weights on a grid of INT8, activations on one
// of UINT8.
type integers struct {
	*onnxtest.Builder
	count int
}

func newIntegers() *integers {
	b := &integers{Builder: onnxtest.New(17)}
	b.Domain("com.microsoft", 1)
	b.Input("image", onnx.Float, "batch", 3, 4, 4)
	return b
}

// weight adds integers and their grid, of one scale or of one for each index of an
// axis; it returns the names of the three.
func (b *integers) weight(name string, scales int, shape ...int) []string {
	size := 1
	for _, d := range shape {
		size *= d
	}
	stored := make([]byte, size)
	for i := range stored {
		stored[i] = byte(37*i + 11*len(name))
	}
	names := []string{name + "_quantized", name + "_scale", name + "_zero_point"}
	b.Tensor(names[0], onnx.Int8, shape, stored)
	dims := []int{}
	if scales > 1 {
		dims = []int{scales}
	}
	scale := make([]float32, scales)
	for i := range scale {
		scale[i] = 0.002 * float32(i+1)
	}
	b.Float(names[1], dims, scale)
	b.Tensor(names[2], onnx.Int8, dims, make([]byte, scales))
	return names
}

// grid adds a grid of UINT8, and returns the names of its scale and its zero point.
func (b *integers) grid(scale float32, zero byte) []string {
	b.count++
	names := []string{fmt.Sprintf("s%d", b.count), fmt.Sprintf("z%d", b.count)}
	b.Float(names[0], nil, []float32{scale})
	b.Tensor(names[1], onnx.Uint8, nil, []byte{zero})
	return names
}

// dynamic is a dynamically quantised network as ONNX Runtime's quantiser writes it: a
// convolution and a linear layer.
func dynamic() *integers {
	b := newIntegers()
	product := func(kind, x, out string, w []string) {
		b.Node("DynamicQuantizeLinear", []string{x}, []string{out + ".q", out + ".s", out + ".z"})
		b.Node(kind, []string{out + ".q", w[0], out + ".z", w[2]}, []string{out + ".i"})
		b.Node("Cast", []string{out + ".i"}, []string{out + ".f"}, onnxtest.Int("to", int64(onnx.Float)))
		b.Node("Mul", []string{out + ".s", w[1]}, []string{out + ".m"})
		b.Node("Mul", []string{out + ".f", out + ".m"}, []string{out})
	}
	product("ConvInteger", "image", "a", b.weight("conv1.weight", 1, 4, 3, 3, 3))
	b.Node("Relu", []string{"a"}, []string{"b"})
	b.Node("GlobalAveragePool", []string{"b"}, []string{"c"})
	b.Node("Flatten", []string{"c"}, []string{"d"})
	product("MatMulInteger", "d", "e", b.weight("fc.weight", 3, 4, 3))
	b.Float("fc.bias", []int{3}, []float32{0.1, -0.2, 0.3})
	b.Node("Add", []string{"e", "fc.bias"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 3)
	return b
}

// rounded are values on the UINT8 grid of DynamicQuantizeLinear, as integers less the
// zero point, and its scale.
func rounded(x []float64) (q []float64, scale float64) {
	least, most := min(0, slices.Min(x)), max(0, slices.Max(x))
	s := float32(most-least) / 255
	zero := math.RoundToEven(float64(float32(-least) / s))
	for _, v := range x {
		q = append(q, max(0, min(255, math.RoundToEven(float64(float32(v)/s))+zero))-zero)
	}
	return q, float64(s)
}

// TestDynamicQuantisation compares a network with integer arithmetic done here, image
// by image; and an image's logits do not depend on the others.
func TestDynamicQuantisation(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		b := dynamic()
		m := parse(t, b.Builder)
		n, err := Build(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := blocksOf(n); got != "conv1 fc" {
			t.Errorf("blocks %s", got)
		}
		stored := func(name string) []float64 {
			ints, err := m.Tensor(name).Int64s()
			if err != nil {
				t.Fatal(err)
			}
			x := make([]float64, len(ints))
			for i, v := range ints {
				x[i] = float64(v)
			}
			return x
		}
		images := ramp(2 * 48)
		for i := range images[48:] {
			images[48+i] *= 7 // another range
		}
		r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
		defer r.Close()
		both, err := Probe(context.Background(), r, images, []int{0, 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range both.Weights {
			if !(g.GNorm > 0) {
				t.Errorf("%s has no gradient", n.Weights[g.Weight].Name)
			}
		}
		conv, fc := stored("conv1.weight_quantized"), stored("fc.weight_quantized")
		for k := range 2 {
			x := make([]float64, 48)
			for i := range x {
				x[i] = float64(images[48*k+i])
			}
			q, scale := rounded(x)
			means := make([]float64, 4)
			for f := range means {
				for at := range 4 {
					sum := 0.0
					for c := range 3 {
						for i := range 3 {
							for j := range 3 {
								sum += q[16*c+4*(at/2+i)+at%2+j] * conv[27*f+9*c+3*i+j]
							}
						}
					}
					means[f] += max(0, sum*scale*0.002) / 4
				}
			}
			q, scale = rounded(means)
			for class := range 3 {
				want := float64([]float32{0.1, -0.2, 0.3}[class])
				for f := range 4 {
					want += q[f] * fc[3*f+class] * scale * 0.002 * float64(class+1)
				}
				if got := float64(both.Logits[k][class]); math.Abs(got-want) > 1e-4*math.Max(1, math.Abs(want)) {
					t.Errorf("image %d, class %d: %v, want %v", k, class, got, want)
				}
			}
			alone, err := Probe(context.Background(), r, images[48*k:48*(k+1)], nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(alone.Logits[0], both.Logits[k]) {
				t.Errorf("image %d alone %v, in a batch %v", k, alone.Logits[0], both.Logits[k])
			}
		}
	})
}

// quantised is a network of integers throughout, as operators of integers or as those
// of floats between a DequantizeLinear and a QuantizeLinear each.
func quantised(operators bool) *integers {
	b := newIntegers()
	in, y1, y2, y3, y4, y5 := b.grid(0.02, 128), b.grid(0.05, 120), b.grid(0.04, 7), b.grid(0.06, 100), b.grid(0.05, 90), b.grid(0.1, 128)
	conv, shortcut, fc := b.weight("conv1.weight", 4, 4, 3, 3, 3), b.weight("conv2.weight", 1, 4, 4, 1, 1), b.weight("fc.weight", 3, 4, 3)
	float := func(out string, q string, g ...string) string {
		b.Node("DequantizeLinear", append([]string{q}, g...), []string{out}, onnxtest.Int("axis", axisOf(q)))
		return out
	}
	back := func(x, q string, g []string) { b.Node("QuantizeLinear", append([]string{x}, g...), []string{q}) }
	pads := onnxtest.Ints("pads", 1, 1, 1, 1)
	back("image", "x", in)
	if operators {
		join := func(parts ...[]string) []string { return slices.Concat(parts...) }
		b.Node("QLinearConv", join([]string{"x"}, in, conv, y1), []string{"a"}, pads)
		b.Node("MaxPool", []string{"a"}, []string{"b"}, onnxtest.Ints("kernel_shape", 2, 2), onnxtest.Ints("strides", 2, 2))
		b.Node("QLinearConv", join([]string{"b"}, y1, shortcut, y2), []string{"c"})
		b.Node("QLinearAdd", join([]string{"b"}, y1, []string{"c"}, y2, y3), []string{"d"}).Domain("com.microsoft")
		b.Node("QLinearGlobalAveragePool", join([]string{"d"}, y3, y4), []string{"e"}).Domain("com.microsoft")
		b.Node("Flatten", []string{"e"}, []string{"f"})
		b.Node("QLinearMatMul", join([]string{"f"}, y4, fc, y5), []string{"g"})
	} else {
		b.Node("Conv", []string{float("x.f", "x", in...), float("w1", conv[0], conv[1:]...)}, []string{"a.f"}, pads)
		back("a.f", "a", y1)
		b.Node("MaxPool", []string{float("b.f", "a", y1...)}, []string{"b.p"}, onnxtest.Ints("kernel_shape", 2, 2), onnxtest.Ints("strides", 2, 2))
		b.Node("Conv", []string{"b.p", float("w2", shortcut[0], shortcut[1:]...)}, []string{"c.f"})
		back("c.f", "c", y2)
		b.Node("Add", []string{"b.p", float("c.d", "c", y2...)}, []string{"d.f"})
		back("d.f", "d", y3)
		b.Node("GlobalAveragePool", []string{float("d.d", "d", y3...)}, []string{"e.f"})
		back("e.f", "e", y4)
		b.Node("Flatten", []string{float("e.d", "e", y4...)}, []string{"f"})
		b.Node("MatMul", []string{"f", float("w3", fc[0], fc[1:]...)}, []string{"g.f"})
		back("g.f", "g", y5)
	}
	float("logits", "g", y5...)
	b.Output("logits", onnx.Float, "batch", 3)
	return b
}

// axisOf is the axis along which scales of a value change.
func axisOf(q string) int64 {
	if strings.HasPrefix(q, "fc") {
		return 1
	}
	return 0
}

// TestOperatorsOfIntegers: operators of integers are those of floats between their
// grids. The logits are those of ONNX Runtime 1.32 without its optimiser, in which a step
// of one logit differs between the two, for a number that lies half-way; gradients are the
// same where none does.
func TestOperatorsOfIntegers(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		var seen []*ProbeResult
		var blocks []string
		for _, operators := range []bool{true, false} {
			n, err := Build(parse(t, quantised(operators).Builder), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !n.QuantisesActivations() {
				t.Error("activations are not said to be rounded")
			}
			r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
			defer r.Close()
			tie := float32(0)
			if operators {
				tie = -0.1
			}
			logits := logitsFor(t, on, n, ramp(3*48))
			if want := [][]float32{{0, 0.3, -1.1}, {tie, 0.2, -1.2}, {-0.1, 0.3, -1.5}}; !reflect.DeepEqual(logits, want) {
				t.Errorf("operators %v: logits %v, want %v", operators, logits, want)
			}
			p, err := Probe(context.Background(), r, ramp(48), []int{0})
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range p.Weights {
				if !(g.GNorm > 0) {
					t.Errorf("%s has no gradient", n.Weights[g.Weight].Name)
				}
			}
			seen, blocks = append(seen, p), append(blocks, blocksOf(n))
		}
		if !reflect.DeepEqual(seen[0].Logits, seen[1].Logits) || !reflect.DeepEqual(seen[0].Weights, seen[1].Weights) {
			t.Errorf("operators of integers %v, %v; of floats %v, %v", seen[0].Logits, seen[0].Weights, seen[1].Logits, seen[1].Weights)
		}
		if blocks[0] != "conv1 conv2 fc" || blocks[1] != blocks[0] {
			t.Errorf("blocks %q", blocks)
		}
	})
}

// TestOtherGrid: integers that are read on another grid than they were made on are
// refused, and not taken for other numbers.
func TestOtherGrid(t *testing.T) {
	b := newIntegers()
	in, other, out := b.grid(0.02, 128), b.grid(0.03, 128), b.grid(0.1, 0)
	b.Node("QuantizeLinear", append([]string{"image"}, in...), []string{"x"})
	b.Node("Flatten", []string{"x"}, []string{"f"})
	b.Node("QLinearMatMul", slices.Concat([]string{"f"}, other, b.weight("fc.weight", 1, 48, 3), out), []string{"g"})
	b.Node("DequantizeLinear", append([]string{"g"}, out...), []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 3)
	if _, err := Build(parse(t, b.Builder), Options{}); err == nil || !strings.Contains(err.Error(), "another grid") {
		t.Errorf("error %v", err)
	}
}

// TestIntegersStored: a treated weight of a network of integers is stored on its grid,
// and cannot become one of floats.
func TestIntegersStored(t *testing.T) {
	for name, b := range map[string]*integers{"dynamic": dynamic(), "operators": quantised(true)} {
		t.Run(name, func(t *testing.T) {
			m := parse(t, b.Builder)
			n, err := Build(m, Options{})
			if err != nil {
				t.Fatal(err)
			}
			w := n.Weights[0]
			values, err := w.Tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			moved := slices.Clone(values)
			moved[0] += 0.0041 // two steps, and a little
			target := filepath.Join(t.TempDir(), "out.onnx")
			draft, err := m.Draft(target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w.Tensor: moved}})
			if err != nil {
				t.Fatal(err)
			}
			if err := draft.Commit(); err != nil {
				t.Fatal(err)
			}
			written, err := onnx.Open(target)
			if err != nil {
				t.Fatal(err)
			}
			defer written.Close()
			got, err := written.Tensor(w.Tensor.Name).Float32s()
			if err != nil {
				t.Fatal(err)
			}
			if want := values[0] + 0.004; math.Abs(float64(got[0]-want)) > 1e-6 || !slices.Equal(got[1:], values[1:]) {
				t.Errorf("stored %v, want %v", got[0], want)
			}
			if s := n.Storing(0); s.Rounded == "" || s.Dequantized != onnx.Undefined {
				t.Errorf("storing %+v", s)
			}
			_, err = m.Draft(target, onnx.Edits{Weights: map[*onnx.Tensor][]float32{w.Tensor: moved}, Dequantize: true})
			if err == nil || !strings.Contains(err.Error(), "computes with integers") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestDynamicForms: the operators that ONNX Runtime's optimiser makes of a dynamically
// quantised product compute the same, whatever the zero point, and also of a matrix that
// is no weight, because it is one number over and over.
func TestDynamicForms(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for name, stored := range map[string]func(i int) byte{
			"a weight": func(i int) byte { return byte(29 * i) },
			"a fill":   func(int) byte { return 200 },
		} {
			t.Run(name, func(t *testing.T) {
				var seen [][][]float32
				for _, form := range []string{"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"} {
					b := newIntegers()
					matrix := make([]byte, 48*3)
					for i := range matrix {
						matrix[i] = stored(i)
					}
					b.Tensor("w", onnx.Uint8, []int{48, 3}, matrix)
					b.Float("s", []int{3}, []float32{0.01, 0.02, 0.03})
					b.Tensor("z", onnx.Uint8, []int{3}, []byte{120, 3, 255})
					b.Float("bias", []int{3}, []float32{0.5, -0.5, 1})
					b.Node("Flatten", []string{"image"}, []string{"x"})
					b.Node("DynamicQuantizeLinear", []string{"x"}, []string{"q", "qs", "qz"})
					switch form {
					case "MatMulInteger":
						b.Node(form, []string{"q", "w", "qz", "z"}, []string{"i"})
						b.Node("Cast", []string{"i"}, []string{"f"}, onnxtest.Int("to", int64(onnx.Float)))
						b.Node("Mul", []string{"qs", "s"}, []string{"scale"})
						b.Node("Mul", []string{"f", "scale"}, []string{"product"})
						b.Node("Add", []string{"product", "bias"}, []string{"logits"})
					case "MatMulIntegerToFloat":
						b.Node(form, []string{"q", "w", "qs", "s", "qz", "z", "bias"}, []string{"logits"}).Domain("com.microsoft")
					default:
						b.Node(form, []string{"x", "w", "s", "z", "bias"}, []string{"logits"}).Domain("com.microsoft")
					}
					b.Output("logits", onnx.Float, "batch", 3)
					n, err := Build(parse(t, b.Builder), Options{})
					if err != nil {
						t.Fatal(err)
					}
					r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
					defer r.Close()
					p, err := Probe(context.Background(), r, ramp(2*48), nil)
					if err != nil {
						t.Fatal(err)
					}
					seen = append(seen, p.Logits)
				}
				values, scale := make([]float64, 48), 0.0
				for i, v := range ramp(48) {
					values[i] = float64(v)
				}
				values, scale = rounded(values)
				for class := range 3 {
					want := float64([]float32{0.5, -0.5, 1}[class])
					for i, q := range values {
						want += q * scale * (float64(stored(3*i+class)) - []float64{120, 3, 255}[class]) * 0.01 * float64(class+1)
					}
					for form, logits := range seen {
						if got := float64(logits[0][class]); math.Abs(got-want) > 1e-3*math.Max(1, math.Abs(want)) {
							t.Errorf("form %d, class %d: %v, want %v", form, class, got, want)
						}
					}
				}
			})
		}
	})
}

// TestQLinearSoftmax compares with what ONNX Runtime 1.32 gives, whose 1 is 254 steps of
// 1/255.
func TestQLinearSoftmax(t *testing.T) {
	b := newIntegers()
	in, out := b.grid(0.02, 128), b.grid(1.0/255, 0)
	b.Node("QuantizeLinear", append([]string{"image"}, in...), []string{"x"})
	b.Node("QLinearSoftmax", slices.Concat([]string{"x"}, in, out), []string{"shares"}, onnxtest.Int("axis", -1), onnxtest.Int("opset", 13)).Domain("com.microsoft")
	b.Node("DequantizeLinear", append([]string{"shares"}, out...), []string{"y"})
	b.Node("Flatten", []string{"y"}, []string{"flat"})
	first := make([]float32, 48*8) // the first eight
	for i := range 8 {
		first[8*i+i] = 255
	}
	b.Float("fc.weight", []int{48, 8}, first)
	b.Node("MatMul", []string{"flat", "fc.weight"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", 8)
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		n, err := Build(parse(t, b.Builder), Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := logitsFor(t, on, n, ramp(48))[0]
		for i, want := range []float32{37, 85, 90, 42, 34, 27, 54, 139} {
			if math.Abs(float64(got[i]-want)) > 1e-3 {
				t.Errorf("share %d is %v steps, want %v", i, got[i], want)
			}
		}
	})
}
