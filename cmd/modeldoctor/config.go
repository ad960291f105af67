package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// configName is the configuration file that is looked for in the working
// directory and the folders above it.
const configName = ".modeldoctor.yaml"

// withConfig is a command's Before: it gives the flags that are set neither on
// the command line nor in the environment the values of the configuration
// file. Its keys are the flags' names; a key that no command knows is an error.
func withConfig(c *cli.Context) error {
	path, err := findConfig(c.String("config"))
	if err != nil || path == "" {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return usage("%v", err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		return usage("%s: %v", path, err).withHint("the file holds flags as keys, one a line: val: 'test[:1000]'")
	}
	known := map[string]bool{}
	for _, command := range c.App.Commands {
		for _, f := range command.Flags {
			for _, name := range f.Names() {
				known[name] = true
			}
		}
	}
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, key := range keys {
		if !known[key] || key == "config" {
			return usage("%s: unknown key %q", path, key).withHint("keys are the names of flags; see `modeldoctor check --help`")
		}
		if c.IsSet(key) || !slices.ContainsFunc(c.Command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), key) }) {
			continue
		}
		text, err := scalarText(values[key])
		if err == nil {
			err = c.Set(key, text)
		}
		if err != nil {
			return usage("%s: %s: %v", path, key, err)
		}
	}
	return nil
}

// scalarText writes a YAML value as a flag takes it: lists separated by commas.
func scalarText(v any) (string, error) {
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			text, err := scalarText(e)
			if err != nil {
				return "", err
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	case string, bool, int, float64:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("a value or a list of values is expected, found %T", v)
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
		if _, err := os.Stat(path); err == nil {
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
