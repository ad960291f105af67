package onnx_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// gridCase is a quantised tensor of shape [2, 6].
type gridCase struct {
	dtype, float onnx.DType
	scale        []int // its shape
	block        int64
	zero         bool
	form         string // of storage
}

// model stores the integers 0 to 11, less 6 where the type is signed.
func (c gridCase) model() []byte {
	b := onnxtest.New(21)
	b.Input("x", c.float, "batch", 2, 6)
	bits := c.dtype.Bits()
	var raw []byte
	var ints []int32
	for i := range 12 {
		v := int32(i)
		if c.signed() {
			v -= 6
		}
		if bits < 8 {
			if i%2 == 0 {
				raw = append(raw, byte(v&15))
				continue
			}
			raw[i/2] |= byte(v&15) << 4
			ints = append(ints, int32(raw[i/2]))
			continue
		}
		ints = append(ints, v)
		for k := range bits / 8 {
			raw = append(raw, byte(v>>(8*k)))
		}
	}
	w := onnxtest.Tensor("w_quantized", c.dtype, []int{2, 6})
	switch c.form {
	case "raw":
		w.Raw(raw)
	case "ints":
		w.Int32s(ints...)
	case "unpacked":
		w.Packed(false).Int32s(ints...)
	}
	groups := 1
	for _, d := range c.scale {
		groups *= d
	}
	b.Initializer(w)
	var scale []byte
	for i := range groups {
		s := 0.1 + 0.07*float32(i)
		switch c.float {
		case onnx.Float:
			scale = append(scale, float32Bytes(s)...)
		case onnx.Float16:
			h, _ := onnx.NarrowFloat16(s)
			scale = append(scale, byte(h), byte(h>>8))
		}
	}
	b.Tensor("w_scale", c.float, c.scale, scale)
	inputs := []string{"w_quantized", "w_scale"}
	if c.zero {
		n := groups * bits
		zero := make([]byte, (n+7)/8)
		if c.dtype != onnx.Int32 {
			for i := range groups {
				zero[i*bits/8] |= 1 << (i * bits % 8)
			}
		}
		b.Tensor("w_zero_point", c.dtype, c.scale, zero)
		inputs = append(inputs, "w_zero_point")
	}
	node := b.Node("DequantizeLinear", inputs, []string{"w"}, onnxtest.Int("axis", 1)).Name("dq")
	if c.block > 0 {
		node.Attr(onnxtest.Int("block_size", c.block))
	}
	b.Node("Add", []string{"x", "w"}, []string{"y"})
	b.Output("y", c.float, "batch", 2, 6)
	return b.Bytes()
}

func (c gridCase) signed() bool {
	return slices.Contains([]onnx.DType{onnx.Int4, onnx.Int8, onnx.Int16, onnx.Int32}, c.dtype)
}

// value is (q − z)·s of element i, by the definition.
func (c gridCase) value(i int) float32 {
	q, group := float32(i), 0
	if c.signed() {
		q -= 6
	}
	switch {
	case c.block > 0:
		group = i/6*3 + i%6/int(c.block)
	case len(c.scale) == 1 && c.scale[0] == 6:
		group = i % 6
	}
	s := 0.1 + 0.07*float32(group)
	if c.zero && c.dtype != onnx.Int32 {
		q--
	}
	if c.float == onnx.Float16 {
		h, _ := onnx.NarrowFloat16(s)
		h, _ = onnx.NarrowFloat16(q * onnx.WidenFloat16(h))
		return onnx.WidenFloat16(h)
	}
	return q * s
}

func float32Bytes(x float32) []byte {
	b := math.Float32bits(x)
	return []byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)}
}

// TestQuantised reads, rounds, stores and dequantises every type of integer in
// every form, with every kind of scale.
func TestQuantised(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, dtype := range []onnx.DType{onnx.Int4, onnx.Uint4, onnx.Int8, onnx.Uint8, onnx.Int16, onnx.Uint16, onnx.Int32} {
		for _, kind := range []gridCase{{}, {scale: []int{1}, zero: true}, {scale: []int{6}}, {scale: []int{6}, zero: true}, {scale: []int{2, 3}, block: 2, zero: true}} {
			for _, form := range []string{"raw", "ints", "unpacked"} {
				for _, float := range []onnx.DType{onnx.Float, onnx.Float16} {
					c := kind
					c.dtype, c.float, c.form = dtype, float, form
					t.Run(fmt.Sprint(c), func(t *testing.T) { checkQuantised(t, c, random) })
				}
			}
		}
	}
}

