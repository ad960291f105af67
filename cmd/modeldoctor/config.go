package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// configName is the configuration file that is looked for in the working
// directory and the folders above it.
const configName = ".modeldoctor.yaml"

// withConfig is a command's Before: it gives the flags that are set neither on
// the command line nor in the environment the values of the configuration
// file. Its keys are the names of flags, of any command, so that commands can
// share it; a value is checked as if it stood on the command line. Flags without
// an environment variable cannot stand in the file either. A relative path is
// looked for beside the file first. The key suppress, which is no flag, lists the
// breaches that are accepted.
//
// A text that is empty is no value, whatever would be done without the flag: it is what
// becomes of a shell's variable that is not set.
func withConfig(c *cli.Context) error {
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if isText(f) && onCommandLine(c, name) && c.String(name) == "" {
			return usage("--%s: its value is empty", name).withHint("leave the flag out, or see whether a variable of the shell is empty")
		}
	}
	path, err := findConfig(c.String("config"))
	if err != nil || path == "" {
		return err
	}
	document, err := readConfigFile(c.Context, path)
	if err != nil {
		return whereSet(c, err)
	}
	var values map[string]any
	if err := document.Decode(&values); err != nil {
		return badYAML(path, err)
	}
	known := map[string]bool{}
	for _, command := range c.App.Commands {
		for name := range settable(command) {
			known[name] = true
		}
	}
	flags := settable(c.Command)
	if _, ok := values[suppressKey]; ok {
		var nodes map[string]yaml.Node
		if err := document.Decode(&nodes); err != nil {
			return badYAML(path, err)
		}
		node := nodes[suppressKey]
		accepted, err := readSuppressions(&node)
		if err != nil {
			return usage("%s: %s: %v", path, suppressKey, err).withHint("%s", hintOf(err))
		}
		c.App.Metadata[suppressKey] = accepted
		delete(values, suppressKey)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !known[key] {
			f := usage("%s: unknown key %q", path, key).withHint("keys are the names of flags; see `modeldoctor check --help`")
			if near := closest(key, slices.Collect(maps.Keys(known))); near != "" {
				f.withHint("did you mean %s? keys are the names of flags", near)
			}
			return f
		}
		flag := flags[key]
		if flag == nil || c.IsSet(key) {
			continue
		}
		text, err := flagText(values[key])
		if err != nil {
			return usage("%s: %s: %v", path, key, err)
		}
		if isText(flag) && text == "" {
			return usage("%s: %s: no value", path, key)
		}
		if err := c.Set(key, besideConfig(flag, path, text)); err != nil {
			return badValue(path+": "+key, text, flag, err.Error())
		}
	}
	if !c.Bool("quiet") { // a file in a folder above is easily forgotten
		fmt.Fprintf(c.App.ErrWriter, "modeldoctor: configuration: %s\n", oneLine(path))
	}
	return nil
}

// isText reports whether a flag's value is a text.
func isText(f cli.Flag) bool {
	_, ok := f.(*cli.StringFlag)
	return ok
}

// configHint says what a configuration file is.
const configHint = "the file holds flags as keys, one a line, such as fail-on: never"

// maxConfig is the most bytes of a configuration file.
const maxConfig = 1 << 20

// readConfigFile reads the only document of a configuration file, which is a mapping or
// empty.
func readConfigFile(ctx context.Context, path string) (*yaml.Node, error) {
	f, err := openInput(ctx, path)
	if err != nil {
		return nil, usage("--config: %v", err)
	}
	defer f.Close() // it is only read
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	switch {
	case err != nil:
		return nil, usage("--config: %v", err)
	case len(text) > maxConfig:
		return nil, usage("%s: more than %d MiB", path, maxConfig>>20).withHint(configHint)
	}
	var document, next yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	if err := documents.Decode(&document); errors.Is(err, io.EOF) {
		return &document, nil // an empty file
	} else if err != nil {
		return nil, badYAML(path, err)
	}
	if root := document.Content[0]; root.Kind != yaml.MappingNode && root.Tag != "!!null" {
		return nil, usage("%s: expected flags as keys with their values", path).withHint(configHint)
	}
	switch err := documents.Decode(&next); {
	case err == nil:
		return nil, usage("%s:%d: a second document begins here, and a configuration is one", path, next.Content[0].Line).withHint("take the line --- out, or the document behind it")
	case !errors.Is(err, io.EOF):
		return nil, badYAML(path, err)
	}
	return &document, nil
}

// badYAML says what is wrong with a configuration file in one line.
func badYAML(path string, err error) error {
	why := strings.TrimPrefix(err.Error(), "yaml: ")
	var several *yaml.TypeError
	if errors.As(err, &several) {
		why = strings.Join(several.Errors, "; ")
	}
	return usage("%s: %s", path, why).withHint(configHint)
}

// settable returns the flags of a command that can stand in a file.
func settable(command *cli.Command) map[string]cli.Flag {
	flags := map[string]cli.Flag{}
	for _, f := range command.Flags {
		name := f.Names()[0]
		if documented, ok := f.(cli.DocGenerationFlag); ok && len(documented.GetEnvVars()) > 0 && name != "config" {
			flags[name] = f
		}
	}
	return flags
}

// flagText writes a YAML value as a flag takes it: lists separated by commas.
func flagText(v any) (string, error) {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			text, err := flagText(e)
			if err != nil {
				return "", err
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	case string, bool, int, int64, uint64, float64:
		return fmt.Sprint(v), nil
	case nil:
		return "", errors.New("no value")
	}
	return "", fmt.Errorf("expected a value or a list of values, found %v", v)
}

// besideConfig returns the path of a file that a flag names, if there is one
// beside the configuration file; otherwise the text as it is.
func besideConfig(flag cli.Flag, config, text string) string {
	if f, ok := flag.(*cli.StringFlag); !ok || !f.TakesFile || filepath.IsAbs(text) {
		return text
	}
	path := filepath.Join(filepath.Dir(config), text)
	if _, err := os.Stat(path); err != nil {
		return text
	}
	return path
}

// findConfig returns the configuration file's path, or "" if there is none.
func findConfig(flag string) (string, error) {
	switch flag {
	case "none":
		return "", nil
	case "":
	default:
		return flag, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", nil // no working directory: nothing to look in
	}
	for {
		path := filepath.Join(dir, configName)
		if _, err := os.Lstat(path); err == nil { // a link that leads nowhere is an error, not no file
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", usage("%v", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", nil
		}
		dir = parent
	}
}
