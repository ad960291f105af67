package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"modeldoctor/graph"
	"modeldoctor/onnx"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// readSchema compiles the published schema. With strict, fields that it does
// not describe are refused, so that none is forgotten in it.
func readSchema(t *testing.T, strict bool) *jsonschema.Schema {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "schema", "check-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if strict {
		closeObjects(document)
	}
	compiler := jsonschema.NewCompiler()
	const url = "check-v1.json"
	if err := compiler.AddResource(url, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// closeObjects forbids further properties wherever a schema lists some.
func closeObjects(schema any) {
	object, ok := schema.(map[string]any)
	if !ok {
		return
	}
	if properties, ok := object["properties"].(map[string]any); ok {
		object["additionalProperties"] = false
		for property := range maps.Values(properties) {
			closeObjects(property)
		}
	}
	closeObjects(object["items"])
}

// checkDocument is CheckJSON's output as the schema sees it.
func checkDocument(t *testing.T, c *Check) any {
	t.Helper()
	var out bytes.Buffer
	if err := CheckJSON(&out, c); err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestSchema(t *testing.T) {
	schema := readSchema(t, true)
	for name, c := range map[string]*Check{"sample": sample(), "unknown": unknown()} {
		if err := schema.Validate(checkDocument(t, c)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefuses: the schema is not satisfied by anything.
func TestSchemaRefuses(t *testing.T) {
	schema := readSchema(t, false)
	for name, change := range map[string]func(document, layer map[string]any){
		"no layers":       func(d, _ map[string]any) { delete(d, "layers") },
		"no kappa":        func(_, l map[string]any) { delete(l, "kappa") },
		"unknown status":  func(_, l map[string]any) { l["status"] = "fine" },
		"text for number": func(_, l map[string]any) { l["delta_loss"] = "0.1" },
		"other version":   func(d, _ map[string]any) { d["schema_version"] = 2 },
	} {
		document := checkDocument(t, sample()).(map[string]any)
		change(document, document["layers"].([]any)[0].(map[string]any))
		if schema.Validate(document) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	extended := checkDocument(t, sample()).(map[string]any)
	extended["later"] = true
	if err := schema.Validate(extended); err != nil {
		t.Errorf("a field that a later version adds is refused: %v", err)
	}
}

// TestNotFinite: a diagnosis with a number that JSON has no word for is an error
// rather than a broken document; raw tensors may have such numbers, and they
// are null.
func TestNotFinite(t *testing.T) {
	c := sample()
	c.Diagnosis.Layers[0].GNorm = math.NaN()
	var out bytes.Buffer
	if err := CheckJSON(&out, c); err == nil || out.Len() > 0 {
		t.Errorf("NaN: error %v, wrote %q", err, out.String())
	}
	nan, infinite := math.NaN(), float32(math.Inf(1))
	probe := &Probe{
		Network: &graph.Network{Weights: []*graph.Weight{{Name: "w", Tensor: &onnx.Tensor{Shape: []int{2}}}}},
		Labels:  []int{0},
		Result: &graph.ProbeResult{
			Logits: [][]float32{{infinite, 0.1}}, Probabilities: [][]float64{{nan, 0}}, Losses: []float64{nan}, Loss: nan,
			Weights: []graph.GradientNorms{{GNorm: nan}}, Layers: []graph.LayerNorm{{Name: "head", GNorm: nan}},
		},
	}
	if err := ProbeJSON(&out, probe); err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, out.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"logits":[[null,0.1]]`, `"probabilities":[[null,0]]`, `"loss":null`, `"losses":[null]`, `"g_norm":null`} {
		if !strings.Contains(compact.String(), want) {
			t.Errorf("%s is missing in %s", want, compact.String())
		}
	}
}
