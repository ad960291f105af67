package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// flagSource is where the value of a flag comes from.
type flagSource string

const (
	fromCommandLine flagSource = "command line"
	fromEnvironment flagSource = "environment"
	fromFile        flagSource = "file"
	fromDefault     flagSource = "default"
)

// commandLineKey is the key of the app's metadata under which [namedFlags] of the call
// are kept: the library does not tell a flag of the command line from one that a
// variable has set.
const commandLineKey = "command line"

// sourceOf says where the value of a flag of the command comes from.
func sourceOf(c *cli.Context, f cli.Flag) flagSource {
	name := f.Names()[0]
	switch {
	case onCommandLine(c, name):
		return fromCommandLine
	case variableOf(f) != "" && os.Getenv(variableOf(f)) != "":
		return fromEnvironment
	case c.IsSet(name):
		return fromFile
	}
	return fromDefault
}

// whereSet is an error about the value of a flag (--name: …) that names the variable or
// the file that the value comes from instead, if it does.
func whereSet(c *cli.Context, err error) error {
	own, ok := err.(*failure)
	if !ok || own.code != exitUsage {
		return err
	}
	flag, said, _ := strings.Cut(own.msg, ": ")
	k := slices.IndexFunc(c.Command.Flags, func(f cli.Flag) bool { return "--"+f.Names()[0] == flag })
	if k < 0 {
		return err
	}
	switch f := c.Command.Flags[k]; sourceOf(c, f) {
	case fromEnvironment:
		own.msg = variableOf(f) + ": " + said
	case fromFile:
		if path, err := findConfig(c.String("config")); err == nil {
			own.msg = fmt.Sprintf("%s: %s: %s", path, f.Names()[0], said)
		}
	}
	return own
}

// onCommandLine reports whether a flag stands on the command line.
func onCommandLine(c *cli.Context, name string) bool {
	named, _ := c.App.Metadata[commandLineKey].([]string)
	return slices.Contains(named, name)
}

// variableOf is the environment variable of a flag, or "".
func variableOf(f cli.Flag) string {
	if documented, ok := f.(cli.DocGenerationFlag); ok && len(documented.GetEnvVars()) > 0 {
		return documented.GetEnvVars()[0]
	}
	return ""
}

// namedFlags are the flags on a command line, as [flagsFirst] orders it, by their first
// names.
func namedFlags(app *cli.App, args []string) []string {
	command := app.Command(commandIn(args))
	if command == nil {
		return nil
	}
	var named []string
	for i := 2; i < len(args) && args[i] != "--"; i++ {
		name, _, withValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		k := slices.IndexFunc(command.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
		if k < 0 {
			continue // it will be refused
		}
		named = append(named, command.Flags[k].Names()[0])
		if !withValue && takesValue(command.Flags[k]) {
			i++
		}
	}
	return named
}

// takesValue reports whether a value follows a flag.
func takesValue(f cli.Flag) bool {
	_, isBool := f.(*cli.BoolFlag)
	return !isBool
}
