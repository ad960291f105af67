package main

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// helpColumns is the width that help is wrapped to; flagColumns is that of the
// flags' names in front of their descriptions.
const (
	helpColumns = 92
	flagColumns = 24
)

// sourcesHelp says where else flags can stand.
const sourcesHelp = `A flag can also be set in the environment (MODELDOCTOR_FAIL_ON=never) and in the file
.modeldoctor.yaml (fail-on: never). The command line wins over the environment, and that
over the file.
`

// appHelp is what `modeldoctor --help` prints.
func appHelp(commands []*cli.Command) string {
	var b strings.Builder
	b.WriteString(`modeldoctor diagnoses and treats image classifiers stored as ONNX files: how much
validation loss could each layer give back, do these images suffice for a verdict, and
can the model be mended?

Usage
  modeldoctor COMMAND [flags] [MODEL]

Commands
`)
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-10s %s\n", c.Name, c.Usage)
	}
	b.WriteString(`
Start with
  modeldoctor check model.onnx
  modeldoctor fix model.onnx -o fixed.onnx
  modeldoctor check --help

` + exitHelp)
	return b.String()
}

// withHelp gives a command its help text: what it does, how it is called, its
// flags by category.
func withHelp(c *cli.Command, examples ...string) *cli.Command {
	var b strings.Builder
	fmt.Fprintf(&b, "modeldoctor %s: %s\n", c.Name, c.Usage)
	if c.Description != "" {
		b.WriteString("\n" + strings.Join(report.Wrap(c.Description, helpColumns), "\n") + "\n")
	}
	fmt.Fprintf(&b, "\nUsage\n  modeldoctor %s", c.Name)
	if len(c.Flags) > 0 {
		b.WriteString(" [flags]")
	}
	if c.ArgsUsage != "" {
		b.WriteString(" " + c.ArgsUsage)
	}
	b.WriteString("\n")
	if len(examples) > 0 {
		b.WriteString("\nExamples\n")
	}
	for _, example := range examples {
		b.WriteString("  " + example + "\n")
	}
	category := ""
	for _, f := range c.Flags {
		if next := f.(cli.CategorizableFlag).GetCategory(); next != category {
			category = next
			b.WriteString("\n" + category + "\n")
		}
		b.WriteString(flagHelp(f))
	}
	if len(c.Flags) > 0 {
		b.WriteString("\n" + sourcesHelp)
	}
	b.WriteString("\n" + exitHelp)
	c.CustomHelpTemplate, c.UsageText = b.String(), strings.Join(examples, "\n")
	return c
}

// valueName returns the placeholder of a flag's value, which stands in backquotes at
// the beginning of its usage, "" where it takes none, and the rest of that.
func valueName(f cli.Flag) (value, text string) {
	text = f.(cli.DocGenerationFlag).GetUsage()
	if rest, ok := strings.CutPrefix(text, "`"); ok {
		value, text, _ = strings.Cut(rest, "`")
	}
	return value, strings.TrimSpace(text)
}

// defaultOf is the value that a flag has by default as text, "" where that says nothing.
func defaultOf(f cli.Flag) string {
	documented := f.(cli.DocGenerationFlag)
	value := strings.ReplaceAll(documented.GetDefaultText(), `"`, "")
	if !documented.TakesValue() || value == "0" || value == "0s" {
		return ""
	}
	return value
}

// flagHelp is a flag's name, its value's placeholder and its description.
func flagHelp(f cli.Flag) string {
	value, text := valueName(f)
	name := "  "
	for _, alias := range f.Names()[1:] {
		name += "-" + alias + ", "
	}
	name += "--" + f.Names()[0]
	if value != "" {
		name += " " + value
	}
	if value := defaultOf(f); value != "" {
		text += fmt.Sprintf(" (default: %s)", value)
	}
	return indented(name, text)
}

// indented sets text in the column right of the flags' names.
func indented(name, text string) string {
	var b strings.Builder
	if len(name) > flagColumns {
		b.WriteString(name + "\n")
		name = ""
	}
	for _, line := range report.Wrap(text, helpColumns-flagColumns-2) {
		fmt.Fprintf(&b, "%-*s  %s\n", flagColumns, name, line)
		name = ""
	}
	return b.String()
}