func checkQuantised(t *testing.T, c gridCase, random *rand.Rand) {
	data := c.model()
	m, err := onnx.Parse(data, "")
	if err != nil {
		t.Fatal(err)
	}
	weights := m.Weights()
	if len(weights) == 0 || weights[0].Path != "w" || weights[0].Tensor.Quantization() == nil || len(weights[0].Uses) != 1 || weights[0].Uses[0].Node.OpType != "Add" {
		t.Fatalf("weights %+v", weights)
	}
	w := weights[0].Tensor
	read, err := w.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range read {
		if want := c.value(i); x != want {
			t.Errorf("element %d is %v, expected %v", i, x, want)
		}
	}
	patch := func(e onnx.Edits) (*onnx.Model, []byte) {
		t.Helper()
		after, err := onnx.Patched(m, e)
		if err != nil {
			t.Fatal(err)
		}
		patched, err := onnx.Parse(after, "")
		if err != nil {
			t.Fatal(err)
		}
		return patched, after
	}
	if _, after := patch(onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: read}}); !bytes.Equal(after, data) {
		t.Error("the values that are there, stored again, change the file")
	}
	x := make([]float32, 12)
	for _, deviation := range []float64{0.01, 1, 1e4} {
		for i := range x {
			x[i] = float32(random.NormFloat64() * deviation)
		}
		rounded, err := w.Rounded(x)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := w.Rounded(rounded); err != nil || !slices.Equal(again, rounded) {
			t.Errorf("%v is rounded to %v, and that to %v, %v", x, rounded, again, err)
		}
		e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: x}}
		patched, after := patch(e)
		checkPatched(t, m, patched, data, after, e)

		e.Dequantize = true
		plain, _ := patch(e)
		want, err := w.Dequantized(x)
		if err != nil {
			t.Fatal(err)
		}
		stored := plain.Tensor(w.Name)
		if got, err := stored.Float32s(); err != nil || !slices.Equal(got, want) || stored.DType != c.float || stored.Storage != onnx.StorageRaw {
			t.Errorf("dequantised it reads %v of %v in %s, %v; expected %v", got, stored.DType, stored.Storage, err, want)
		}
		if n := plain.Nodes[0]; n.OpType != "Identity" || len(n.Inputs) != 1 || len(n.Attributes()) != 0 || n.Name != "dq" || n.Outputs[0] != "w" {
			t.Errorf("the node has become %+v", n)
		}
	}
	x[3] = float32(math.NaN())
	if _, err := w.Rounded(x); err == nil {
		t.Error("NaN is rounded")
	}
}

// TestNotQuantised: integers that something else reads, or whose scale is not
// constant, are no weights.
func TestNotQuantised(t *testing.T) {
	for name, add := range map[string]func(b *onnxtest.Builder){
		"another reader": func(b *onnxtest.Builder) { b.Node("Cast", []string{"w"}, []string{"z"}, onnxtest.Int("to", 1)) },
		"another scale":  func(b *onnxtest.Builder) { b.Node("DequantizeLinear", []string{"w", "t"}, []string{"z"}) },
		"an output":      func(b *onnxtest.Builder) { b.Output("w", onnx.Int8, 2) },
	} {
		b := onnxtest.New(20)
		b.Tensor("w", onnx.Int8, []int{2}, []byte{1, 2})
		b.Float("s", nil, []float32{2})
		b.Float("t", nil, []float32{3})
		b.Node("DequantizeLinear", []string{"w", "s"}, []string{"y"})
		b.Output("y", onnx.Float, 2)
		if parse(t, b).Tensor("w").Quantization() == nil {
			t.Fatal("the tensor is no quantised weight to begin with")
		}
		add(b)
		if parse(t, b).Tensor("w").Quantization() != nil {
			t.Errorf("%s: it counts as a quantised weight", name)
		}
	}
}
