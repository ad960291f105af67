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
			rules := diag.Rules()
			if !c.Args().Present() {
				return report.RulesText(c.App.Writer, rules)
			}
			id, err := oneArgument(c, "RULE")
			if err != nil {
				return err
			}
			for _, r := range rules {
				if strings.EqualFold(r.ID, id) {
					return report.RuleText(c.App.Writer, r)
				}
			}
			return usage("there is no rule %q", id).withHint("`modeldoctor explain` lists them")
		},
	}, "modeldoctor explain", "modeldoctor explain MD001")
}
