package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// unfinishedSuffix is what the file of a part is called until all its layers are
// measured.
const unfinishedSuffix = ".unfinished"

// mergeFlags are those of check that say what is concluded and how it is reported.
var mergeFlags = []string{"threshold", "fail-on", "on-undecided", "rule", "baseline", "fail-on-new", "wide", "per-image", "plot", "format"}

// shared returns why a check cannot be shared, and says what is shared and which flags
// have no effect on that.
func (o *checkOptions) shared(c *cli.Context) error {
	if len(o.paths) > 1 {
		return usage("--shard: %d models, and only one can be shared", len(o.paths)).withHint("divide the models among the machines instead: each checks some of them")
	}
	if o.budget.time > 0 || o.diag.Race != nil {
		return usage("--shard: with --budget or --race layers are chosen by comparing all of them, which a share has not").withHint("leave these out, or --shard")
	}
	if o.shard.source != "" {
		o.run.console.say("share %d of %d, as %s says", o.shard.index, o.shard.count, o.shard.source)
	}
	for _, name := range mergeFlags {
		if onCommandLine(c, name) {
			o.run.console.warn("--%s has no effect on a share: `modeldoctor merge` has that flag", name)
		}
	}
	o.out.format, o.out.files, o.out.workflow, o.out.summary, o.out.plots = "text", nil, false, "", ""
	return nil
}

// checkShard measures one share of a model's layers and writes it, or shows all shares.
func checkShard(ctx context.Context, opt checkOptions) error {
	start := time.Now()
	file, err := openModel(opt.paths[0], opt.stdin)
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	return onFile(ctx, file, opt.model, opt.run, func(m *loaded) error {
		layers, err := selectedLayers(m, opt)
		if err != nil {
			return err
		}
		p, err := prepareCheck(ctx, m, opt, layers)
		if err != nil {
			return err
		}
		s, err := newShard(p, opt)
		switch {
		case err != nil:
			return err
		case opt.shard.dryRun:
			return opt.out.write(&report.Shares{Model: s.part.Model, Plan: s.part.Plan, Shard: s.part.Shard})
		}
		if err := s.measure(ctx, start); err != nil {
			return err
		}
		return opt.out.write(s.part)
	})
}

// shard is a share that is measured.
type shard struct {
	*prepared
	opt    checkOptions
	part   *report.CheckPart
	layers []int // of it, among those of prepared
}

// newShard plans the shares. It gives the part all but its findings.
func newShard(p *prepared, opt checkOptions) (*shard, error) {
	plan := diag.PlanShares(p.runner, p.layers, p.validation.Len(), p.options, opt.shard.count)
	s := &shard{prepared: p, opt: opt, layers: plan[opt.shard.index-1].Layers}
	if s.layers == nil {
		s.layers = []int{} // none, not all
	}
	of, err := p.describe(opt, false)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(p.layers))
	for i, l := range p.layers {
		names[i] = l.Name
	}
	s.part = &report.CheckPart{
		Shard: opt.shard.index, Model: of.model, Data: of.data, Granularity: string(of.granularity), Skipped: of.skipped,
		Path: filepath.Join(opt.shard.parts, fmt.Sprintf("part-%d-of-%d.json", opt.shard.index, opt.shard.count)),
		Identity: map[string]string{
			"version": version(), "model": of.model.SHA256, "output": p.network.Output, "fused kernels": strconv.FormatBool(!opt.model.NoFuse),
			"arithmetic": p.arithmetic(), "images at a time": strconv.Itoa(p.network.Batch), "number of shares": strconv.Itoa(opt.shard.count),
			"granularity": string(opt.granularity), "layers": strings.Join(names, ","),
			"direction": opt.diag.Direction.String(), "calibration": strconv.FormatFloat(opt.diag.Temperature, 'g', -1, 64),
		},
	}
	for _, share := range plan {
		planned := report.SharePlan{Layers: []string{}, Cost: share.Cost}
		for _, i := range share.Layers {
			planned.Layers = append(planned.Layers, names[i])
		}
		s.part.Plan = append(s.part.Plan, planned)
	}
	return s, nil
}

