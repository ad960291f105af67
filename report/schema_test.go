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
	inline(t, document)
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

// inline puts other schemas in the place of references to them.
func inline(t *testing.T, schema any) {
	t.Helper()
	object, ok := schema.(map[string]any)
	if !ok {
		return
	}
	if ref, ok := object["$ref"].(string); ok {
		_, other := readSchema(t, strings.TrimPrefix(ref, "urn:modeldoctor:schema:")+".json", false)
		delete(object, "$ref")
		maps.Copy(object, other.(map[string]any))
		delete(object, "$id")
	}
	properties, _ := object["properties"].(map[string]any)
	for property := range maps.Values(properties) {
		inline(t, property)
	}
	inline(t, object["items"])
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
	for name, c := range map[string]*Check{"sample": sample(), "unknown": unknown(), "raw": withRaw()} {
		add("check-v1.json", name, func(w io.Writer) error { return Write(w, c, "json", Style{}) })
	}
	for name, c := range gated() {
		add("check-v1.json", name, func(w io.Writer) error { return Write(w, c, "json", Style{}) })
	}
	for name, c := range raced() {
		add("check-v1.json", name, func(w io.Writer) error { return Write(w, c, "json", Style{}) })
	}
	for name, f := range failures() {
		add("failure-v1.json", name, func(w io.Writer) error { return Write(w, f, "json", Style{}) })
	}
	add("checks-v1.json", "several", func(w io.Writer) error { return Write(w, several(), "json", Style{}) })
	for name, f := range fixes(t) {
		add("fix-v1.json", name, func(w io.Writer) error { return Write(w, f, "json", Style{}) })
	}
	add("fix-v1.json", "search", func(w io.Writer) error { return Write(w, searched(t, false), "json", Style{}) })
	add("search-plan-v1.json", "plan", func(w io.Writer) error { return Write(w, searchPlan(t, false), "json", Style{}) })
	nan := written(t)
	nan.result.Before.Loss, nan.result.Gain = math.NaN(), estimate(math.NaN(), math.Inf(1))
	add("fix-v1.json", "not finite", func(w io.Writer) error { return Write(w, nan.report(), "json", Style{}) })
	for name, f := range plans(t) {
		add("fix-plan-v1.json", name, func(w io.Writer) error { return Write(w, f, "json", Style{}) })
	}
	for name, c := range comparisons(t) {
		add("compare-v1.json", name, func(w io.Writer) error { return Write(w, c, "json", Style{}) })
	}
	for name, v := range verifications(t) {
		add("verify-v1.json", name, func(w io.Writer) error { return Write(w, v, "json", Style{}) })
	}
	for name, d := range machines() {
		add("devices-v1.json", name, func(w io.Writer) error { return Write(w, d, "json", Style{}) })
	}
	add("data-sets-v1.json", "two", func(w io.Writer) error { return Write(w, dataSets(), "json", Style{}) })
	for name, file := range map[string]string{"runs": "inspect", "refused": "refused"} {
		add("inspect-v1.json", name, func(w io.Writer) error { return Write(w, inspection(t, file), "json", Style{}) })
	}
	for name, complete := range map[string]bool{"whole": true, "unfinished": false} {
		add("part-v1.json", name, func(w io.Writer) error { return Write(w, part(complete), "json", Style{}) })
	}
	add("probe-v1.json", "probe", func(w io.Writer) error { return Write(w, probe(t), "json", Style{}) })
	return documents
}

// goldenSchemas are the schemas of golden files, by how their names begin.
var goldenSchemas = map[string]string{
	"check": "check-v1.json", "unknown": "check-v1.json", "fix": "fix-v1.json", "plan": "fix-plan-v1.json", "compare": "compare-v1.json",
	"verify": "verify-v1.json", "devices": "devices-v1.json", "inspect": "inspect-v1.json", "refused": "inspect-v1.json", "probe": "probe-v1.json",
	"datasets": "data-sets-v1.json", "search": "search-plan-v1.json",
}

// TestGoldenDocuments: every golden file in JSON satisfies the schema of its
// command.
func TestGoldenDocuments(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, file := range files {
		kind, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".json"), "-")
		name, ok := goldenSchemas[kind]
		if !ok {
			t.Errorf("%s has no schema", file)
			continue
		}
		used[name] = true
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		strict, _ := readSchema(t, name, true)
		if err := strict.Validate(document); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for kind, name := range goldenSchemas {
		if !used[name] {
			t.Errorf("there is no golden file of %s", kind)
		}
	}
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
		if changed < 10 { // the walk has missed most of them
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
		{"fix-v1.json", "search", func(d map[string]any) {
			d["search"].(map[string]any)["candidates"].([]any)[0].(map[string]any)["outcome"] = "lost"
		}},
		{"search-plan-v1.json", "plan", func(d map[string]any) { d["candidates"].([]any)[0].(map[string]any)["why"] = "chance" }},
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
// rather than a broken document.
func TestNotFinite(t *testing.T) {
	c := sample()
	c.Layers[0].GNorm = math.NaN()
	var out bytes.Buffer
	if err := Write(&out, c, "json", Style{}); err == nil || out.Len() > 0 {
		t.Errorf("NaN: error %v, wrote %q", err, out.String())
	}
}
