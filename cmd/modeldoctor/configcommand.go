package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// configVerbs are what config does.
var configVerbs = []string{"init", "show"}

func configCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:      "config",
		Usage:     "write a configuration file to begin with, or show the values in force for a command",
		ArgsUsage: "init [FILE] | show COMMAND [flags]",
		Description: "init writes " + configName + ", or FILE, with every key as a comment: what it means, what it can be, its default. " +
			"show prints the flags of COMMAND that a file can set, as such a file, and behind each where its value comes from: the command line, " +
			"the environment, the file or the default. COMMAND itself is not run.",
		SkipFlagParsing: true, // they are those of COMMAND
		OnUsageError:    usageError,
		Action:          configAction,
	}, "modeldoctor config init", "modeldoctor config show check", "modeldoctor config show fix --epochs 3")
}

func configAction(c *cli.Context) error {
	args := c.Args().Slice()
	const hint = "modeldoctor config init, or modeldoctor config show check"
	switch {
	case slices.Contains(args, "--help") || slices.Contains(args, "-h"):
		_, err := fmt.Fprint(c.App.Writer, c.Command.CustomHelpTemplate) // the library looks among subcommands
		return err
	case len(args) == 0:
		return usage("config: init or show is missing").withHint(hint)
	case args[0] == "init" && len(args) == 1:
		return initConfig(c, configName)
	case args[0] == "init" && len(args) == 2 && !strings.HasPrefix(args[1], "-"):
		return initConfig(c, args[1])
	case args[0] == "show" && len(args) > 1:
		return showConfig(c, args[1], args[2:])
	case args[0] == "show":
		return usage("config: show needs the name of a command").withHint(hint)
	}
	return usage("config: found %q, expected init or show", strings.Join(args, " ")).withHint(hint)
}

// initConfig writes the reference file where there is none.
func initConfig(c *cli.Context, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usage("config: %s is there already", path).withHint("move it away, or name another file: modeldoctor config init FILE")
	}
	if err != nil {
		return usage("config: %v", err).withHint("choose a folder that can be written to")
	}
	_, err = f.WriteString(referenceConfig(c.App))
	if err := errors.Join(err, f.Close()); err != nil {
		return &failure{code: exitInternal, err: fmt.Errorf("%s cannot be written: %w", path, err), hint: "make room, or choose another place"}
	}
	_, err = fmt.Fprintln(c.App.Writer, path)
	return err
}

// showConfig prints the values that a command would have, and where they come from. The
// command itself reads flags, environment and file; only what it does is another.
func showConfig(c *cli.Context, name string, flags []string) error {
	app := newApp(c.App.Writer, c.App.ErrWriter)
	command := app.Command(name)
	if command == nil || len(settable(command)) == 0 {
		f := usage("config: no command %q has a configuration", name)
		if near := closest(name, configured(app)); near != "" {
			f.withHint("did you mean `modeldoctor config show %s`?", near)
		}
		return f
	}
	command.Action = printConfig
	args := flagsFirst(app, append([]string{"modeldoctor", name}, flags...))
	app.Metadata = map[string]any{commandLineKey: namedFlags(app, args)}
	err := app.RunContext(c.Context, args)
	var own *failure
	if errors.As(err, &own) && own.hint == generalHelp {
		own.withHint("see `modeldoctor %s --help`", name)
	}
	return err
}

// configured are the commands that have flags which can stand in a file.
func configured(app *cli.App) []string {
	var names []string
	for _, c := range app.Commands {
		if len(settable(c)) > 0 {
			names = append(names, c.Name)
		}
	}
	return names
}

// printConfig is the action of a command whose configuration is shown.
func printConfig(c *cli.Context) error {
	path, err := findConfig(c.String("config"))
	if err != nil {
		return err
	}
	var lines [][2]string // key with its value, and where that comes from
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if settable(c.Command)[name] == nil {
			continue
		}
		source := sourceOf(c, f)
		from := string(source)
		switch source {
		case fromEnvironment:
			from += ", " + variableOf(f)
		case fromFile:
			from += ", " + path
		}
		entry, err := yamlEntry(name, flagValue(c, f))
		if err != nil {
			return err
		}
		if source == fromDefault && defaultOf(f) == "" { // the file knows no such value
			entry = "#" + name + ":"
		}
		lines = append(lines, [2]string{entry, from})
	}
	width := 0
	for _, l := range lines {
		width = max(width, len([]rune(l[0])))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# modeldoctor %s: the values in force and where they come from\n", c.Command.Name)
	for _, l := range lines {
		fmt.Fprintf(&b, "%-*s  # %s\n", min(width, 40), l[0], l[1])
	}
	_, err = c.App.Writer.Write([]byte(b.String()))
	return err
}

// flagValue is the value of a flag of the command, as a configuration file has it.
func flagValue(c *cli.Context, f cli.Flag) any {
	name := f.Names()[0]
	switch f.(type) {
	case *cli.StringSliceFlag:
		return c.StringSlice(name)
	case *cli.DurationFlag:
		return shortDuration(c.Duration(name))
	}
	return c.Value(name)
}

// shortDuration is a time without the parts of it that are zero.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if rest, ok := strings.CutSuffix(text, zero); ok {
			text = rest + zero[:1]
		}
	}
	return text
}

// yamlEntry is a line of a configuration file.
func yamlEntry(key string, value any) (string, error) {
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		return "", err
	}
	node.Style |= yaml.FlowStyle
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	if err := encoder.Encode(map[string]*yaml.Node{key: &node}); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), encoder.Close()
}
