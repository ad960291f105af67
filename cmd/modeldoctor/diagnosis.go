package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"
)

// diagnosis is what layers are chosen by.
type diagnosis struct {
	report      *diag.Report
	granularity graph.Granularity           // of its layers
	source      string                      // report.ChosenByDiagnosis, or the path of a report
	figures     map[string]diag.LayerResult // by the layers' unambiguous names
}

// findDiagnosis reads the report that --from names, or diagnoses the layers.
func findDiagnosis(ctx context.Context, s *subject, opt treatmentOptions) (*diagnosis, error) {
	var found *diagnosis
	var err error
	if opt.from != "" {
		found, err = readReport(ctx, s, opt)
	} else {
		found, err = diagnose(ctx, s, opt)
	}
	if err != nil {
		return nil, err
	}
	found.figures = map[string]diag.LayerResult{}
	layers := s.network.Layers(found.granularity)
	for _, l := range found.report.Layers {
		k := slices.IndexFunc(layers, func(m graph.Layer) bool { return m.Name == l.Name })
		if k < 0 {
			return nil, unreadable(fmt.Errorf("%s: the report has a layer %q, which the model has not", opt.from, l.Name), "run `modeldoctor check` again, or leave --from out")
		}
		found.figures[unambiguous(s.network, found.granularity, layers[k]).Name] = l
	}
	return found, nil
}

// diagnose measures the layers on V, at the temperature that they are treated at.
func diagnose(ctx context.Context, s *subject, opt treatmentOptions) (*diagnosis, error) {
	con := opt.run.console
	layers := diagLayers(s.network.Layers(opt.granularity))
	options := diag.Options{Temperature: opt.training.Temperature, Progress: con.progress}
	options.Memory, options.HostMemory = s.memory(opt.training.Memory, s.roomOfDiagnosis(layers, options))
	measured, err := diag.Diagnose(ctx, s.runner, s.validation, layers, options)
	con.finish()
	return &diagnosis{report: measured, granularity: opt.granularity, source: report.ChosenByDiagnosis}, err
}

// readReport reads the report of an earlier check, which must be of this model
// and these images.
func readReport(ctx context.Context, s *subject, opt treatmentOptions) (*diagnosis, error) {
	const hint = "give a report that `modeldoctor check --format json=FILE` has written"
	f, err := openInput(ctx, opt.from)
	if err != nil {
		return nil, unreadable(err, hint)
	}
	defer f.Close()
	read, err := report.ReadCheck(f)
	if err != nil {
		return nil, unreadable(fmt.Errorf("%s: %w", opt.from, err), hint)
	}
	other := func(what string) error {
		return unreadable(fmt.Errorf("%s: the report is about %s", opt.from, what), "run `modeldoctor check --format json="+opt.from+" "+opt.path+"` again, with the same data and --calibration, or leave --from out")
	}
	model, err := s.network.Model.SHA256()
	if err != nil {
		return nil, err
	}
	if read.Model.SHA256 != model {
		return nil, other("another model, " + read.Model.Path)
	}
	if !read.Complete {
		return nil, other("some of the layers only: the time limit came first")
	}
	data, err := s.validation.SHA256()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if read.Data.SHA256 != data {
		return nil, other("other images, or the same ones prepared otherwise")
	}
	if its, here := calibrationOf(read), opt.training.Temperature; its != here {
		return nil, other(fmt.Sprintf("the model with --calibration %s, and here it is %s", report.CalibrationText(its), report.CalibrationText(here)))
	}
	return &diagnosis{report: read.Diagnosis(), granularity: graph.Granularity(read.Granularity), source: opt.from}, nil
}
