package main

import (
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
			if !c.Args().Present() {
				return report.Write(c.App.Writer, report.Rules(diag.Rules()), "text", report.Style{})
			}
			id, err := oneArgument(c, "RULE")
			if err != nil {
				return err
			}
			rule, ok := diag.ExplainRule(strings.ToUpper(id))
			if !ok {
				return usage("there is no rule %q", id).withHint("`modeldoctor explain` lists them")
			}
			return report.Write(c.App.Writer, report.Rule(rule), "text", report.Style{})
		},
	}, "modeldoctor explain", "modeldoctor explain MD001")
}
