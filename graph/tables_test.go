package graph

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestTables tells constants that are stored like parameters from parameters, by
// what they hold: a mask, whatever it is called, and a table of sines and
// cosines.
func TestTables(t *testing.T) {
	angles := make([]float32, 0, 12)
	for _, angle := range []float64{0.1, 1, 2} {
		sin, cos := float32(math.Sin(angle)), float32(math.Cos(angle))
		angles = append(angles, sin, sin, cos, cos)
	}
	large := make([]float32, 64*144*144) // of Swin's 64 windows of 12 pixels in images of 384
	large[144] = -100
	for name, c := range map[string]struct {
		op     string
		values []float32
		reason string
	}{
		"a mask":                     {"Add", []float32{0, -100, -100, 0, 0, -100, 0, 0, 0, 0, 0, 0}, "mask"},
		"a large mask":               {"Add", large, "mask"},
		"the lowest number":          {"Add", []float32{0, -3e38, -1e9, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "mask"},
		"masked throughout":          {"Add", []float32{-1e9, -1e9, -1e9, -1e9}, "mask"},
		"a sigmoid head's bias":      {"Add", []float32{-10, -10, -10, -10}, ""},
		"scales and shifts":          {"Mul", []float32{0, 0, 1, 1}, ""},
		"a trained decay":            {"Mul", []float32{1, 0.5001, 0.25, 0.125}, ""},
		"a bias of zeros":            {"Add", make([]float32, 12), ""},
		"a bias":                     {"Add", []float32{0, -100, -99, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ""},
		"a small bias of two values": {"Add", []float32{0, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ""},
		"a mask that is expanded":    {"Expand", []float32{0, -100, -100, 0, 0, -100, 0, 0, 0, 0, 0, 0}, "mask"},
		"a token that is expanded":   {"Expand", []float32{0, -1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ""},
		"a mask that multiplies":     {"Mul", []float32{0, -100, -100, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ""},
		"rotary":                     {"Mul", angles, "rotary table"},
		"angles that are added":      {"Add", angles, ""},
		"frequencies":                {"Mul", []float32{1, 0.5, 0.25, 0.125}, "rotary frequencies"},
		"uneven scales":              {"Mul", []float32{1, 0.5, 0.25, 0.12}, ""},
		"equal scales":               {"Mul", []float32{1, 1, 1, 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := onnxtest.New(20)
			b.Input("x", onnx.Float, "batch", 3, 4)
			b.Float("block.scale.attn_mask", []int{len(c.values) / 4, 4}, c.values)
			b.Node(c.op, []string{"x", "block.scale.attn_mask"}, []string{"y"})
			b.Output("y", onnx.Float, "batch", 3, 4)
			m, err := onnx.Parse(b.Bytes(), "")
			if err != nil {
				t.Fatal(err)
			}
			found := findCandidates(m)
			if got := found.reasons[found.all[0].Tensor]; got != c.reason {
				t.Errorf("reason %q, want %q", got, c.reason)
			}
		})
	}
}

// TestRotaryPairs: sines and cosines that lie in two tables are no weights; two
// scales that happen to be 0 and 1 are.
func TestRotaryPairs(t *testing.T) {
	const n = 6
	var sines, cosines, halves, ones, zeros [n]float32
	for i := range n {
		sin, cos := math.Sincos(0.3 * float64(i+1))
		sines[i], cosines[i], halves[i], ones[i] = float32(sin), float32(cos), float32(cos)/2, 1
	}
	for name, c := range map[string]struct {
		first, second [n]float32
		reason        string
	}{
		"a pair":           {sines, cosines, "rotary table"},
		"the same twice":   {sines, sines, ""},
		"not on a circle":  {sines, halves, ""},
		"scales of 0 or 1": {zeros, ones, ""},
	} {
		b := onnxtest.New(20)
		b.Input("x", onnx.Float, "batch", 2, 3)
		b.Float("first", []int{2, 3}, c.first[:])
		b.Float("second", []int{2, 3}, c.second[:])
		b.Node("Mul", []string{"x", "first"}, []string{"turned"})
		b.Node("Mul", []string{"x", "second"}, []string{"kept"})
		b.Node("Add", []string{"turned", "kept"}, []string{"y"})
		b.Output("y", onnx.Float, "batch", 2, 3)
		found := findCandidates(parse(t, b))
		for _, w := range found.all {
			if got := found.reasons[w.Tensor]; got != c.reason {
				t.Errorf("%s: %s is excluded as %q, want %q", name, w.Tensor.Name, got, c.reason)
			}
		}
	}
}

// TestTablesInZoo: Swin's masks and EVA's table are no weights.
func TestTablesInZoo(t *testing.T) {
	zoo := shareddata.Path(t, "zoo")
	for name, want := range map[string]map[string]int{
		"swin-dynamo20":  {"mask": 1},
		"eva02-dynamo20": {"rotary table": 1},
	} {
		m, err := onnx.Open(filepath.Join(zoo, name, "model.onnx"))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		n, err := Build(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, s := range n.Skipped {
			got[s.Reason]++
		}
		for reason, least := range want {
			if got[reason] < least {
				t.Errorf("%s: %d skipped as %q, want at least %d", name, got[reason], reason, least)
			}
		}
	}
}

// TestFill: one number that is written into a region is no weight; values that
// differ, or a tensor that is written into, may be learned.
func TestFill(t *testing.T) {
	for name, c := range map[string]struct {
		tensor  string
		updates []float32
		reason  string
	}{
		"a region":                   {"val_7", []float32{4, 4, 4}, "fill value"},
		"learned values":             {"val_7", []float32{4, 4, 5}, ""},
		"a class token that is zero": {"vit.cls_token", []float32{0, 0, 0}, ""},
	} {
		b := onnxtest.New(20)
		b.Input("x", onnx.Float, "batch", 4, 3)
		b.Float("base", []int{4, 3}, make([]float32, 12))
		b.Int64("rows", []int{1, 1}, []int64{2})
		b.Float(c.tensor, []int{1, 3}, c.updates)
		b.Node("ScatterND", []string{"base", "rows", c.tensor}, []string{"regions"})
		b.Node("Add", []string{"x", "regions"}, []string{"y"})
		b.Output("y", onnx.Float, "batch", 4, 3)
		found := findCandidates(parse(t, b))
		for _, w := range found.all {
			want := ""
			if w.Tensor.Name == c.tensor {
				want = c.reason
			}
			if got := found.reasons[w.Tensor]; got != want {
				t.Errorf("%s: %s is excluded as %q, want %q", name, w.Tensor.Name, got, want)
			}
		}
	}
}
