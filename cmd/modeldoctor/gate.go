package main

import (
	"context"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"
)

// gateFlags say what of a diagnosis fails.
func gateFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryGate, "fail-on", "LEVEL", "error", "lowest level of a breached rule that makes the verdict FAIL and the exit status 1: error or warning; never: the exit status is not 1, whatever the verdict"),
		stringFlag(categoryGate, "on-undecided", "HOW", "warn", "what the verdict UNDECIDED does, where the images do not suffice for another: pass, warn (exit status 0, with a hint) or fail (exit status 1, unless --fail-on is never)"),
		listFlag(categoryGate, "rule", "ID=SETTING", nil, "level or threshold of a rule, such as MD006=error (always this level: error, warning or info) or MD002=0.05 (a share); several separated by commas"),
		fileFlag(categoryGate, "baseline", "REPORT", "an earlier report of check in JSON: layers that are worse by more than chance allows breach MD013, a higher loss MD014"),
		boolFlag(categoryGate, "fail-on-new", "only what the baseline has not, or has significantly less of, fails"),
	}
}

// gateOptions are the flags of gateFlags, and the suppressions of the configuration
// file.
type gateOptions struct {
	report.Gate
	baseline     string          // path; empty: none
	compared     []*report.Check // in that report
	rules        map[string]diag.RuleSetting
	suppressions []diag.Suppression // that hold today
}

func readGateOptions(c *cli.Context, con *console) (g gateOptions, err error) {
	if g.FailOn, err = oneOf(c, "fail-on"); err != nil {
		return g, err
	}
	if g.OnUndecided, err = oneOf(c, "on-undecided"); err != nil {
		return g, err
	}
	if g.rules, err = readRules(c.StringSlice("rule")); err != nil {
		return g, err
	}
	g.baseline, g.FailOnNew = c.String("baseline"), c.Bool("fail-on-new")
	if g.FailOnNew && g.baseline == "" {
		return g, usage("--fail-on-new: there is no --baseline to tell what is new").withHint("make one with `modeldoctor check --per-image --format json=baseline.json MODEL`, and give it with --baseline baseline.json")
	}
	all, _ := c.App.Metadata[suppressKey].([]diag.Suppression)
	g.suppressions = holding(all, time.Now(), con)
	return g, nil
}

// readRules reads --rule.
func readRules(items []string) (map[string]diag.RuleSetting, error) {
	settings := map[string]diag.RuleSetting{}
	for _, item := range items {
		id, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return nil, usage("--rule: %q: expected a rule and its setting", item).withHint("such as --rule MD006=error or --rule MD002=0.05")
		}
		rule, err := findRule(id)
		if err != nil {
			return nil, usage("--rule: %v", err).withHint("`modeldoctor explain` lists the rules")
		}
		setting := settings[rule.ID]
		switch level := diag.Level(value); level {
		case diag.LevelError, diag.LevelWarning, diag.LevelInfo:
			if setting.Level != "" {
				return nil, usage("--rule: two levels for %s, %s and %s", rule.ID, setting.Level, level).withHint("give one")
			}
			setting.Level = level
		default:
			share, err := strconv.ParseFloat(value, 64)
			switch {
			case err != nil || !(share > 0 && share < 1):
				return nil, usage("--rule: %s=%q is neither error nor warning nor info nor a share between 0 and 1", rule.ID, value).withHint("such as --rule %s=warning", rule.ID)
			case rule.Threshold == 0:
				return nil, usage("--rule: %s has no threshold", rule.ID).withHint("give it a level: error, warning or info")
			case setting.Threshold != 0:
				return nil, usage("--rule: two thresholds for %s, %v and %v", rule.ID, setting.Threshold, share).withHint("give one")
			}
			setting.Threshold = share
		}
		settings[rule.ID] = setting
	}
	return settings, nil
}

// findRule finds a rule by its ID.
func findRule(id string) (diag.Rule, error) {
	rule, ok := diag.ExplainRule(strings.ToUpper(id))
	if !ok {
		return rule, fmt.Errorf("there is no rule %q", id)
	}
	return rule, nil
}

// settings are the rules that were changed, for the report.
func (g *gateOptions) settings() []report.RuleSetting {
	list := []report.RuleSetting{}
	for _, id := range slices.Sorted(maps.Keys(g.rules)) {
		view := report.RuleSetting{Rule: id, Level: g.rules[id].Level}
		if t := g.rules[id].Threshold; t > 0 {
			view.Threshold = &t
		}
		list = append(list, view)
	}
	return list
}

// readBaseline reads the report to compare with, of one model or of several, and
// refuses one whose figures mean something else than those of a diagnosis with these
// options.
func readBaseline(ctx context.Context, file string, granularity graph.Granularity, opt diag.Options) ([]*report.Check, error) {
	f, err := openInput(ctx, file)
	if err != nil {
		return nil, usage("--baseline: %v", err).withHint("give the JSON report of an earlier check")
	}
	defer f.Close() // it is only read
	checks, err := report.ReadChecks(f)
	if err != nil {
		return nil, unreadable(fmt.Errorf("%s: %w", file, err), "make the baseline with `modeldoctor check --per-image --format json=baseline.json MODEL`")
	}
	for _, base := range checks {
		if err := comparable(base, file, granularity, opt); err != nil {
			return nil, err
		}
	}
	return checks, nil
}

