package graph

import (
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// tieCase is an operator of the integers 0 to 47 on a grid, of which many results lie
// half-way between two integers of another.
type tieCase struct {
	in, out grid
	// emit adds the operator, which reads "x" on grid "in" and makes "y" on grid "out",
	// of which the names are given.
	emit func(b *integers, in, out []string)
	want []int64
}

type grid struct {
	scale float32
	zero  byte
}

// domain is for the operators that are ONNX Runtime's own.
const domain = "com.microsoft"

// tieCases hold what ONNX Runtime 1.32 gives on x86-64, its optimiser disabled; enabled,
// it gives the same but for AveragePool.
func tieCases() map[string]tieCase {
	return map[string]tieCase{
		"QLinearAdd": {grid{0.3, 3}, grid{0.4, 7}, func(b *integers, in, out []string) {
			b.Node("Transpose", []string{"x"}, []string{"t"}, onnxtest.Ints("perm", 0, 1, 3, 2))
			b.Node("QLinearAdd", slices.Concat([]string{"x"}, in, []string{"t"}, in, out), []string{"y"}).Domain(domain)
		}, []int64{2, 6, 10, 14, 6, 10, 14, 18, 10, 14, 18, 21, 14, 18, 21, 25, 26, 30, 34, 38, 30, 34, 38, 42, 34, 38, 42, 45, 38, 42, 45, 49, 50, 54, 58, 62, 54, 58, 62, 66, 58, 62, 66, 69, 62, 66, 69, 73}},
		// The "+ 1" of a GELU, every sum of which is half-way.
		"QLinearAdd of a weight": {grid{0.3, 24}, grid{0.3, 7}, func(b *integers, in, out []string) {
			one := b.grid(0.15/255, 0)
			b.Tensor("one", onnx.Uint8, []int{1}, []byte{255})
			b.Node("QLinearAdd", slices.Concat([]string{"x"}, in, []string{"one"}, one, out), []string{"y"}).Domain(domain)
		}, []int64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14, 16, 16, 18, 18, 20, 20, 22, 22, 24, 24, 26, 26, 28, 28, 30, 30}},
		"QLinearMul": {grid{0.3, 24}, grid{0.36, 101}, func(b *integers, in, out []string) {
			b.Node("Transpose", []string{"x"}, []string{"t"}, onnxtest.Ints("perm", 0, 1, 3, 2))
			b.Node("QLinearMul", slices.Concat([]string{"x"}, in, []string{"t"}, in, out), []string{"y"}).Domain(domain)
		}, []int64{245, 216, 189, 164, 216, 191, 168, 148, 189, 168, 150, 134, 164, 148, 134, 121, 117, 108, 101, 96, 108, 103, 100, 100, 101, 100, 102, 106, 96, 100, 106, 113, 117, 128, 141, 156, 128, 143, 160, 180, 141, 160, 182, 206, 156, 180, 206, 233}},
		"QLinearMatMul": {grid{0.1, 7}, grid{0.06, 101}, func(b *integers, in, out []string) {
			w := b.steps("w", []float32{0.3, 0.3, 0.2, 0.1}, []int{4, 4}, 1, 0, 1, 2, 0, 1, 1, -3, 2, 1, 0, 1, 0, 1, 0, 5)
			b.Node("QLinearMatMul", slices.Concat([]string{"x"}, in, w, out), []string{"y"})
		}, []int64{92, 93, 97, 97, 98, 99, 99, 101, 105, 106, 102, 104, 111, 112, 105, 108, 117, 118, 107, 111, 123, 124, 110, 114, 129, 130, 113, 118, 135, 136, 115, 121, 141, 142, 118, 124, 147, 148, 121, 128, 153, 154, 123, 131, 159, 160, 126, 134}},
		"QGemm": {grid{0.1, 7}, grid{0.06, 101}, func(b *integers, in, out []string) {
			ints := make([]int8, 48*4)
			for i := range ints {
				ints[i] = int8(i%3 - 1)
			}
			w := b.steps("w", []float32{0.3, 0.3, 0.15, 0.6}, []int{48, 4}, ints...)
			b.Tensor("bias", onnx.Int32, []int{4}, []byte{3, 0, 0, 0, 5, 0, 0, 0, 251, 255, 255, 255, 7, 0, 0, 0})
			b.Node("Flatten", []string{"x"}, []string{"f"})
			b.Node("QGemm", slices.Concat([]string{"f"}, in, w, []string{"bias"}, out), []string{"y"}, onnxtest.Float("alpha", 0.5)).Domain(domain)
		}, []int64{110, 98, 98, 121}},
		"QLinearConv": {grid{0.1, 7}, grid{0.06, 101}, func(b *integers, in, out []string) {
			w := b.steps("w", []float32{0.3, 0.1}, []int{2, 3, 1, 1}, 1, 2, -2, 5, -3, 1)
			b.Tensor("bias", onnx.Int32, []int{2}, []byte{3, 0, 0, 0, 251, 255, 255, 255})
			b.Node("QLinearConv", slices.Concat([]string{"x"}, in, w, out, []string{"bias"}), []string{"y"})
		}, []int64{83, 83, 84, 84, 85, 85, 86, 86, 87, 87, 88, 88, 89, 89, 90, 90, 94, 94, 95, 95, 96, 96, 97, 97, 98, 98, 99, 99, 100, 100, 101, 102}},
		"QLinearGlobalAveragePool": {grid{0.7, 5}, grid{0.35, 9}, func(b *integers, in, out []string) {
			b.Node("QLinearGlobalAveragePool", slices.Concat([]string{"x"}, in, out), []string{"y"}).Domain(domain)
		}, []int64{14, 46, 78}},
		"QLinearAveragePool": {grid{0.3, 5}, grid{0.1, 9}, func(b *integers, in, out []string) {
			b.Node("QLinearAveragePool", slices.Concat([]string{"x"}, in, out), []string{"y"}, onnxtest.Ints("kernel_shape", 3, 3), onnxtest.Ints("pads", 1, 1, 1, 1)).Domain(domain)
		}, []int64{2, 3, 6, 8, 8, 9, 12, 14, 20, 21, 24, 26, 26, 27, 30, 32, 50, 51, 54, 56, 56, 57, 60, 62, 68, 69, 72, 74, 74, 75, 78, 80, 98, 99, 102, 104, 104, 105, 108, 110, 116, 117, 120, 122, 122, 123, 126, 128}},
		// The form of floats; with the optimiser it becomes the one above.
		"AveragePool": {grid{0.3, 5}, grid{0.1, 9}, func(b *integers, in, out []string) {
			b.Node("DequantizeLinear", append([]string{"x"}, in...), []string{"f"})
			b.Node("AveragePool", []string{"f"}, []string{"means"}, onnxtest.Ints("kernel_shape", 3, 3), onnxtest.Ints("pads", 1, 1, 1, 1))
			b.Node("QuantizeLinear", append([]string{"means"}, out...), []string{"y"})
		}, []int64{1, 3, 6, 7, 8, 9, 12, 13, 20, 21, 24, 25, 25, 27, 30, 31, 49, 51, 54, 55, 55, 57, 60, 61, 67, 69, 72, 73, 73, 75, 78, 79, 97, 99, 102, 104, 103, 105, 108, 109, 116, 117, 120, 121, 121, 123, 126, 127}},
		"QLinearLeakyRelu": {grid{0.3, 30}, grid{0.1, 90}, func(b *integers, in, out []string) {
			b.Node("QLinearLeakyRelu", slices.Concat([]string{"x"}, in, out), []string{"y"}, onnxtest.Float("alpha", 0.5)).Domain(domain)
		}, []int64{45, 46, 48, 50, 51, 52, 54, 56, 57, 58, 60, 61, 63, 64, 66, 68, 69, 70, 72, 74, 75, 76, 78, 79, 81, 82, 84, 86, 87, 88, 90, 93, 96, 99, 102, 105, 108, 111, 114, 117, 120, 123, 126, 129, 132, 135, 138, 141}},
		"QLinearSigmoid": {grid{0.3, 24}, grid{1. / 256, 0}, func(b *integers, in, out []string) {
			b.Node("QLinearSigmoid", slices.Concat([]string{"x"}, in, out), []string{"y"}).Domain(domain)
		}, []int64{0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 36, 47, 59, 74, 91, 109, 128, 147, 165, 182, 197, 209, 220, 228, 235, 240, 244, 247, 249, 251, 252, 253, 254, 254, 255, 255, 255, 255, 255, 255}},
		"QLinearConcat": {grid{0.3, 3}, grid{0.6, 7}, func(b *integers, in, out []string) {
			b.Node("QLinearConcat", slices.Concat(out, []string{"x"}, in), []string{"y"}, onnxtest.Int("axis", 1)).Domain(domain)
		}, []int64{5, 6, 7, 7, 7, 8, 9, 9, 9, 10, 11, 11, 11, 12, 13, 13, 13, 14, 14, 15, 15, 16, 17, 17, 17, 18, 19, 19, 19, 20, 21, 21, 22, 22, 23, 23, 23, 24, 25, 25, 25, 26, 27, 27, 27, 28, 29, 29}},
		"Pad": {grid{0.3, 3}, grid{0.3, 3}, func(b *integers, in, out []string) {
			b.Tensor("pads", onnx.Int64, []int{8}, []byte{16: 1, 63: 0})
			b.Tensor("fill", onnx.Uint8, nil, []byte{200})
			b.Node("Pad", []string{"x", "pads", "fill"}, []string{"y"})
		}, []int64{200, 200, 200, 200, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 200, 200, 200, 200, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 200, 200, 200, 200, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47}},
	}
}

