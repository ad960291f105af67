package main

import (
	"context"
	"errors"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// rawFlag asks for figures of the logits as they came.
func rawFlag() cli.Flag {
	return boolFlag(categoryMethod, "with-raw", "measure each layer also with the logits as they came, which takes as long again: the HTML report, --wide and JSON show that ΔL̂ beside the one at the temperature, by which the verdict goes")
}

// checkRaw returns what stands in the way of raw figures.
func (o *checkOptions) checkRaw() error {
	switch {
	case !o.raw:
		return nil
	case o.diag.Temperature == 1:
		return usage("--with-raw: with --calibration none all figures are of the logits as they came").withHint("leave one of the two out")
	case o.budget.time > 0 || o.diag.Race != nil:
		return usage("--with-raw: with --budget or --race not all layers are searched").withHint("leave these out, or --with-raw")
	case o.shard.count > 0:
		return usage("--with-raw: a share has no figures of the logits as they came").withHint("leave it out, or --shard")
	}
	return nil
}

// addRaw measures the layers with the logits as they came, beside a diagnosis that has
// them at another temperature. Where the time limit comes first the report has what there
// is by then, and a warning says so: the verdict does not rest on it.
func (p *prepared) addRaw(ctx context.Context, of *diag.Report, con *console, result *report.Check) error {
	if of.Calibration != diag.Fitted && of.Calibration != diag.Given {
		return nil // they are raw already
	}
	opt := p.options
	opt.Temperature, opt.Prior, opt.Training, opt.PerExample = 1, nil, nil, false
	opt.Progress = func(phase string, done, total int) { con.progress("raw, "+phase, done, total) }
	raw, err := diag.Diagnose(ctx, p.runner, p.validation, p.layers, opt)
	con.finish()
	if raw != nil {
		report.SetRaw(result, raw)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		con.warn("--with-raw: the time limit came before all layers were measured with the logits as they came (the verdict needs none of that)")
		return nil
	}
	return err
}
