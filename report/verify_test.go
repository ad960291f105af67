package report

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// variant builds a small model. changed alters a weight and what else can differ.
func variant(t *testing.T, changed bool) *onnx.Model {
	t.Helper()
	opset, weight, op, value := int64(20), []float32{1, 2, 2, 4}, "Relu", "before"
	if changed {
		opset, weight, op, value = 21, []float32{1, 2, 2, 4.5}, "Sigmoid", "after\x1b[31m"
	}
	b := onnxtest.New(opset)
	b.Input("pixels", onnx.Float, "batch", 2)
	b.Float("body.weight", []int{2, 2}, weight)
	b.Float("zero", []int{2}, []float32{0, weight[3] - 4})
	b.Node("MatMul", []string{"pixels", "body.weight"}, []string{"product"}).Name("body")
	b.Node("Add", []string{"product", "zero"}, []string{"sum"}).Name("sum")
	b.Node(op, []string{"sum"}, []string{"logits"}).Name("activation")
	if changed {
		b.Float("extra", []int{1}, []float32{math.MaxFloat32})
		b.Node("Identity", []string{"extra"}, []string{"copy"}).Name("copied")
		b.Metadata("modeldoctor.fix", `{"schema_version":1,`+strings.Repeat(`"key":"value",`, 30)+`}`)
	} else {
		b.Initializer(onnxtest.Tensor("steps", onnx.Int64, []int{2}).Packed(false).Int64s(-1, 6))
	}
	b.Metadata("note", value)
	b.Output("logits", onnx.Float, "batch", 2)
	m, err := onnx.Parse(b.Bytes(), "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// compared is what differs between two variants.
func compared(t *testing.T, changed bool) *onnx.Comparison {
	t.Helper()
	comparison, err := onnx.Compare(variant(t, false), variant(t, changed))
	if err != nil {
		t.Fatal(err)
	}
	return comparison
}

// verified is the result of the command verify.
func verified(c *onnx.Comparison, layers []LayerChange) *Verify {
	v := NewVerify("models/model.onnx", "out/fixed.onnx", c, layers)
	v.Provenance = Provenance{Version: "v0", Command: []string{"modeldoctor", "verify"}, Device: "cpu amd64", Seconds: 0.2}
	return v
}

// different has a difference of every kind.
func different(t *testing.T) *Verify {
	c := compared(t, true)
	c.DataFiles = []onnx.DataFileComparison{
		{Location: "same.bin", SizeA: 1000, SizeB: 1000, Same: true}, {Location: "other.bin", SizeA: 1000, SizeB: 1000}, {Location: "longer.bin", SizeA: 1, SizeB: 1001},
		{Location: "a.bin", SizeA: 0, SizeB: -1}, {Location: "b.bin", SizeA: -1, SizeB: 5},
	}
	relative := Number(0.1)
	v := verified(c, []LayerChange{
		{Name: "embed", Tensors: 1, WNorm: 5, DeltaNorm: 0.5, Relative: &relative},
		{Name: "head\x1b[0m." + strings.Repeat("long", 20), Tensors: 12, WNorm: 0, DeltaNorm: 12345.6},
	})
	v.Measured = NewMeasured("built-in CIFAR-100 sample", Part{Name: "test (first half)", N: 1000},
		metric.Figures{Loss: 4.532, Error: 0.792, ECE: 0.317}, metric.Figures{Loss: 3.981, Error: 0.781, ECE: 0.19},
		*estimate(0.551, 0.03), *estimate(0.011, 0.006))
	return v
}

// many has more differences than anyone reads, and none between layers.
func many(t *testing.T) *Verify {
	c := compared(t, true)
	for i := range 30 {
		c.Tensors = append(c.Tensors, onnx.TensorChange{
			Name: fmt.Sprintf("onnx::MatMul_%d", i), Path: fmt.Sprintf("blocks.%d.mlp.fc1.weight", i), Presence: onnx.InBoth,
			A:       &onnx.TensorState{DType: onnx.Float, Shape: []int{96, 384}, Storage: onnx.StorageRaw, File: "models/model.onnx", Range: onnx.ByteRange{Offset: 1000, Length: 147456}},
			B:       &onnx.TensorState{DType: onnx.Float16, Shape: []int{96, 384}, Storage: onnx.StorageExternal, File: "out/weights.bin", Range: onnx.ByteRange{Offset: 0, Length: 73728}},
			Changes: []string{"type FLOAT → FLOAT16", "stored as raw_data → external", "36864 of 36864 values"}, Compared: true, ElementsChanged: 36864,
			NormA: 12.5, NormDelta: math.NaN(), Relative: math.NaN(),
		})
		c.Fields = append(c.Fields, fmt.Sprintf("functions[%d]: %s", i, strings.Repeat("text ", 100)))
	}
	return verified(c, nil)
}

func verifications(t *testing.T) map[string]*Verify {
	return map[string]*Verify{"verify": different(t), "verify-same": verified(compared(t, false), nil), "verify-many": many(t)}
}

func TestVerifyGoldenFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer) error{}
	for name, v := range verifications(t) {
		files[name+".txt"] = func(b *bytes.Buffer) error { return Write(b, v, "text", Style{}) }
		files[name+".json"] = func(b *bytes.Buffer) error { return Write(b, v, "json", Style{}) }
	}
	checkGolden(t, files)
}

func TestVerifyText(t *testing.T) {
	for name, v := range verifications(t) {
		var text bytes.Buffer
		if err := Write(&text, v, "text", Style{}); err != nil {
			t.Fatal(err)
		}
		checkWidth(t, name, text.String())
		if n := strings.Count(text.String(), "\n"); name == "verify-same" && n != 1 {
			t.Errorf("files that are the same take %d lines, want 1:\n%s", n, &text)
		}
	}
}

// TestVerifyNotANetwork: no layers are known, or none differs.
func TestVerifyNotANetwork(t *testing.T) {
	v := verified(compared(t, true), nil)
	for want, layers := range map[string][]LayerChange{`"layers": null`: nil, `"layers": []`: {}} {
		v.Layers = layers
		var document, text bytes.Buffer
		if err := Write(&document, v, "json", Style{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(document.String(), want) {
			t.Errorf("%s is missing", want)
		}
		if err := Write(&text, v, "text", Style{}); err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(text.String(), "not sorted into layers"); said != (layers == nil) {
			t.Errorf("layers %v: the text says that there are none %v:\n%s", layers, said, &text)
		}
	}
}

// TestShortened: what is cut says so and fits.
func TestShortened(t *testing.T) {
	for text, want := range map[string]string{"": "", "12345": "12345", "123456": "1234…", "層層層": "層層…", "1層層層": "1層…"} {
		if got := shortened(text, 5); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}
