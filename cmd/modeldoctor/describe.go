package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"
)

// describeValidation is what a report says of V.
func describeValidation(data images, p dataset.Preprocess) report.Data {
	return report.Data{Name: data.source, Val: data.validation.Name(), ValN: data.validation.Len(), Preprocess: describePreprocess(p), Skipped: data.skipped, AssumedOrder: data.assumed}
}

func describePreprocess(p dataset.Preprocess) report.Preprocess {
	return report.Preprocess{Name: p.Name, Source: p.Source, Mean: p.Mean, Std: p.Std, Size: p.Size, Channels: string(p.Channels), EXIF: p.EXIF}
}

// describeSets is what a report says of the images of a treatment.
func describeSets(s *subject, opt treatmentOptions) report.TreatmentData {
	part := func(e *examples.Set) report.Part {
		if e == nil {
			return report.Part{}
		}
		return report.Part{Name: e.Name(), N: e.Images()}
	}
	return report.TreatmentData{
		Name: s.source, Train: part(s.train), Validation: part(s.validation), Holdout: part(s.holdout),
		Augment: opt.augment, Views: opt.views, Preprocess: describePreprocess(s.preprocess), Skipped: s.skipped, AssumedOrder: s.assumed,
	}
}

// describeTreatment is what a report says of a treatment's layers and options.
func describeTreatment(t *treatment, opt treatmentOptions, data report.TreatmentData) report.Recipe {
	perturb, update := describeLayers(report.RolePerturb, t.plan.Perturb), describeLayers(report.RoleUpdate, t.plan.Update)
	chosenBy := ""
	if found := t.found; found != nil {
		chosenBy = found.source
		if len(opt.perturb) == 0 {
			addFigures(perturb, opt.recipe.Perturb, found)
		}
		if len(opt.update) == 0 {
			addFigures(update, opt.recipe.Update, found)
		}
	}
	return report.NewRecipe(opt.recipe.Name, append(perturb, update...), chosenBy, t.options, data)
}

func describeLayers(role string, layers []diag.Layer) []report.TreatedLayer {
	described := make([]report.TreatedLayer, len(layers))
	for i, l := range layers {
		described[i] = report.TreatedLayer{Name: l.Name, Role: role, Parameters: l.Parameters}
	}
	return described
}

// addFigures gives the layers the figure by which they were chosen.
func addFigures(layers []report.TreatedLayer, by pol.Choice, found *diagnosis) {
	for i := range layers {
		l := &layers[i]
		switch figures := found.figures[l.Name]; {
		case by == pol.LargestKappa:
			l.Kappa = figures.Kappa
		case by == pol.LargestTransfer && figures.Transfer != nil:
			l.DeltaLoss, l.SE = &figures.Transfer.Gain.Mean, &figures.Transfer.Gain.SE
		}
	}
}

// describeFix is the report on a treatment, but for what is written and what it
// took. Images that the treatment did not need are read for their digests.
func describeFix(t *treatment, result *pol.Result, opt fixOptions) (*report.Fix, error) {
	s := t.subject
	done := report.NewFix(result)
	done.Model, done.Data = describeModel(s.network.Model, t.network), describeSets(s, opt.treatmentOptions)
	done.Recipe = describeTreatment(t, opt.treatmentOptions, done.Data)
	done.Trial, done.Forced = opt.target.trial, opt.target.force && !result.Accepted() && !opt.target.trial && result.Weights != nil
	var err error
	if done.Model.SHA256, err = s.network.Model.SHA256(); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		set    *examples.Set
		digest *string
	}{{s.train, &done.Data.Train.SHA256}, {s.validation, &done.Data.Validation.SHA256}, {s.holdout, &done.Data.Holdout.SHA256}} {
		if part.set == nil {
			continue
		}
		if *part.digest, err = part.set.SHA256(); err != nil {
			return nil, err
		}
	}
	if !done.Accepted && done.Recipe.Name != pol.RecipeTemperature && result.TemperatureAccepted() {
		done.Instead = t.temperatureCommand(opt)
	}
	return done, nil
}

// temperatureCommand is the command that divides the logits of the same model by the
// temperature; nil where none can.
func (t *treatment) temperatureCommand(opt fixOptions) []string {
	weights, err := t.subject.network.LogitScale()
	if err != nil {
		return nil
	}
	command := slices.Concat([]string{"modeldoctor", "fix", "--recipe", pol.RecipeTemperature}, opt.sameData)
	if guess := t.subject.guess; guess != nil { // nothing is written on a guess
		command = append(command, strings.Fields(guess.Flags())...)
	}
	if opt.dropShared {
		command = append(command, "--drop-shared")
	}
	for _, w := range weights {
		// On the grid of a quantised tensor most of the temperature would be lost.
		if t.subject.network.Weights[w].Tensor.Quantization() != nil {
			command = append(command, "--dequantize")
			break
		}
	}
	out := []string{"-o", cmp.Or(opt.target.path, "OUT")}
	switch {
	case opt.target.backup != "":
		out = []string{"--in-place"}
	case opt.target.overwrite:
		out = append(out, "--overwrite")
	}
	return slices.Concat(command, []string{opt.path}, out)
}
