package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// configKey is a key of the configuration file.
type configKey struct {
	flag     cli.Flag // of the first command that has it
	command  string   // that one
	commands []string // all that have it
}

// configKeys are the keys of the configuration file: the flags of all commands that can
// stand in one, in the order in which the commands list them.
func configKeys(app *cli.App) []configKey {
	var keys []configKey
	for _, command := range app.Commands {
		flags := settable(command)
		for _, f := range command.Flags {
			name := f.Names()[0]
			if flags[name] == nil {
				continue
			}
			k := slices.IndexFunc(keys, func(key configKey) bool { return key.name() == name })
			if k < 0 {
				k = len(keys)
				keys = append(keys, configKey{flag: f, command: command.Name})
			}
			keys[k].commands = append(keys[k].commands, command.Name)
		}
	}
	return keys
}

func (k *configKey) name() string { return k.flag.Names()[0] }

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

// configExamples are values of keys that have neither a default nor words to choose from.
var configExamples = map[string]any{
	"data": "images", "val": "test[:1000]", "holdout": "test[1000:3000]", "train": "train", "samples": 1000,
	"preprocess": "imagenet", "labels": "classes.txt", "image-size": "224x224", "output": "logits",
	"layers": []string{"blocks.*"}, "perturb": []string{"kappa"}, "update": []string{"blocks.5"},
	"from": "report.json", "epochs": 3, "lr": 0.05, "views": 8, "threads": 4, "run-batch": 32, "timeout": "30m", "budget": "10m", "race": 3,
	"device-memory": "16GiB", "seed": 7, "input": "x.f32", "folder": "data", "plot": "plots", "baseline": "baseline.json",
	"rule": []string{"MD006=error", "MD002=0.05"}, "mix": 0.4, "gamma-max": 0.5, "shard": "auto", "shards": 8, "runs": "runs",
}

// example is a value that a key can have.
func (k *configKey) example() any {
	name := k.name()
	if value, ok := configExamples[name]; ok {
		return value
	}
	if _, isBool := k.flag.(*cli.BoolFlag); isBool {
		return true
	}
	value := defaultOf(k.flag)
	if _, isList := k.flag.(*cli.StringSliceFlag); isList && value != "" {
		return strings.Split(strings.ReplaceAll(value, " ", ""), ",")
	}
	var scalar any = value
	if value == "" {
		if words := suggestions(k.command, name); len(words) > 0 {
			return words[0]
		}
		return "text"
	}
	if json.Unmarshal([]byte(value), &scalar) != nil {
		return value
	}
	return scalar
}

// referenceConfig is a configuration file with every key as a comment.
func referenceConfig(app *cli.App) string {
	const columns = 96
	var b strings.Builder
	b.WriteString(`# Configuration of modeldoctor. A copy of this file named ` + configName + `, in the folder where a command
# is called or in one above, sets the flags of all commands. The command line wins over the
# environment, and that over the file. "modeldoctor config show COMMAND" shows what is in force.
`)
	category := ""
	for _, key := range configKeys(app) {
		if next := key.flag.(cli.CategorizableFlag).GetCategory(); next != category {
			category = next
			b.WriteString("\n# ---- " + category + "\n")
		}
		_, help := valueName(key.flag)
		if value := defaultOf(key.flag); value != "" {
			help += fmt.Sprintf(" (default: %s)", value)
		}
		b.WriteString("\n")
		for _, line := range report.Wrap(help, columns-2) {
			b.WriteString("# " + line + "\n")
		}
		if words := choices(key.name()); words != nil {
			b.WriteString("# One of: " + strings.Join(words, ", ") + "\n")
		}
		b.WriteString("# Of: " + strings.Join(key.commands, ", ") + "\n")
		entry, err := yamlEntry(key.name(), key.example())
		if err != nil {
			panic(err) // of plain values
		}
		b.WriteString("#" + entry + "\n")
	}
	b.WriteString(`
# ---- Suppressions

# breaches of rules that are accepted. Each has a rule and a reason, and may have a layer (a
# pattern) and a last day.
# Of: check
#suppress: [{rule: MD001, layer: "blocks.*", reason: "retrained next month", until: "2027-01-31"}]
`)
	return b.String()
}
