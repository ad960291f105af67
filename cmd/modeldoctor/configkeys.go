package main

import (
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
