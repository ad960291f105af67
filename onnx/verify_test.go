package onnx_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// twoWeights returns a model whose tensors "w" and "v" are added to its input.
func twoWeights() *onnxtest.Builder {
	b := onnxtest.New(20)
	b.Input("x", onnx.Float, "batch", 2, 3)
	b.Initializer(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32()))
	b.Initializer(onnxtest.Tensor("v", onnx.Float, []int{2, 3}).Raw(raw32()))
	b.Node("Sum", []string{"x", "w", "v"}, []string{"y"}).Name("sum_of_three")
	b.Metadata("author", "nobody")
	b.Output("y", onnx.Float, "batch", 2, 3)
	return b
}

// TestVerify makes drafts that are as they should be, and spoils others in one
// place each.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	m := writeModel(t, dir, twoWeights().Bytes())
	renamed := onnxtest.New(20)
	renamed.Input("x", onnx.Float, "batch", 2, 3)
	renamed.Initializer(onnxtest.Tensor("z", onnx.Float, []int{2, 3}).Raw(raw32()))
	renamed.Node("Add", []string{"x", "z"}, []string{"y"})
	renamed.Output("y", onnx.Float, "batch", 2, 3)
	elsewhere := writeModel(t, t.TempDir(), renamed.Bytes())
	target := filepath.Join(dir, "out.onnx")
	edits := onnx.Edits{
		Weights:  map[*onnx.Tensor][]float32{m.Tensor("w"): changes},
		Metadata: map[string]string{"modeldoctor.fix": "{}"},
	}
	other := make([]float32, len(changes))
	replace := func(old, by string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(by), 1) }
	}
	for name, c := range map[string]struct {
		verified onnx.Edits // what is said to have been edited, if not edits
		spoil    func(file []byte) []byte
		want     string // in the error
	}{
		"good": {verified: edits},
		"another value stored": {
			verified: onnx.Edits{Weights: map[*onnx.Tensor][]float32{m.Tensor("w"): other}, Metadata: edits.Metadata},
			want:     `tensor "w" of the treated file does not hold the trained weights`,
		},
		"a tensor missing": {
			verified: onnx.Edits{Weights: map[*onnx.Tensor][]float32{elsewhere.Tensor("z"): changes}},
			want:     `tensor "z" is missing from the treated file`,
		},
		"another tensor changed": {
			verified: edits,
			spoil: func(b []byte) []byte {
				// v's are the only values that are still the original's.
				b[bytes.Index(b, raw32())] ^= 1
				return b
			},
			want: `tensor "v" of the treated file has changed, which it should not`,
		},
		"a tensor that was not to be edited": {
			verified: onnx.Edits{Metadata: edits.Metadata},
			want:     `tensor "w" of the treated file has changed, which it should not`,
		},
		"metadata changed": {
			verified: edits, spoil: replace("nobody", "noBody"),
			want: `the entry "author" of the treated file's metadata has changed, which it should not`,
		},
		"metadata added": {
			verified: onnx.Edits{Weights: edits.Weights},
			want:     `the entry "modeldoctor.fix" of the treated file's metadata has changed, which it should not`,
		},
		"other metadata stored": {
			verified: onnx.Edits{Weights: edits.Weights, Metadata: map[string]string{"modeldoctor.fix": "{} "}},
			want:     `the entry "modeldoctor.fix" of the treated file's metadata does not hold what it should`,
		},
		"a node changed":        {verified: edits, spoil: replace("sum_of_three", "sum_of_four_"), want: `"sum_of_four_"`},
		"an operator changed":   {verified: edits, spoil: replace("Sum", "Max"), want: `"Sum" → "Max"`},
		"a declaration changed": {verified: edits, spoil: replace("batch", "Batch"), want: `"batch" → "Batch"`},
		"no model any more":     {verified: edits, spoil: func(b []byte) []byte { b[0] = 0xff; return b }, want: "the treated file cannot be read back"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := m.Draft(target, edits)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Discard()
			if c.spoil != nil {
				if err := d.Spoil(c.spoil); err != nil {
					t.Fatal(err)
				}
			}
			changed, err := d.Verify(c.verified)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, expected %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			written, err := d.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer written.Close()
			if want := compare(t, m, written).BytesChanged; changed != want || want == 0 {
				t.Errorf("%d bytes, expected %d", changed, want)
			}
		})
	}
}

// TestVerifyUntied counts the bytes of the copies, too, but lets nothing change
// in them.
func TestVerifyUntied(t *testing.T) {
	dir := t.TempDir()
	m := writeModel(t, dir, tied(onnxtest.Tensor("w", onnx.Float, []int{2, 3}).Raw(raw32())).Bytes())
	once, err := m.Untied(m.Tensor("w"), usesOf(m, "w", "/head/MatMul", "/tail/MatMul"))
	if err != nil {
		t.Fatal(err)
	}
	twice, err := once.Untied(once.Tensor("w"), usesOf(once, "w", "twice"))
	if err != nil {
		t.Fatal(err)
	}
	for _, untied := range []*onnx.Model{once, twice} {
		edits := onnx.Edits{Weights: map[*onnx.Tensor][]float32{untied.Tensor("w::untied"): changes}}
		d, err := untied.Draft(filepath.Join(dir, "out.onnx"), edits)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Discard()
		changed, err := d.Verify(edits)
		if err != nil {
			t.Fatal(err)
		}
		written, err := d.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer written.Close()
		if want := compare(t, m, written).BytesChanged; changed != want || changed <= compare(t, untied, written).BytesChanged {
			t.Errorf("%d bytes, expected %d", changed, want)
		}
		if _, err := d.Verify(onnx.Edits{}); err == nil || !strings.Contains(err.Error(), `"w::untied"`) {
			t.Errorf("an edit of the copy that was not asked for: %v", err)
		}
	}
}

// TestVerifyDequantized lets DequantizeLinear become Identity where that was
// asked for.
func TestVerifyDequantized(t *testing.T) {
	dir := t.TempDir()
	c := gridCase{dtype: onnx.Int8, float: onnx.Float, scale: []int{}, zero: true, form: "raw"}
	m := writeModel(t, dir, c.model())
	w := m.Tensor("w_quantized")
	values, err := w.Dequantized(make([]float32, 12))
	if err != nil {
		t.Fatal(err)
	}
	edits := onnx.Edits{Weights: map[*onnx.Tensor][]float32{w: values}, Dequantize: true}
	d, err := m.Draft(filepath.Join(dir, "out.onnx"), edits)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Discard()
	if _, err := d.Verify(edits); err != nil {
		t.Error(err)
	}
	edits.Dequantize = false
	if _, err := d.Verify(edits); err == nil || !strings.Contains(err.Error(), "in more than its weights") {
		t.Errorf("an Identity that was not asked for: %v", err)
	}
}

// TestVerifyCommitted looks at the file under its name once it is there.
func TestVerifyCommitted(t *testing.T) {
	dir := t.TempDir()
	m := writeModel(t, dir, twoWeights().Bytes())
	target := filepath.Join(dir, "out.onnx")
	d, err := m.Draft(target, onnx.Edits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	if changed, err := d.Verify(onnx.Edits{}); err != nil || changed != 0 {
		t.Errorf("%d bytes, %v", changed, err)
	}
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Verify(onnx.Edits{}); err == nil {
		t.Error("a file that is gone is verified")
	}
}
