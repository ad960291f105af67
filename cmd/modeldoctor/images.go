package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
)

// images are the sets that a command works on, labelled in the order of the
// model's outputs.
type images struct {
	source     string
	validation dataset.Set
	holdout    dataset.Set // nil where nothing is treated
	train      dataset.Set // nil where nothing is trained
}

// drawValidation finds the data and draws V from them, and, if training images
// are to be looked at and --train names some, as many of T.
func drawValidation(opt dataOptions, m *loaded, training bool, con *console) (images, error) {
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
	}
	if drawn, err = labelled(drawn, opt, m, con); err != nil {
		return images{}, err
	}
	if t, n := drawn.train, drawn.validation.Len(); t != nil && t.Len() > n {
		drawn.train = dataset.Sample(t, "sample of "+t.Name(), n)
	}
	return drawn, nil
}

// drawForTreatment finds the data and draws V and H from them, and T where
// something is trained.
func drawForTreatment(opt dataOptions, m *loaded, trains bool, con *console) (images, error) {
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
	return labelled(drawn, opt, m, con)
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
// and thins V out to --samples.
func labelled(drawn images, opt dataOptions, m *loaded, con *console) (images, error) {
	for _, set := range []*dataset.Set{&drawn.validation, &drawn.holdout, &drawn.train} {
		if *set == nil {
			continue
		}
		var err error
		if *set, err = matchClasses(*set, opt.labels, m, con); err != nil {
			return images{}, err
		}
		if err := dataset.CheckLabels(*set, m.network.Classes); err != nil {
			return images{}, err
		}
	}
	if v := drawn.validation; opt.samples > 0 && opt.samples < v.Len() {
		drawn.validation = dataset.Sample(v, "sample of "+v.Name(), opt.samples)
	}
	return drawn, nil
}

// matchClasses brings a set's labels into the order of the model's outputs where
// both sides have class names. The model's are in the file labels, or, where that
// is empty, beside the model.
func matchClasses(set dataset.Set, labels string, m *loaded, con *console) (dataset.Set, error) {
	classes, modelPath := m.network.Classes, m.network.Model.Path
	where, read := labels, dataset.ReadLabels
	if where == "" {
		where, read = modelPath, dataset.FindClassNames
	}
	names, err := read(where)
	if err != nil {
		return nil, err
	}
	if names != nil && len(names) != classes {
		msg := fmt.Sprintf("%d class names for %d classes", len(names), classes)
		if where == modelPath {
			msg = "the config.json beside the model has " + msg
		}
		return nil, &dataset.Error{Path: where, Msg: msg, Hint: "give one name per output of the model, in their order: --labels FILE"}
	}
	if names == nil || set.Classes() == nil {
		if has := len(set.Classes()); has > 0 && has < classes {
			con.warn("%s has %d classes, the model %d outputs, and nothing names them: the classes are taken for the first outputs, in their order (--labels FILE names the outputs)", set.Name(), has, classes)
		}
		return set, nil
	}
	order, err := dataset.MatchClasses(names, set.Classes())
	if err != nil {
		return nil, err
	}
	return dataset.Relabel(set, order, names), nil
}

// choosePreprocess takes what --preprocess names, else what lies beside the
// model, else the preset with the lowest loss on V, which is then detected.
func choosePreprocess(ctx context.Context, flag string, m *loaded, validation dataset.Set, con *console) (p dataset.Preprocess, detected bool, err error) {
	where, find := flag, dataset.LoadPreprocess
	if where == "" {
		where, find = m.network.Model.Path, dataset.FindPreprocess
	}
	found, err := find(where)
	if err != nil {
		return p, false, err
	}
	in := m.network.Input
	if found != nil {
		p, err = found.ForInput(in.Height, in.Width)
		return p, false, err
	}
	p, err = examples.DetectPreprocess(ctx, m.runner, validation, in, con.progress)
	var chance *diag.ChanceError
	if errors.As(err, &chance) {
		err = unreadable(err, "name the preprocessing with --preprocess, and make sure that the data's classes are the model's (--labels)")
	}
	return p, true, err
}
