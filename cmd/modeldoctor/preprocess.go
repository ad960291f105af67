package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
)

// choosePreprocess takes what --preprocess names, else what lies beside the
// model or in its metadata, else the preset that fits V best, which is then
// detected; nil where it was not.
func choosePreprocess(ctx context.Context, opt dataOptions, m *loaded, validation dataset.Set, con *console) (p dataset.Preprocess, detected *examples.Detection, err error) {
	given, err := givenPreprocess(opt, m, con)
	switch {
	case err != nil:
		return p, nil, err
	case given != nil:
		p = *given
	case opt.mustBeNamed:
		return p, nil, usage("--shard: the preprocessing is neither named nor found beside the model, and a guess would have to be diagnosed twice").withHint("name it with --preprocess: `modeldoctor check --samples 200 MODEL` says which fits best")
	default:
		var found examples.Detection
		found, err = examples.DetectPreprocess(ctx, m.runner, validation, m.network.Input, opt.ofPreprocess(), con.progress)
		p, detected = found.Best, &found
		var chance *diag.ChanceError
		if errors.As(err, &chance) {
			err = unreadable(err, "name the preprocessing with --preprocess, and make sure that the data's classes are the model's (--labels)")
		}
	}
	p.EXIF = opt.exif
	return p, detected, err
}

// givenPreprocess is what --preprocess names, or lies beside the model or in its
// metadata; nil where nothing does.
func givenPreprocess(opt dataOptions, m *loaded, con *console) (found *dataset.Preprocess, err error) {
	if opt.preprocess != "" {
		found, err = dataset.LoadPreprocess(opt.preprocess)
	} else {
		found, err = dataset.FindPreprocess(modelFile(m, con))
	}
	if err != nil {
		return nil, err
	}
	in := m.network.Input
	if opt.channels != "" && in.Channels == 1 {
		return nil, usage("--channels: %s has no meaning for a model that sees one channel", opt.channels).withHint("leave it out")
	}
	if found == nil {
		return nil, nil
	}
	p := *found
	if orders := opt.ofPreprocess().Orders; orders != nil {
		p = p.WithChannels(orders[0])
	}
	if in.Channels == 1 && !p.OneNormalisation() {
		return nil, unreadable(fmt.Errorf("preprocessing %s has a mean and deviation for each of three channels, and the model sees one", p.Name), "--preprocess with one that has one, such as raw01 or mnist, or a file with a single number")
	}
	if in.Integers() && !p.KeepsBytes() {
		return nil, unreadable(fmt.Errorf("preprocessing %s scales the pixels, and the model takes them as they are: its input is of type %v", p.Name, in.DType), "--preprocess raw255, or a file without rescaling and normalisation")
	}
	p, err = p.ForInput(in.Height, in.Width)
	return &p, err
}

// ofPreprocess is what flags say of a preprocessing that is to be detected.
func (o *dataOptions) ofPreprocess() examples.Given {
	given := examples.Given{EXIF: o.exif}
	switch o.channels {
	case "rgb":
		given.Orders = []dataset.Channels{dataset.RGB}
	case "bgr":
		given.Orders = []dataset.Channels{dataset.BGR}
	}
	return given
}

// doubt makes a warning of the remark that the preprocessing was guessed, where the
// images do not tell the runner-up from it and the diagnosis with that comes to
// another verdict.
func doubt(ctx context.Context, m *loaded, data images, guess *examples.Detection, layers []diag.Layer, options diag.Options, found *diag.Report) error {
	if guess == nil || guess.Decided || !found.Complete {
		return nil
	}
	message := ""
	if data.train != nil {
		options.Training = examples.New(data.train, guess.RunnerUp, m.network.Input)
	}
	other, err := diag.Diagnose(ctx, m.runner, examples.New(data.validation, guess.RunnerUp, m.network.Input), layers, options)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		message = fmt.Sprintf("the time limit came before the diagnosis with %s was made", guess.RunnerUp.Name)
	case err != nil:
		return err
	case slices.Equal(verdictOf(found), verdictOf(other)):
		return nil
	default:
		message = fmt.Sprintf("with %s the verdict is another (%s)", guess.RunnerUp.Name, cmp.Or(strings.Join(verdictOf(other), ", "), "nothing is reported"))
	}
	for i := range found.Violations {
		if v := &found.Violations[i]; v.Rule == diag.RuleGuessedPreprocess {
			v.Level = cmp.Or(options.Rules[v.Rule].Level, diag.LevelWarning)
			v.Message = "the preprocessing was guessed, and the images do not decide: " + message + "; name the model's own with --preprocess"
		}
	}
	return nil
}

// verdictOf are the rules that a diagnosis reports, but for the one about guesses.
func verdictOf(r *diag.Report) []string {
	var rules []string
	for _, v := range r.Violations {
		if v.Rule != diag.RuleGuessedPreprocess {
			rules = append(rules, strings.TrimSpace(v.Rule+" "+v.Layer))
		}
	}
	return rules
}
