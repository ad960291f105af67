package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"
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
	if err := s.checkHoldout(opt.minHoldout); err != nil {
		return nil, err
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

// checkHoldout returns an error where there are too few hold-out images.
func (s *subject) checkHoldout(least int) error {
	if n := s.holdout.Len(); n < least {
		return unreadable(fmt.Errorf("%d hold-out images are too few to decide anything, at least %d are needed", n, least), "give more with --holdout, and leave --samples out or raise it; or see what a treatment does without deciding on it: --trial")
	}
	return nil
}

// keepApart sees to it that no hold-out image is among the training or the
// validation images, pixel by pixel as the model sees them without augmentation:
// an image that was trained on, or that has chosen the epoch, is no judge. With
// opt.dropShared such images are left out of the hold-out set.
func (s *subject) keepApart(ctx context.Context, opt treatmentOptions) error {
	con := opt.run.console
	type other struct {
		*examples.Set
		what string
	}
	others := []other{{s.validation, "validation"}}
	if s.train != nil {
		others = append(others, other{s.train, "training"})
	}
	done, total, progress := 0, s.holdout.Images(), con.counting("images")
	for _, o := range others {
		total += o.Images()
	}
	for _, o := range append(others, other{s.holdout, "hold-out"}) {
		if err := o.ReadPlain(ctx, func() { done++; progress("comparing", done, total) }); err != nil {
			return err
		}
	}
	con.finish()
	warnIfRepeated(con, s.validation, "validation")
	warnIfRepeated(con, s.holdout, "hold-out")
	var shared []int
	for _, o := range others {
		pairs := examples.Shared(s.holdout, o.Set)
		if len(pairs) == 0 {
			continue
		}
		if first := pairs[0]; !opt.dropShared {
			return unreadable(fmt.Errorf("%d of the hold-out images are among the %s images, pixel by pixel: %s is %s", len(pairs), o.what, s.holdout.Where(first[0]), o.Where(first[1])),
				"choose parts that share no image, or leave such images out of the hold-out set with --drop-shared")
		}
		for _, p := range pairs {
			shared = append(shared, p[0])
		}
	}
	if s.train != nil {
		if n := len(examples.Shared(s.train, s.validation)); n > 0 {
			con.warn("%d training images are also among the validation images, pixel by pixel", n)
		}
	}
	if shared == nil {
		return nil
	}
	slices.Sort(shared)
	shared = slices.Compact(shared)
	s.holdout = s.holdout.Without(shared)
	con.warn("%d hold-out images are also among the training or validation images, pixel by pixel, and are left out", len(shared))
	return s.checkHoldout(opt.minHoldout)
}

// warnIfRepeated says so where more than one in a hundred of the images that have been
// read is there twice: an interval takes them for independent of each other.
func warnIfRepeated(con *console, set *examples.Set, what string) {
	const narrow = "intervals take images for independent, and are too narrow"
	switch n := examples.Repeated(set); {
	case 100*n <= set.Images():
	case n == 1:
		con.warn("1 of the %d %s images is a copy of another, pixel by pixel: %s", set.Images(), what, narrow)
	default:
		con.warn("%d of the %d %s images are copies of others of them, pixel by pixel: %s", n, set.Images(), what, narrow)
	}
}

// judgedBy are the digests of the hold-out sets that have judged the model before.
func (s *subject) judgedBy() []string { return report.JudgedBy(s.network.Model.Metadata[metadataKey]) }

// warnIfSeen says so where the hold-out images have judged the model before. What
// has been chosen by them fits them better than others.
func (s *subject) warnIfSeen(con *console) (seen bool, err error) {
	digest, err := s.holdout.SHA256()
	if seen = err == nil && slices.Contains(s.judgedBy(), digest); seen {
		con.warn("these hold-out images have judged this model before, as its metadata say: they no longer tell what images that nothing has seen would; give others with --holdout")
	}
	return seen, err
}