// measure measures the layers that are not yet, and writes the part: whole, or after
// each layer what there is of it, so that the same command can go on there. Two that
// measure the same at the same time write the same, each file whole.
func (s *shard) measure(ctx context.Context, start time.Time) error {
	if err := os.MkdirAll(s.opt.shard.parts, 0o777); err != nil {
		return usage("--parts: %v", err).withHint("choose a folder that can be written to")
	}
	unfinished := s.part.Path + unfinishedSuffix
	if there, err := s.earlier(s.part.Path); err != nil || there != nil {
		if there != nil {
			there.Found, s.part = true, there
		}
		return err
	}
	if err := checkWritable("--parts", s.part.Path); err != nil {
		return err
	}
	begun, err := s.earlier(unfinished)
	if err != nil {
		return err
	}
	share := diag.Share{Layers: s.layers, Measured: func(f *diag.Findings) error {
		s.part.Findings, s.part.Provenance = f, provenance(s.loaded, s.opt.seed, start)
		return writePart(unfinished, s.part)
	}}
	if begun != nil {
		share.Done = begun.Findings
		s.opt.run.console.say("going on from %s: %d of %d layers are still to be measured", unfinished, len(begun.Missing()), len(s.layers))
	}
	found, err := diag.Measure(ctx, s.runner, s.validation, s.prepared.layers, share, s.options)
	s.opt.run.console.finish()
	if err != nil {
		return s.stopped(err, unfinished)
	}
	of, err := s.describe(s.opt, true)
	if err != nil {
		return err
	}
	s.part.Data, s.part.Findings, s.part.Complete = of.data, found, true
	s.part.Provenance = provenance(s.loaded, s.opt.seed, start)
	s.part.Identity["images"] = of.data.SHA256
	if s.training != nil {
		if s.part.Identity["training images"], err = s.training.SHA256(); err != nil {
			return err
		}
	}
	if err := writePart(s.part.Path, s.part); err != nil {
		return err
	}
	if err := os.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.opt.run.console.warn("%v", err) // it is not looked at again
	}
	return nil
}

// earlier reads what an earlier run of this share has written; nil if there is nothing.
func (s *shard) earlier(path string) (*report.CheckPart, error) {
	const hint = "delete it, or choose another folder with --parts"
	there, err := openPart(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, unreadable(err, hint)
	}
	here := *there
	here.Identity = maps.Clone(there.Identity)
	for _, known := range []string{"images", "training images"} {
		delete(here.Identity, known) // only once all have been read
	}
	differ := here.Differences(s.part, "this one's")
	if here.Shard != s.part.Shard {
		differ = append(differ, "it is "+here.Name())
	}
	if !here.Data.SameAs(s.part.Data) {
		differ = append(differ, "its images are others, or prepared otherwise")
	}
	if len(differ) > 0 {
		return nil, unreadable(fmt.Errorf("%s is of another check than this: %s", path, strings.Join(differ, "; ")), hint)
	}
	return there, nil
}

// stopped is the error that a measurement ended with, which has left a file.
func (s *shard) stopped(err error, unfinished string) error {
	var resume *diag.ResumeError
	switch {
	case errors.As(err, &resume):
		return unreadable(fmt.Errorf("%s: %s", unfinished, strings.ReplaceAll(err.Error(), "\n", "; ")), "delete it, or choose another folder with --parts")
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{code: exitTimeout, msg: "the time limit came first", hint: "the same command goes on after the layers that are measured", err: err}
	case s.smaller(err):
		// With fewer images at a time the share would not fit those of other machines.
		return &failure{code: exitInternal, msg: fmt.Sprintf("the GPU has no room for %d images at a time: %v", s.network.Batch, err), hint: "give all shares the same smaller --run-batch"}
	}
	return err
}

// openPart reads the file of a part. The error names it.
func openPart(path string) (*report.CheckPart, error) {
	f, err := openSaved(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it is only read
	part, err := report.ReadPart(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	part.Path = path
	return part, nil
}

func writePart(path string, part *report.CheckPart) error {
	err := writeFile(path, func(w io.Writer) error { return report.Write(w, part, "json", report.Style{}) })
	if err != nil {
		return &failure{code: exitInternal, msg: fmt.Sprintf("the share cannot be written: %v", err), hint: "make room, or choose another folder with --parts: layers that are measured are not lost", err: err}
	}
	return nil
}
