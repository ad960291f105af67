package main

import (
	"context"
	"fmt"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/pol"
)

// subject is a model that can be run, with the images that it is treated by.
type subject struct {
	*loaded
	source     string // name of the data
	preprocess dataset.Preprocess
	guess      *examples.Detection // by which the preprocessing was found; nil where it was given
	skipped    int                 // images that were left out
	assumed    bool                // the order of classes is that of folders, and nothing confirms it
	train      *examples.Set       // nil where nothing is trained
	validation *examples.Set
	holdout    *examples.Set
	views      int // of a training image
}

// onSubject opens the model and the data, checks that the recipe can be carried
// out on them, and does something with them; see onModel.
func onSubject(ctx context.Context, opt treatmentOptions, do func(*subject) error) error {
	opt.run.differentiated = opt.weights
	return onModel(ctx, opt.path, opt.model, opt.run, func(m *loaded) error {
		s, err := withImages(ctx, m, opt)
		if err != nil {
			return err
		}
		return do(s)
	})
}

// withImages draws the images that a model is treated by.
func withImages(ctx context.Context, m *loaded, opt treatmentOptions) (*subject, error) {
	if err := m.network.CheckFinite(); err != nil {
		return nil, err
	}
	con := opt.run.console
	drawn, err := drawForTreatment(ctx, opt.data, m, opt.trains(), con)
	if err != nil {
		return nil, err
	}
	preprocess, guess, err := choosePreprocess(ctx, opt.data, m, drawn.validation, con)
	if err != nil {
		return nil, err
	}
	con.finish()
	in := m.network.Input
	s := &subject{
		loaded: m, source: drawn.source, preprocess: preprocess, guess: guess, skipped: drawn.skipped, assumed: drawn.assumed, views: opt.views,
		validation: examples.New(drawn.validation, preprocess, in),
		holdout:    examples.New(drawn.holdout, preprocess, in),
	}
	if err := checkScores(ctx, m, s.validation, con); err != nil {
		return nil, err
	}
	switch {
	case !opt.trains():
	case opt.augment == "none":
		s.train = examples.New(drawn.train, preprocess, in)
	default:
		s.train = examples.NewViews(drawn.train, preprocess, in, opt.views, opt.training.Seed)
	}
	if n := s.holdout.Len(); n < opt.minHoldout {
		return nil, unreadable(fmt.Errorf("%d hold-out images are too few to decide anything, at least %d are needed", n, opt.minHoldout), "give more with --holdout, and leave --samples out or raise it")
	}
	data := s.data()
	if err := data.Check(m.runner, opt.training.Batch, opt.trains()); err != nil {
		return nil, err
	}
	return s, nil
}

// refuseGuess returns an error where a file would be written that was treated under
// a preprocessing that was only detected: it may be accepted and yet be worse under
// its publisher's own.
func (s *subject) refuseGuess(to target) error {
	if s.guess == nil || to.trial || to.dryRun {
		return nil
	}
	return usage("the preprocessing was only detected (%s, %s): nothing is written on a guess", s.preprocess.Name, s.preprocess.Source).
		withHint("if that is the model's own, say so: %s; --trial treats and reports without writing", s.guess.Flags())
}

// data are the sets as a treatment takes them.
func (s *subject) data() pol.Data {
	data := pol.Data{Views: s.views, Validation: s.validation, Holdout: s.holdout}
	if s.train != nil {
		data.Train = s.train
	}
	return data
}

// warnOfSharedImages says how many images two of the sets have in common: a
// hold-out image that was trained on is no judge.
func (s *subject) warnOfSharedImages(con *console) {
	for _, pair := range []struct {
		a, b *examples.Set
		what string
	}{
		{s.train, s.holdout, "training images are also among the hold-out images"},
		{s.train, s.validation, "training images are also among the validation images"},
		{s.validation, s.holdout, "validation images are also among the hold-out images"},
	} {
		if pair.a == nil {
			continue
		}
		if n := pair.a.InCommon(pair.b); n > 0 {
			con.warn("%d %s, pixel by pixel", n, pair.what)
		}
	}
}
