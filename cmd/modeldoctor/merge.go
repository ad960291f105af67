package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func mergeCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:      "merge",
		Usage:     "put together what several machines measured with check --shard",
		ArgsUsage: "PARTS...",
		Description: "The report is the one that a single machine would have given, and so is the exit status; only its provenance differs. " +
			"PARTS are the files that the shares have written, also as patterns, or folders with them. Where a part is missing, there twice, unfinished, or of another check, all that is wrong is named, the exit status is 3, and nothing is written. " +
			"What is concluded and reported is chosen here: shares only measure.",
		Flags:        slices.Concat(gateFlags(), []cli.Flag{thresholdFlag(categoryGate)}, checkOutputFlags(), []cli.Flag{configFlag()}),
		Before:       withConfig,
		Action:       action(readMergeOptions, merge),
		OnUsageError: usageError,
	},
		"modeldoctor merge parts",
		"modeldoctor merge --fail-on warning --format text,json=report.json 'parts/*.json'",
	)
}

// mergeOptions are the flags of merge.
type mergeOptions struct {
	paths   []string
	gate    gateOptions
	diag    diag.Options
	console *console
	out     *output
}

func readMergeOptions(c *cli.Context) (mergeOptions, error) {
	paths, err1 := argumentPaths(c, "PARTS")
	threshold, err2 := readThreshold(c)
	if err := cmp.Or(err1, err2); err != nil {
		return mergeOptions{}, err
	}
	opt := mergeOptions{paths: paths, console: newConsole(c.App.ErrWriter, c.Bool("quiet"))}
	var err error
	if opt.gate, err = readGateOptions(c, opt.console); err != nil {
		return opt, err
	}
	opt.diag = diag.Options{Threshold: threshold, Rules: opt.gate.rules, Suppressions: opt.gate.suppressions, PerExample: c.Bool("per-image")}
	opt.out, err = readOutput(c, report.Formats(&report.Check{}), append(paths, opt.gate.baseline)...)
	return opt, err
}

// merge concludes on the findings of all parts together.
func merge(ctx context.Context, opt mergeOptions) error {
	start := time.Now()
	parts, problems := readParts(opt.paths)
	whole, others := report.Merge(parts)
	if problems = append(problems, others...); len(problems) > 0 {
		for _, p := range problems {
			opt.console.warn("%s", message(p))
		}
		return &failure{code: exitUnreadable, msg: fmt.Sprintf("the parts make no report; %d lines above say why", len(problems)), hint: "run the shares that are missing or of another check again; those that are whole need not be"}
	}
	if its := whole.Identity["version"]; its != version() {
		return unreadable(fmt.Errorf("the parts are of version %s, and this is %s", its, version()), "merge with the version that has measured")
	}
	found := whole.Findings
	options := opt.diag
	options.Direction, options.Temperature = found.Direction, asked(found)
	var before *report.Check
	if opt.gate.baseline != "" {
		var err error
		if opt.gate.compared, err = readBaseline(ctx, opt.gate.baseline, graph.Granularity(whole.Granularity), options); err != nil {
			return err
		}
		before = opt.gate.prior(&options, whole.Model.Path, 1, opt.console, func() string { return whole.Data.SHA256 })
	}
	if err := ctx.Err(); err != nil {
		return interrupted(err, opt.console, "no report was made")
	}
	result := opt.gate.report(found.Conclude(options), described{
		model: whole.Model, data: whole.Data, granularity: graph.Granularity(whole.Granularity), skipped: whole.Skipped,
		provenance: provenanceOf(parts, start),
	}, before, nil)
	if err := opt.out.write(result); err != nil {
		return err
	}
	return outcome(result, nil)
}

// asked is the temperature that the options of a measurement had.
func asked(f *diag.Findings) float64 {
	if f.Calibration == diag.Raw || f.Calibration == diag.Given {
		return f.Temperature
	}
	return 0
}

// readParts reads the parts in files and folders, in the order of their shards, with
// everything that is wrong with them.
func readParts(paths []string) (parts []*report.CheckPart, problems []error) {
	var files []string
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			problems = append(problems, err)
		}
		before := len(files)
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".json" {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
		if len(files) == before && err == nil {
			problems = append(problems, fmt.Errorf("%s: there is no part in it", path))
		}
	}
	for i, path := range files {
		if slices.ContainsFunc(files[:i], func(other string) bool { return sameFile(other, path) }) {
			continue
		}
		part, err := openPart(path)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		parts = append(parts, part)
	}
	slices.SortStableFunc(parts, func(a, b *report.CheckPart) int { return cmp.Compare(a.Shard, b.Shard) })
	return parts, problems
}

// provenanceOf says how the parts of a report came about.
func provenanceOf(parts []*report.CheckPart, start time.Time) report.Provenance {
	p := provenance(nil, parts[0].Provenance.Seed, start)
	var devices []string
	for _, part := range parts {
		of := part.Provenance
		if !slices.Contains(devices, of.Device) {
			devices = append(devices, of.Device)
		}
		p.Threads, p.Seconds, p.PeakBytes = max(p.Threads, of.Threads), max(p.Seconds, of.Seconds), max(p.PeakBytes, of.PeakBytes)
		p.Parts = append(p.Parts, of)
	}
	p.Device = strings.Join(devices, ", ")
	return p
}
