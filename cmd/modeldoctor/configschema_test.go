package main

import (
	"bytes"
	"encoding/json"

	"github.com/urfave/cli/v2"
)

// configSchema is the JSON Schema of the configuration file, for editors.
func configSchema(app *cli.App) (string, error) {
	properties := map[string]any{suppressKey: suppressSchema}
	for _, key := range configKeys(app) {
		properties[key.name()] = key.schema()
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(struct {
		Schema      string         `json:"$schema"`
		ID          string         `json:"$id"`
		Title       string         `json:"title"`
		Description string         `json:"description"`
		Type        []string       `json:"type"`
		Properties  map[string]any `json:"properties"`
		Additional  bool           `json:"additionalProperties"`
	}{
		"https://json-schema.org/draft/2020-12/schema", "urn:modeldoctor:schema:config-v1", configName,
		"The configuration of modeldoctor: keys are the names of flags, of any command.",
		[]string{"object", "null"}, properties, false,
	})
	return b.String(), err
}

// suppressSchema is what [readSuppressions] reads.
var suppressSchema = map[string]any{
	"description": "breaches of rules that are accepted, each with its reason",
	"type":        "array",
	"items": map[string]any{
		"type": "object",
		"properties": map[string]any{
			"rule":   map[string]any{"type": "string", "description": "such as MD001", "pattern": "^[Mm][Dd][0-9]{3}$"},
			"layer":  map[string]any{"type": "string", "description": "pattern of the layers' names, such as blocks.*; by default all"},
			"reason": map[string]any{"type": "string", "description": "why it is accepted", "minLength": 1},
			"until":  map[string]any{"type": "string", "description": "the last day on which it is, such as 2027-01-31", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
		},
		"required":             []string{"rule", "reason"},
		"additionalProperties": false,
	},
}

// schema is what the value of a key can be. A text may look like a number.
func (k *configKey) schema() map[string]any {
	_, help := valueName(k.flag)
	s := map[string]any{"description": help}
	text := []string{"string", "number"}
	words := choices(k.name())
	switch k.flag.(type) {
	case *cli.BoolFlag:
		s["type"] = "boolean"
	case *cli.IntFlag, *cli.Uint64Flag:
		s["type"], s["minimum"] = "integer", 0
	case *cli.Float64Flag:
		s["type"] = "number"
	case *cli.DurationFlag:
		s["type"], s["pattern"] = "string", "^([0-9.]+(ns|us|µs|ms|s|m|h))+$"
	case *cli.StringSliceFlag:
		item := map[string]any{"type": text}
		if words != nil {
			item = map[string]any{"enum": words}
		}
		s["anyOf"] = []any{map[string]any{"type": text}, map[string]any{"type": "array", "items": item}}
	default:
		s["type"] = text
		if words != nil {
			delete(s, "type")
			s["enum"] = words
		} else if words = suggestions(k.command, k.name()); words != nil {
			s["examples"] = words
		}
	}
	if value := defaultOf(k.flag); value != "" {
		s["description"] = help + " (default: " + value + ")"
	}
	return s
}
