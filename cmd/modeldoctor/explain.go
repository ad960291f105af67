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
		Usage:        "what a rule or a figure means, when it misleads, what to do next; without TOPIC, list them",
		ArgsUsage:    "[TOPIC]",
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			topic, err := report.Result(report.Topics{Rules: diag.Rules(), Terms: diag.Terms()}), error(nil)
			if c.Args().Present() {
				topic, err = explained(c)
			}
			if err != nil {
				return err
			}
			return report.Write(c.App.Writer, topic, "text", report.Style{Width: terminalWidth(c.App.Writer)})
		},
	}, "modeldoctor explain", "modeldoctor explain MD001", "modeldoctor explain kappa")
}

// explained is the rule or the term that the argument names.
func explained(c *cli.Context) (report.Result, error) {
	name, err := oneArgument(c, "TOPIC")
	if err != nil {
		return nil, err
	}
	if rule, ok := diag.ExplainRule(strings.ToUpper(name)); ok {
		return report.Rule(rule), nil
	}
	if term, ok := diag.ExplainTerm(name); ok {
		return report.Term(term), nil
	}
	var names []string
	for _, r := range diag.Rules() {
		names = append(names, r.ID)
	}
	for _, t := range diag.Terms() {
		names = append(names, t.Name)
	}
	return nil, usage("there is no rule or figure %q", name).withHint("there are %s", strings.Join(names, ", "))
}
