package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// manPage is the manual page of the app, in the macros of man(7).
func manPage(app *cli.App) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`.\" Written by the tests of cmd/modeldoctor from its commands and flags.`)
	line(`.TH MODELDOCTOR 1 "" "modeldoctor" "User Commands"`)
	line(".SH NAME\nmodeldoctor \\- %s", roff(app.Usage))
	line(".SH SYNOPSIS\n.B modeldoctor\n.I COMMAND\n[flags] [arguments]")
	line(".SH DESCRIPTION\nThe report goes to standard output, everything else to standard error.")
	line("A flag can stand before or behind the arguments.")
	line(".SH COMMANDS")
	for _, c := range app.Commands {
		if c.Hidden {
			continue
		}
		flags := ""
		if len(c.Flags) > 0 {
			flags = " [flags]"
		}
		line(".SS \"modeldoctor %s%s %s\"", c.Name, flags, roff(c.ArgsUsage))
		line("%s.", roff(c.Usage))
		if c.Description != "" {
			line(".PP\n%s", roff(c.Description))
		}
		for _, f := range c.Flags {
			value, help := valueName(f)
			var names []string
			for _, name := range f.Names() {
				dashes := "--"
				if len(name) == 1 {
					dashes = "-"
				}
				names = append(names, `\fB`+roff(dashes+name)+`\fR`)
			}
			if value != "" {
				value = ` \fI` + roff(value) + `\fR`
			}
			if text := defaultOf(f); text != "" {
				help += " (default: " + text + ")"
			}
			line(".TP\n%s%s\n%s", strings.Join(names, ", "), value, roff(help))
		}
		if c.UsageText != "" {
			line(".PP\nExamples:\n.PP\n.EX\n%s\n.EE", roff(c.UsageText))
		}
	}
	line(".SH EXIT STATUS\n.EX\n%s\n.EE", roff(strings.TrimSuffix(strings.TrimPrefix(exitHelp, "Exit status\n"), "\n")))
	line(".SH ENVIRONMENT\nEvery flag that can stand in the configuration file has a variable:\n.B MODELDOCTOR_FAIL_ON\nfor")
	line(".BR --fail-on .\nAn empty variable is none.\n.B NO_COLOR\nand\n.B CLICOLOR_FORCE\nsay whether text is coloured,\n.B COLUMNS\nhow wide it is.")
	line(".SH FILES\n.TP\n.I %s\nin the working directory or a folder above: flags as keys; see\n.BR \"modeldoctor config\" .", roff(configName))
	return b.String()
}

// roff is text that means itself to troff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
