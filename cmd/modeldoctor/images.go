package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/arrays"
	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
)

// images are the sets that a command works on, labelled in the order of the
// model's outputs.
type images struct {
	source     string
	validation dataset.Set
	holdout    dataset.Set // nil where nothing is treated
	train      dataset.Set // nil where nothing is trained
	available  int         // images that V could have, without --samples
	skipped    int         // images that were left out
	assumed    bool        // the order of classes is that of folders, and nothing confirms it
}

// drawValidation finds the data and draws V from them, and, if training images
// are to be looked at and --train names some, as many of T.
func drawValidation(ctx context.Context, opt dataOptions, m *loaded, training bool, con *console) (images, error) {
	source, err := openSource(opt, m)
	if err != nil {
		return images{}, err
	}
	drawn := images{source: source.Name()}
	if opt.val != nil {
		drawn.validation, err = opt.val.Apply(source)
	} else {
		drawn.validation, _, err = dataset.Divide(source)
	}
	if err != nil {
		return images{}, err
	}
	if training && opt.train != nil {
		if drawn.train, err = drawTraining(source, opt); err != nil {
			return images{}, err
		}
		n := drawn.validation.Len()
		if opt.samples > 0 {
			n = min(n, opt.samples)
		}
		if t := drawn.train; t.Len() > n {
			drawn.train = dataset.Sample(t, "sample of "+t.Name(), n)
		}
	}
	return labelled(ctx, drawn, opt, m, con)
}

// drawForTreatment finds the data and draws V and H from them, and T where
// something is trained.
func drawForTreatment(ctx context.Context, opt dataOptions, m *loaded, trains bool, con *console) (images, error) {
	source, err := openSource(opt, m)
	if err != nil {
		return images{}, err
	}
	drawn := images{source: source.Name()}
	if opt.val != nil && opt.holdout != nil {
		if drawn.validation, err = opt.val.Apply(source); err != nil {
			return images{}, err
		}
		drawn.holdout, err = opt.holdout.Apply(source)
	} else {
		drawn.validation, drawn.holdout, err = dataset.Divide(source)
	}
	if err != nil {
		return images{}, err
	}
	if trains {
		if drawn.train, err = drawTraining(source, opt); err != nil {
			return images{}, err
		}
	}
	return labelled(ctx, drawn, opt, m, con)
}

// openSource opens the data that --data names, or the built-in sample. The parts
// of them that are named must not overlap.
func openSource(opt dataOptions, m *loaded) (source dataset.Source, err error) {
	switch path := opt.path; {
	case path == "" && m.network.Classes == 100:
		source = cifar.Sample()
	case path == "":
		err = usage("no data: the model has %d classes, and the built-in sample has 100", m.network.Classes).
			withHint("give validation images: modeldoctor check --data FOLDER %s", m.network.Model.Path)
	case arrays.Detect(path):
		source, err = arrays.Open(path)
	case cifar.Detect(path):
		source, err = cifar.Open(path)
	default:
		source, err = dataset.Open(path)
	}
	if err != nil {
		return nil, err
	}
	return source, dataset.Disjoint(source, opt.parts()...)
}

// drawTraining draws T: what --train names, else the training split. Where V and
// H are not named, T must not be of the splits that they are drawn from.
func drawTraining(source dataset.Source, opt dataOptions) (dataset.Set, error) {
	part := opt.train
	if part == nil {
		if !slices.Contains(source.Splits(), dataset.Train) {
			return nil, &dataset.Error{
				Path: source.Name(),
				Msg:  "no training split: found " + strings.Join(source.Splits(), ", "),
				Hint: fmt.Sprintf("name three parts that do not overlap: --train '%[1]s[:60%%]' --val '%[1]s[60%%:80%%]' --holdout '%[1]s[80%%:]'", source.Splits()[0]),
			}
		}
		all, err := dataset.ParseSlice(dataset.Train)
		if err != nil {
			panic(err)
		}
		part = &all
		for _, other := range opt.parts() {
			if err := dataset.Disjoint(source, all, other); err != nil {
				return nil, err
			}
		}
	}
	if opt.val == nil && slices.Contains(dataset.DividedSplits(source), part.Split) {
		return nil, usage("--train %s: validation and hold-out images are drawn from the split %s", part, part.Split).
			withHint("name all three parts: --val, --holdout and --train")
	}
	return part.Apply(source)
}

// labelled brings the labels into the order of the model's outputs, checks them,
// thins the sets out to --samples, and looks at the images.
func labelled(ctx context.Context, drawn images, opt dataOptions, m *loaded, con *console) (images, error) {
	drawn.available = drawn.validation.Len()
	outputs, err := findOutputs(opt, m, con)
	if err != nil {
		return images{}, err
	}
	for _, set := range []*dataset.Set{&drawn.validation, &drawn.holdout, &drawn.train} {
		if *set == nil {
			continue
		}
		matched, known, err := outputs.relabel(*set, con)
		if err != nil {
			return images{}, err
		}
		drawn.assumed = drawn.assumed || !known && dataset.OfFolders(*set)
		*set = matched
		if err := dataset.CheckLabels(*set, m.network.Classes); err != nil {
			return images{}, err
		}
		if opt.samples > 0 && opt.samples < (*set).Len() {
			*set = dataset.Sample(*set, "sample of "+(*set).Name(), opt.samples)
		}
		good, err := lookAt(ctx, *set, opt, con)
		if err != nil {
			return images{}, err
		}
		drawn.skipped += (*set).Len() - good.Len()
		*set = good
	}
	return drawn, nil
}

// mostNamed is how many bad images are named.
const mostNamed = 100

// lookAt decodes all images of a set once, so that whatever is wrong with them is
// said at the beginning, and at once. It returns those that can be used.
func lookAt(ctx context.Context, set dataset.Set, opt dataOptions, con *console) (dataset.Set, error) {
	survey, err := dataset.Look(ctx, set, func(done, total int) { con.counting("images")("reading", done, total) })
	con.finish()
	if err != nil {
		return nil, err
	}
	if n := survey.Turned; n > 0 && !opt.exif {
		con.warn("%d of the %d images of %s have an EXIF orientation, which is not applied, as torchvision does not (--exif applies it)", n, set.Len(), set.Name())
	}
	if n := survey.Clipped; n > 0 {
		con.warn("%d of the %d images of %s are 16-bit grey and clipped at 255, as Pillow's convert(\"RGB\") does: convert them to 8 bits if their range is larger", n, set.Len(), set.Name())
	}
	bad := survey.Bad
	switch {
	case len(bad) == 0:
		return set, nil
	case opt.skipBad && len(bad) < set.Len():
		con.warn("%d of the %d images of %s cannot be read and are left out", len(bad), set.Len(), set.Name())
		return dataset.Without(set, bad), nil
	case len(bad) == 1:
		return nil, bad[0].Err
	}
	for _, b := range bad[:min(len(bad), mostNamed)] {
		con.warn("%v", b.Err)
	}
	return nil, &dataset.Error{
		Path: set.Name(),
		Msg:  fmt.Sprintf("%d of its %d images cannot be used", len(bad), set.Len()),
		Hint: "replace or remove these files; --skip-bad-images leaves out what cannot be read",
		Err:  bad[0].Err,
	}
}
