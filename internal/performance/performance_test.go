package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

func TestExponent(t *testing.T) {
	costs := make([]float64, 4)
	sizes := []int{3, 6, 12, 24}
	for i, n := range sizes {
		costs[i] = 0.7 * math.Pow(float64(n), 1.5)
	}
	if p := exponent(sizes, costs); math.Abs(p-1.5) > 1e-9 {
		t.Errorf("exponent %v, want 1.5", p)
	}
}

// TestCompare: a ratio is the median of the rounds' ratios, above one where this program
// is better, whatever the unit.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		comparison
		want string
	}{
		{comparison{what: "a", unit: seconds, own: []float64{1, 2, 4}, other: []float64{2, 2, 12}, with: "PyTorch", goal: 3}, "| a | 2 s | PyTorch: 2 s | 2 × (1 to 3) | ≥ 3 × | **no** |\n"},
		{comparison{what: "b", unit: mebibytes, own: []float64{1 << 20}, other: []float64{4 << 20}, with: "PoF", goal: 4}, "| b | 1 MiB | PoF: 4 MiB | 4 × | ≥ 4 × | yes |\n"},
		{comparison{what: "c", unit: perSecond, own: []float64{30}, other: []float64{2}, with: "PoF", goal: 12}, "| c | 30 images/s | PoF: 2 images/s | 15 × | ≥ 12 × | yes |\n"},
		{comparison{what: "d", unit: seconds, own: []float64{0.25}}, "| d | 250 ms | – | – | – | – |\n"},
	} {
		var with table
		with.compare(c.comparison)
		if got := with.rows[0]; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestParseBenchmarks: a benchmark's rounds are one row, whose metrics stay apart.
func TestParseBenchmarks(t *testing.T) {
	all, err := parseBenchmarks("goos: linux\nBenchmarkGemm/avx2/NN_2x3x4-2   10   91.5 %-of-peak   132 GFLOP/s\nBenchmarkGemm/avx2/NN_2x3x4-2   12   90 %-of-peak   130 GFLOP/s\nBenchmarkGemmTwoThreads/2x3x4-16   7   250 GFLOP/s\nPASS\n")
	want := []measured{{"NN_2x3x4", map[string][]float64{"%-of-peak": {91.5, 90}, "GFLOP/s": {132, 130}}}, {"2x3x4", map[string][]float64{"GFLOP/s": {250}}}}
	if err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("%v, error %v; want %v", all, err, want)
	}
	for _, out := range []string{"", "PASS\n", "BenchmarkGemm/x 10 fast GFLOP/s\n"} {
		if _, err := parseBenchmarks(out); err == nil {
			t.Errorf("%q: no error", out)
		}
	}
}

// TestDocument: a section takes the place of its block, and of nothing else.
func TestDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "performance.md")
	before := "# Title\n\n<!-- a: written by make bench -->\nold\n<!-- a: end -->\n\nprose\n\n<!-- b: written by make bench -->\nkept\n<!-- b: end -->\n"
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	b := &bench{rounds: 3, versions: map[string]string{"PyTorch": "9.8"}}
	d, err := openDocument(b, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.put(section{name: "a"}, table{rows: []string{"| new |\n"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Title\n", "| new |\n", "PyTorch 9.8, rounds: 3", "Without Python", "<!-- a: end -->\n\nprose\n\n<!-- b: written by make bench -->\nkept\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("the old block is there:\n%s", text)
	}
	if err := d.put(section{name: "c"}, table{}, time.Now()); err == nil {
		t.Error("a section without a place was written")
	}
}

// TestServe: the process that works answers each line with a time.
func TestServe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vit.onnx")
	v := onnxtest.ViT{Image: 16, Patch: 8, Width: 16, Depth: 2, Heads: 2, Hidden: 32, Classes: classes}
	if err := v.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	for _, work := range []string{workForward, workGradients, workLast} {
		var out bytes.Buffer
		if err := serve(t.Context(), []string{"-work", work, "-model", path}, strings.NewReader("\n\n"), &out); err != nil {
			t.Fatalf("%s: %v", work, err)
		}
		answers := json.NewDecoder(&out)
		var versions map[string]string
		if err := answers.Decode(&versions); err != nil || versions[ownName] == "" {
			t.Errorf("%s: versions %v, %v", work, versions, err)
		}
		for range 2 {
			var seconds float64
			if err := answers.Decode(&seconds); err != nil || seconds <= 0 {
				t.Errorf("%s: %v seconds, %v", work, seconds, err)
			}
		}
		if answers.More() {
			t.Errorf("%s: more answers than lines", work)
		}
	}
	if err := serve(t.Context(), []string{"-work", "nothing", "-model", path}, strings.NewReader(""), &bytes.Buffer{}); err == nil {
		t.Error("unknown work was done")
	}
}

// TestNets: the convolutional networks have as many parameters as torchvision's MobileNetV2
// and a count by hand of ResNet-20 give, with 100
// classes and the normalisations within the convolutions.
func TestNets(t *testing.T) {
	for _, net := range []struct {
		write      func(string) error
		image      int
		parameters int
	}{
		{writeResNet20, 32, 277_540},
		{writeMobileNetV2, 224, 2_334_916},
	} {
		path := filepath.Join(t.TempDir(), "net.onnx")
		if err := net.write(path); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n, err := graph.Build(m, graph.Options{Batch: 1})
		if err != nil {
			t.Fatal(err)
		}
		if n.Parameters() != net.parameters || n.Input.Height != net.image || n.Classes != classes {
			t.Errorf("%d parameters, %d pixels, %d classes; want %d, %d, %d", n.Parameters(), n.Input.Height, n.Classes, net.parameters, net.image, classes)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}
