package onnx_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// zooCase is what the zoo's case.json says about a model's file.
type zooCase struct {
	Name       string           `json:"name"`
	IRVersion  int64            `json:"ir_version"`
	Opset      map[string]int64 `json:"opset"`
	Ops        map[string]int   `json:"ops"`
	Features   []string         `json:"features"`
	InputName  string           `json:"input_name"`
	InputDType string           `json:"input_dtype"`
	InputShape []any            `json:"input_shape"`
	OutputName string           `json:"output_name"`
	Params     map[string]struct {
		Shape []int   `json:"shape"`
		WNorm float64 `json:"w_norm"`
	} `json:"params"`
}

func (c zooCase) has(feature string) bool { return slices.Contains(c.Features, feature) }

// forEachZooModel opens every model of the zoo.
func forEachZooModel(t *testing.T, check func(t *testing.T, c zooCase, m *onnx.Model)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(shareddata.Path(t, "zoo"), "*", "model.onnx"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models in the zoo: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(path), "case.json"))
			if err != nil {
				t.Fatal(err)
			}
			var c zooCase
			if err := json.Unmarshal(data, &c); err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			check(t, c, m)
		})
	}
}

func TestZooStructure(t *testing.T) {
	forEachZooModel(t, func(t *testing.T, c zooCase, m *onnx.Model) {
		ops := map[string]int{}
		made := map[string]bool{"": true}
		for _, in := range m.Inputs {
			made[in.Name] = true
		}
		for _, tensor := range m.Tensors {
			made[tensor.Name] = true
			if err := tensor.CheckData(); err != nil {
				t.Error(err)
			}
		}
		for i, n := range m.Nodes {
			op := n.OpType
			if n.Domain != "" {
				op = n.Domain + "." + op
			}
			ops[op]++
			if n.Index != i {
				t.Errorf("%s has index %d, expected %d", n.Label(), n.Index, i)
			}
			for _, value := range n.Inputs {
				if !made[value] {
					t.Errorf("%s reads %q before it is made", n.Label(), value)
				}
			}
			for _, value := range n.Outputs {
				made[value] = true
			}
		}
		if !maps.Equal(ops, c.Ops) {
			t.Errorf("operators %v, expected %v", ops, c.Ops)
		}
		if m.IRVersion != c.IRVersion {
			t.Errorf("IR version %d, expected %d", m.IRVersion, c.IRVersion)
		}
		for domain, version := range c.Opset {
			if m.Opset(domain) != version {
				t.Errorf("opset of %s is %d, expected %d", domain, m.Opset(domain), version)
			}
		}
		if len(m.Inputs) != 1 || m.Inputs[0].Name != c.InputName || m.Inputs[0].DType.String() != c.InputDType {
			t.Fatalf("inputs %v, expected %s %s", m.Inputs, c.InputName, c.InputDType)
		}
		for i, want := range c.InputShape {
			dim := m.Inputs[0].Shape[i]
			if size, ok := want.(float64); ok && dim.Value != int64(size) || !ok && dim.Value != -1 {
				t.Errorf("dimension %d of the input is %v, expected %v", i, dim, want)
			}
		}
		if m.Outputs[0].Name != c.OutputName {
			t.Errorf("output %q, expected %q", m.Outputs[0].Name, c.OutputName)
		}
		if u := m.Unsupported(); len(u) > 0 {
			t.Errorf("unsupported: %v", u)
		}
	})
}

// namesLost are the plain ViTs whose files do not hold all parameters under
// names of their own, and why.
var namesLost = map[string]string{
	"oldbert-legacy14-orttransformers": "query, key and value are packed into one new tensor",
	"timm-hybrid-dynamo18":             "a BatchNorm is merged into the convolution before it",
	"tv-dynamo20-merged":               "biases that are zero are dropped",
}

// TestZooNames compares the recovered names with the parameters of the PyTorch
// model. They are told apart by size and norm, which no layout changes.
func TestZooNames(t *testing.T) {
	const tolerance = 1e-5 // of the norm; the file's own values, rounded when printed
	forEachZooModel(t, func(t *testing.T, c zooCase, m *onnx.Model) {
		found := map[string]bool{}
		seen := map[string]bool{}
		for _, w := range m.Weights() {
			if w.Path != "" && seen[w.Path] {
				t.Errorf("two weights are called %s", w.Path)
			}
			seen[w.Path] = true
			found[w.Path] = true
			for _, use := range w.Uses {
				found[use.Path] = true
			}
			want, ok := c.Params[w.Path]
			if !ok || c.has("batchnorm") || c.has("quantised") {
				continue // merging a BatchNorm scales the convolution's weight
			}
			if c.has("fixed-batch-6") && w.Path == "cls_token" {
				continue // one copy per sample
			}
			values, err := w.Tensor.Float64s()
			if err != nil {
				t.Fatal(err)
			}
			if size := product(want.Shape); size != len(values) || math.Abs(norm(values)-want.WNorm) > tolerance*want.WNorm {
				t.Errorf("%s (%s, tensor %s): %d elements of norm %g, the parameter has %d of norm %g",
					w.Path, w.Source, w.Tensor.Name, len(values), norm(values), size, want.WNorm)
			}
		}
		if !c.has("plain-vit") {
			return
		}
		var missing []string
		for name := range c.Params {
			if !found[name] {
				missing = append(missing, name)
			}
		}
		slices.Sort(missing)
		if reason, lost := namesLost[c.Name]; lost != (len(missing) > 0) {
			t.Errorf("parameters that were not found: %v; expected some: %v (%s)", missing, lost, reason)
		}
	})
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func norm(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum)
}
