package main

import (
	"runtime/debug"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func explainCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:         "explain",
		Usage:        "what a rule means, when it misleads, what to do next; without RULE, list them",
		ArgsUsage:    "[RULE]",
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			rules := diag.Rules()
			if !c.Args().Present() {
				return report.Write(c.App.Writer, report.Rules(rules), "text", report.Style{})
			}
			id, err := oneArgument(c, "RULE")
			if err != nil {
				return err
			}
			for _, r := range rules {
				if strings.EqualFold(r.ID, id) {
					return report.Write(c.App.Writer, report.Rule(r), "text", report.Style{})
				}
			}
			return usage("there is no rule %q", id).withHint("`modeldoctor explain` lists them")
		},
	}, "modeldoctor explain", "modeldoctor explain MD001")
}

func versionCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:         "version",
		Usage:        "print the version",
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			cli.ShowVersion(c)
			return nil
		},
	})
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+changes"
			}
		}
	}
	if revision == "" || (info.Main.Version != "" && info.Main.Version != "(devel)") {
		return info.Main.Version
	}
	return revision + modified
}
