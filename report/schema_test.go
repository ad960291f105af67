package report

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// readSchema reads a published schema. With strict, fields that it does not
// describe are refused, so that none is forgotten in it.
func readSchema(t *testing.T, name string, strict bool) (compiled *jsonschema.Schema, document any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "docs", "schema", name))
	if err != nil {
		t.Fatal(err)
	}
	if document, err = jsonschema.UnmarshalJSON(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	if strict {
		closeObjects(document)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, document); err != nil {
		t.Fatal(err)
	}
	if compiled, err = compiler.Compile(name); err != nil {
		t.Fatal(err)
	}
	return compiled, document
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

// printedDocuments is what the printers write, by the name of its schema.
func printedDocuments(t *testing.T) map[string]map[string]any {
	t.Helper()
	documents := map[string]map[string]any{}
	add := func(schema, name string, print func(io.Writer) error) {
		var out bytes.Buffer
		if err := print(&out); err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(&out)
		if err != nil {
			t.Fatal(err)
		}
		if documents[schema] == nil {
			documents[schema] = map[string]any{}
		}
		documents[schema][name] = document
	}
	for name, c := range map[string]*Check{"sample": sample(), "unknown": unknown()} {
		add("check-v1.json", name, func(w io.Writer) error { return CheckJSON(w, c) })
	}
	for name, f := range fixes(t) {
		add("fix-v1.json", name, func(w io.Writer) error { return FixJSON(w, f) })
	}
	nan := written(t)
	nan.Result.Before.Loss, nan.Result.Gain = math.NaN(), estimate(math.NaN(), math.Inf(1))
	add("fix-v1.json", "not finite", func(w io.Writer) error { return FixJSON(w, nan) })
	for name, f := range plans(t) {
		add("fix-plan-v1.json", name, func(w io.Writer) error { return FixPlanJSON(w, f) })
	}
	for name, c := range comparisons(t) {
		add("compare-v1.json", name, func(w io.Writer) error { return CompareJSON(w, c) })
	}
	for name, v := range verifications(t) {
		add("verify-v1.json", name, func(w io.Writer) error { return VerifyJSON(w, v) })
	}
	for name, op := range map[string]string{"runs": "MatMul", "refused": "Frobnicate"} {
		add("inspect-v1.json", name, func(w io.Writer) error { return InspectJSON(w, inspection(t, op)) })
	}
	return documents
}

func TestSchemas(t *testing.T) {
	for name, documents := range printedDocuments(t) {
		strict, _ := readSchema(t, name, true)
		for sample, document := range documents {
			if err := strict.Validate(document); err != nil {
				t.Errorf("%s, %s: %v", name, sample, err)
			}
		}
	}
}

// TestSchemasRefuse: a schema is not satisfied by a document without one of its
// required fields, nor by one with an object in place of what a field holds; a
// field that a later version adds does no harm.
func TestSchemasRefuse(t *testing.T) {
	for name, documents := range printedDocuments(t) {
		open, schema := readSchema(t, name, false)
		changed := 0
		for sample, document := range documents {
			eachRequired(schema, document, name, func(path string, object map[string]any, field string) {
				value := object[field]
				delete(object, field)
				if open.Validate(document) == nil {
					t.Errorf("%s without %s.%s is accepted", sample, path, field)
				}
				object[field] = map[string]any{"not": "this"}
				if open.Validate(document) == nil {
					t.Errorf("%s with an object for %s.%s is accepted", sample, path, field)
				}
				object[field] = value
				changed++
			})
			document.(map[string]any)["later"] = true
			if err := open.Validate(document); err != nil {
				t.Errorf("%s, %s: a field that a later version adds is refused: %v", name, sample, err)
			}
			document.(map[string]any)["schema_version"] = json.Number("2")
			if open.Validate(document) == nil {
				t.Errorf("%s, %s: another version is accepted", name, sample)
			}
		}
		if changed < 50 {
			t.Errorf("%s: only %d required fields were found", name, changed)
		}
	}
}

// TestSchemasEnumerate: a word that no printer writes is refused.
func TestSchemasEnumerate(t *testing.T) {
	for _, c := range []struct {
		schema, sample string
		change         func(d map[string]any)
	}{
		{"check-v1.json", "sample", func(d map[string]any) { d["layers"].([]any)[0].(map[string]any)["status"] = "fine" }},
		{"check-v1.json", "sample", func(d map[string]any) { d["granularity"] = "atom" }},
		{"fix-v1.json", "fix", func(d map[string]any) { d["cache"].(map[string]any)["where"] = "disk" }},
		{"fix-v1.json", "fix", func(d map[string]any) { d["model"].(map[string]any)["sha256"] = "00" }},
		{"fix-plan-v1.json", "plan", func(d map[string]any) {
			d["recipe"].(map[string]any)["layers"].([]any)[0].(map[string]any)["role"] = "none"
		}},
		{"inspect-v1.json", "runs", func(d map[string]any) { d["notes"].([]any)[0].(map[string]any)["kind"] = "other" }},
		{"verify-v1.json", "verify", func(d map[string]any) { d["tensors"].([]any)[0].(map[string]any)["presence"] = "gone" }},
	} {
		open, _ := readSchema(t, c.schema, false)
		document := printedDocuments(t)[c.schema][c.sample].(map[string]any)
		if err := open.Validate(document); err != nil {
			t.Fatal(err)
		}
		c.change(document)
		if open.Validate(document) == nil {
			t.Errorf("%s: another word is accepted in %v", c.schema, document)
		}
	}
}

// eachRequired calls visit for every required field of every object in a
// document.
func eachRequired(schema, document any, path string, visit func(path string, object map[string]any, field string)) {
	rules, ok := schema.(map[string]any)
	if !ok {
		return
	}
	switch value := document.(type) {
	case map[string]any:
		required, _ := rules["required"].([]any)
		for _, field := range required {
			visit(path, value, field.(string))
		}
		properties, _ := rules["properties"].(map[string]any)
		for field, inner := range properties {
			if v, ok := value[field]; ok {
				eachRequired(inner, v, path+"."+field, visit)
			}
		}
	case []any:
		if len(value) > 0 {
			eachRequired(rules["items"], value[0], path+"[0]", visit)
		}
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
			Weights: []graph.GradientNorms{{GNorm: nan}}, Layers: []graph.LayerGradient{{Name: "head", GNorm: nan}},
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