// steps adds integers on a grid of INT8, of a scale for each index of an axis.
func (b *integers) steps(name string, scale []float32, shape []int, ints ...int8) []string {
	names := []string{name, name + "_scale", name + "_zero_point"}
	stored := make([]byte, len(ints))
	for i, q := range ints {
		stored[i] = byte(q)
	}
	b.Tensor(names[0], onnx.Int8, shape, stored)
	b.Float(names[1], []int{len(scale)}, scale)
	b.Tensor(names[2], onnx.Int8, []int{len(scale)}, make([]byte, len(scale)))
	return names
}

func (c tieCase) network() *integers {
	b := newIntegers()
	in, out := b.grid(c.in.scale, c.in.zero), b.grid(c.out.scale, c.out.zero)
	b.Node("QuantizeLinear", append([]string{"image"}, in...), []string{"x"})
	c.emit(b, in, out)
	b.Node("DequantizeLinear", append([]string{"y"}, out...), []string{"numbers"})
	b.Node("Flatten", []string{"numbers"}, []string{"logits"})
	b.Output("logits", onnx.Float, "batch", len(c.want))
	return b
}

// images are the integers 0 to 47 as numbers of the grid.
func (c tieCase) images() []float32 {
	x := make([]float32, 48)
	for i := range x {
		x[i] = float32(i-int(c.in.zero)) * c.in.scale
	}
	return x
}

// TestTies: where results lie half-way, operators of integers have the order of float32
// operations of the runtime whose operators they are.
func TestTies(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for name, c := range tieCases() {
			n, err := Build(parse(t, c.network().Builder), Options{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			var got []int64
			for _, y := range logitsFor(t, on, n, c.images())[0] {
				got = append(got, int64(math.Round(float64(y/c.out.scale)))+int64(c.out.zero))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	})
}
