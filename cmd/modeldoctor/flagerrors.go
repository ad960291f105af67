package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// What the library and the package flag say of a flag, and of a variable, whose value
// cannot be read.
var (
	badFlag     = regexp.MustCompile(`^invalid (?:boolean )?value "(.*)" for (?:flag )?-+([^:\s]+): (.*)$`)
	badVariable = regexp.MustCompile(`^could not parse "(.*)" as .* from environment variable "(.*)" for flag ([^:\s]+): (.*)$`)
)

// usageError puts the library's complaint about a flag into our words.
func usageError(c *cli.Context, err error, _ bool) error {
	var flags []cli.Flag
	if c.Command != nil {
		flags = c.Command.Flags
	}
	find := func(name string) cli.Flag {
		k := slices.IndexFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
		if k < 0 {
			return nil
		}
		return flags[k]
	}
	msg := err.Error()
	if m := badFlag.FindStringSubmatch(msg); m != nil {
		return badValue("--"+m[2], m[1], find(m[2]), m[3])
	}
	if m := badVariable.FindStringSubmatch(msg); m != nil {
		return badValue(m[2], m[1], find(m[3]), m[4])
	}
	if name, ok := strings.CutPrefix(msg, "flag needs an argument: -"); ok {
		return usage("a value is missing after --%s", strings.TrimPrefix(name, "-"))
	}
	name, ok := strings.CutPrefix(msg, "flag provided but not defined: -")
	if !ok {
		return usage("%s", msg)
	}
	f := usage("unknown flag --%s", strings.TrimPrefix(name, "-"))
	var names []string
	for _, flag := range flags {
		names = append(names, flag.Names()[0])
	}
	if near := closest(name, names); near != "" {
		f.withHint("did you mean --%s? see `modeldoctor %s --help`", near, c.Command.Name)
	}
	return f
}

// badValue says that a text cannot be the value of a flag, and what can. where names the
// flag as the user has set it; cause is the library's word on it.
func badValue(where, text string, f cli.Flag, cause string) *failure {
	if strings.Contains(cause, "out of range") {
		return usage("%s: %q is too large a number", where, text)
	}
	return usage("%s: %q is not %s", where, text, wanted(f))
}

// wanted is what the value of a flag has to be.
func wanted(f cli.Flag) string {
	switch f.(type) {
	case *cli.BoolFlag:
		return "true or false"
	case *cli.IntFlag:
		return "a whole number"
	case *cli.Uint64Flag:
		return "a whole number of 0 or more"
	case *cli.Float64Flag:
		return "a number"
	case *cli.DurationFlag:
		return "a time such as 90s or 5m"
	}
	return "what this flag takes"
}

// otherVariables are those that set no flag: where a GPU's libraries and the tests' data
// are.
var otherVariables = []string{"MODELDOCTOR_LIBCUDA", "MODELDOCTOR_LIBCUBLAS", "MODELDOCTOR_SHARED"}

// unknownVariables returns a warning for each variable that is named as if it set a flag
// and sets none. Those of the tests are left alone.
func unknownVariables(app *cli.App) []string {
	known := slices.Clone(otherVariables)
	for _, command := range app.Commands {
		for _, f := range command.Flags {
			if name := variableOf(f); name != "" {
				known = append(known, name)
			}
		}
	}
	var warnings []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		rest, ours := strings.CutPrefix(name, variablePrefix)
		if !ours || slices.Contains(known, name) || strings.HasPrefix(rest, "TEST_") || strings.HasPrefix(rest, "FAKE") {
			continue
		}
		warning := fmt.Sprintf("the environment variable %s sets no flag and is ignored", name)
		if near := closest(name, known); near != "" {
			warning += fmt.Sprintf(": did you mean %s?", near)
		}
		warnings = append(warnings, warning)
	}
	slices.Sort(warnings)
	return warnings
}