// priorOf is the baseline of a model: the report, where both are of one model, else
// the one of that path in it; nil where there is none.
func (g *gateOptions) priorOf(path string, models int) *report.Check {
	if models == 1 && len(g.compared) == 1 {
		return g.compared[0]
	}
	i := slices.IndexFunc(g.compared, func(c *report.Check) bool { return filepath.Clean(c.Model.Path) == filepath.Clean(path) })
	if i < 0 {
		return nil
	}
	return g.compared[i]
}

// prior gives a diagnosis the baseline of a model to compare with, which it returns.
// digest is that of the images, once they have been read.
func (g *gateOptions) prior(options *diag.Options, path string, models int, con *console, digest func() string) *report.Check {
	before := g.priorOf(path, models)
	if before == nil {
		con.warn("%s has no report of %s: all that fails in it is new", g.baseline, path)
		before = &report.Check{}
	}
	options.Prior = report.NewPrior(before, digest)
	return before
}

// comparable returns why a report cannot be compared with a diagnosis.
func comparable(base *report.Check, file string, granularity graph.Granularity, opt diag.Options) error {
	differs := func(flag, had, has string) error {
		return usage("--baseline: %s was made with --%s %s, and this is with %s", file, flag, had, has).withHint("check with the baseline's flags, or make the baseline again")
	}
	calibration := func(temperature float64) string {
		switch temperature {
		case 0:
			return "fit"
		case 1:
			return "none"
		}
		return strconv.FormatFloat(temperature, 'g', -1, 64)
	}
	had := base.Calibration
	switch {
	case had == string(diag.Unfitted):
		had = "fit"
	case had == string(diag.Given) && base.Calibrated != nil:
		had = calibration(*base.Calibrated)
	}
	switch has := calibration(opt.Temperature); {
	case !base.Complete:
		return unreadable(fmt.Errorf("%s: the report is incomplete", file), "make the baseline again, with a larger --timeout or fewer images")
	case base.Granularity != string(granularity):
		return differs("granularity", base.Granularity, string(granularity))
	case base.Direction != opt.Direction.String():
		return differs("direction", base.Direction, opt.Direction.String())
	case had != has:
		return differs("calibration", had, has)
	}
	return nil
}

// suppressKey is the key of the suppressions in a configuration file.
const suppressKey = "suppress"

// readSuppressions reads the list of breaches that are accepted.
func readSuppressions(node *yaml.Node) ([]diag.Suppression, error) {
	const hint = "each has a rule and a reason and may have a layer (a pattern) and a last day: {rule: MD001, layer: 'blocks.*', reason: why, until: 2027-01-31}"
	var entries []map[string]string
	if err := node.Decode(&entries); err != nil {
		return nil, usage("expected a list of suppressions").withHint(hint)
	}
	var list []diag.Suppression
	for i, entry := range entries {
		fail := func(format string, args ...any) error {
			return usage("%d. suppression: %s", i+1, fmt.Sprintf(format, args...)).withHint(hint)
		}
		for key := range entry {
			if !slices.Contains([]string{"rule", "layer", "reason", "until"}, key) {
				return nil, fail("unknown key %q", key)
			}
		}
		s := diag.Suppression{Layer: entry["layer"], Reason: strings.TrimSpace(entry["reason"])}
		rule, err := findRule(entry["rule"])
		if err != nil {
			return nil, fail("%v", err)
		}
		s.Rule = rule.ID
		if s.Reason == "" {
			return nil, fail("%s has no reason", s.Rule)
		}
		if layer, ok := entry["layer"]; ok && layer == "" {
			return nil, fail("layer is empty: leave it out for any layer, and the model as a whole")
		}
		if _, err := path.Match(s.Layer, ""); err != nil {
			return nil, fail("layer %q is no pattern: %v", s.Layer, err)
		}
		if until, ok := entry["until"]; ok {
			if s.Until, err = time.Parse(time.DateOnly, until); err != nil {
				return nil, fail("until %q is no day such as 2027-01-31", until)
			}
		}
		list = append(list, s)
	}
	return list, nil
}

// holding are the suppressions that have not expired on a day; of the others it warns.
func holding(list []diag.Suppression, today time.Time, con *console) []diag.Suppression {
	var kept []diag.Suppression
	for _, s := range list {
		until := s.Until.Format(time.DateOnly)
		if s.Until.IsZero() || today.Format(time.DateOnly) <= until {
			kept = append(kept, s)
			continue
		}
		where := "of " + s.Rule
		if s.Layer != "" {
			where += " in " + s.Layer
		}
		con.warn("the suppression %s (%s) expired after %s, and counts no longer", where, s.Reason, until)
	}
	return kept
}
