package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestLookAt: scores that are probabilities, may be, or are not.
func TestLookAt(t *testing.T) {
	for name, c := range map[string]struct {
		scores []float32
		want   scoring
	}{
		"logits":                     {[]float32{-1, 2, 0.5, 3, 0, 1}, ordinary},
		"logits that add up to 1":    {[]float32{-1, 2, 0, 2, -1, 0}, ordinary},
		"above 0":                    {[]float32{1, 2, 3, 4, 5, 6}, ordinary},
		"not numbers":                {[]float32{nan(), nan(), nan()}, ordinary},
		"none":                       {nil, ordinary},
		"probabilities":              {[]float32{0.2, 0.3, 0.5, 0, 1, 0}, probabilities},
		"rounded":                    {[]float32{0.333, 0.333, 0.333, 0.667, 0.167, 0.167}, probabilities},
		"per cent":                   {[]float32{20, 30, 50, 0, 99, 1}, probabilities},
		"each class by itself":       {[]float32{0.9, 0.8, 0.1, 0, 1, 1}, fractions},
		"add up to 1 here and there": {[]float32{0.9, 0.05, 0.05, 0, 1, 1}, fractions},
	} {
		if got := scoringOf(c.scores, 3); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func nan() float32 {
	zero := float32(0)
	return zero / zero
}

// TestProbabilities: a model that gives probabilities by an operation that nobody has
// heard of is stopped before its losses are measured, and what may be probabilities is
// warned of.
func TestProbabilities(t *testing.T) {
	data := map[bool]string{false: noiseImages(t, 4, 8), true: noiseImages(t, 2, 8)}
	for name, c := range map[string]struct {
		end  func(b *onnxtest.Builder)
		code int
		want string
	}{
		"by their sum": {func(b *onnxtest.Builder) {
			b.Node("Softplus", []string{"z"}, []string{"positive"})
			b.Node("ReduceSum", []string{"positive", "axis"}, []string{"sum"})
			b.Node("Div", []string{"positive", "sum"}, []string{"scores"})
		}, exitUnreadable, "probabilities"},
		"mean of two": {func(b *onnxtest.Builder) {
			b.Node("Neg", []string{"z"}, []string{"other"})
			b.Node("Softmax", []string{"z"}, []string{"p"})
			b.Node("Softmax", []string{"other"}, []string{"q"})
			b.Node("Mean", []string{"p", "q"}, []string{"scores"})
		}, exitUnreadable, "probabilities"},
		"each by itself": {func(b *onnxtest.Builder) {
			b.Node("Abs", []string{"z"}, []string{"positive"})
			b.Node("Softsign", []string{"positive"}, []string{"scores"})
		}, exitOK, "between 0 and 1"},
		"one of two classes": {func(b *onnxtest.Builder) {
			b.Float("second.weight", []int{4, 1}, []float32{1, -1, 2, 1})
			b.Node("MatMul", []string{"z", "second.weight"}, []string{"logit"})
			b.Node("Tanh", []string{"logit"}, []string{"half"})
			b.Node("Mul", []string{"half", "half"}, []string{"scores"})
		}, exitUnreadable, "no sigmoid"},
		"softmax of softmax": {func(b *onnxtest.Builder) {
			b.Node("Softmax", []string{"z"}, []string{"p"})
			b.Node("Softmax", []string{"p"}, []string{"scores"})
		}, exitOK, "one after the other"},
	} {
		t.Run(name, func(t *testing.T) {
			b := onnxtest.New(17)
			b.Input("image", onnx.Float, "batch", 3, 8, 8)
			b.Node("GlobalAveragePool", []string{"image"}, []string{"mean"})
			b.Node("Flatten", []string{"mean"}, []string{"flat"})
			b.Float("head.weight", []int{3, 4}, []float32{1, -2, 3, 0, -1, 2, 0.5, 1, 3, 0, -1, 1})
			b.Node("MatMul", []string{"flat", "head.weight"}, []string{"z"})
			b.Int64("axis", []int{1}, []int64{1})
			c.end(b)
			b.Output("scores", onnx.Float, "batch", 4)
			model := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(model, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			var stdout, stderr bytes.Buffer
			args := []string{"modeldoctor", "check", "--quiet", "--config", "none", "--fail-on", "never", "--data", data[name == "one of two classes"], "--preprocess", "imagenet", model}
			if code := run(context.Background(), args, &stdout, &stderr); code != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("exit status %d, want %d and %q in\n%s%s", code, c.code, c.want, &stdout, &stderr)
			}
		})
	}
}
