package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// dataFlags say which images are used and how they are prepared.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		fileFlag(categoryData, "data", "PATH", "folder or archive of CIFAR-10 or CIFAR-100, or folder of class folders; by default, for a model of 100 classes, the built-in CIFAR-100 sample"),
		stringFlag(categoryData, "val", "SPLIT", "", "split to diagnose on, or a part of it: test, test[:1000], val[10%:20%]; by default one half of test or validation"),
		stringFlag(categoryData, "holdout", "SPLIT", "", "part that decides whether a treatment is accepted; by default the other half"),
		stringFlag(categoryData, "train", "SPLIT", "", "part that a treatment trains on; by default the training split. The three parts must not overlap"),
		intFlag(categoryData, "samples", "N", "use only N images, evenly spaced in order of class"),
		fileFlag(categoryData, "preprocess", "NAME|FILE", "preprocessing: "+strings.Join(presetNames(), ", ")+", or a preprocessor_config.json; by default found beside the model, else detected"),
		fileFlag(categoryData, "labels", "FILE", "names of the model's classes, one a line, to match with the data's; by default id2label of a config.json beside the model"),
	}
}

func presetNames() []string {
	var names []string
	for _, p := range dataset.Presets() {
		names = append(names, p.Name)
	}
	return names
}

// images are the sets that a command works on, and how their images are
// prepared.
type images struct {
	source     string
	validation dataset.Set
	holdout    dataset.Set // nil for a command that does not need it
	train      dataset.Set // likewise
	preprocess dataset.Preprocess
	detected   bool
}

// openValidation finds the data and draws V from them. Splits that are named for
// later use must not overlap it.
func openValidation(c *cli.Context, modelPath string, n *graph.Network) (*images, error) {
	source, err := openSource(c, modelPath, n)
	if err != nil {
		return nil, err
	}
	im := &images{source: source.Name()}
	if c.String("val") != "" {
		parts, err := namedParts(c, source)
		if err != nil {
			return nil, err
		}
		if im.validation, err = parts["val"].Apply(source); err != nil {
			return nil, err
		}
		return im, im.settle(c, modelPath, n)
	}
	for _, flag := range []string{"holdout", "train"} {
		if c.String(flag) != "" {
			return nil, usage("--%s is given without --val", flag).withHint("name the part to diagnose on, too: --val 'test[:1000]'")
		}
	}
	if im.validation, _, err = dataset.Divide(source); err != nil {
		return nil, err
	}
	return im, im.settle(c, modelPath, n)
}

// openTreatmentImages finds the data and draws V and H from them, and T where
// something is trained.
func openTreatmentImages(c *cli.Context, modelPath string, n *graph.Network, trains bool) (*images, error) {
	source, err := openSource(c, modelPath, n)
	if err != nil {
		return nil, err
	}
	im := &images{source: source.Name()}
	parts, err := namedParts(c, source)
	if err != nil {
		return nil, err
	}
	_, val := parts["val"]
	_, holdout := parts["holdout"]
	switch {
	case val && holdout:
		if im.validation, err = parts["val"].Apply(source); err != nil {
			return nil, err
		}
		if im.holdout, err = parts["holdout"].Apply(source); err != nil {
			return nil, err
		}
	case val || holdout:
		given, missing := "val", "holdout"
		if holdout {
			given, missing = missing, given
		}
		return nil, usage("--%s is given without --%s", given, missing).
			withHint("a treatment is chosen on one part and accepted on another: --val 'test[:1000]' --holdout 'test[1000:3000]'")
	default:
		if im.validation, im.holdout, err = dataset.Divide(source); err != nil {
			return nil, err
		}
	}
	if trains {
		if im.train, err = trainingPart(source, parts, val); err != nil {
			return nil, err
		}
	}
	return im, im.settle(c, modelPath, n)
}

// namedParts returns the parts that the flags name, which are disjoint.
func namedParts(c *cli.Context, source dataset.Source) (map[string]dataset.Slice, error) {
	parts := map[string]dataset.Slice{}
	var all []dataset.Slice
	for _, flag := range []string{"val", "holdout", "train"} {
		if c.String(flag) == "" {
			continue
		}
		part, err := dataset.ParseSlice(c.String(flag))
		if err != nil {
			return nil, usage("--%s: %v", flag, err).withHint("%s", hintOf(err))
		}
		parts[flag] = part
		all = append(all, part)
	}
	return parts, dataset.Disjoint(source, all...)
}

// trainingPart is T: what --train names, else the training split. Where V and H
// are not named, T must not be of the splits that they are drawn from.
func trainingPart(source dataset.Source, parts map[string]dataset.Slice, named bool) (dataset.Set, error) {
	part, given := parts["train"]
	if !given {
		var err error
		if part, err = dataset.ParseSlice(dataset.Train); err != nil {
			panic(err)
		}
		if !slices.Contains(source.Splits(), dataset.Train) {
			return nil, &dataset.Error{
				Path: source.Name(),
				Msg:  "no training split: found " + strings.Join(source.Splits(), ", "),
				Hint: fmt.Sprintf("name three parts that do not overlap: --train '%[1]s[:60%%]' --val '%[1]s[60%%:80%%]' --holdout '%[1]s[80%%:]'", source.Splits()[0]),
			}
		}
		for _, other := range parts {
			if err := dataset.Disjoint(source, part, other); err != nil {
				return nil, err
			}
		}
	}
	if !named && slices.Contains(dataset.DividedSplits(source), part.Split) {
		return nil, usage("--train %s: validation and hold-out images are drawn from the split %s", part, part.Split).
			withHint("name all three parts: --val, --holdout and --train")
	}
	return part.Apply(source)
}

// settle brings labels into the order of the model's outputs, checks them, and
// thins V out to --samples.
func (im *images) settle(c *cli.Context, modelPath string, n *graph.Network) error {
	for _, set := range []*dataset.Set{&im.validation, &im.holdout, &im.train} {
		if *set == nil {
			continue
		}
		var err error
		if *set, err = matchClasses(c, modelPath, *set, n); err != nil {
			return err
		}
		if err := dataset.CheckLabels(*set, n.Classes); err != nil {
			return err
		}
	}
	if k := c.Int("samples"); k > 0 && k < im.validation.Len() {
		im.validation = dataset.Sample(im.validation, "sample of "+im.validation.Name(), k)
	}
	return nil
}

func openSource(c *cli.Context, modelPath string, n *graph.Network) (dataset.Source, error) {
	path := c.String("data")
	switch {
	case path == "" && n.Classes == 100:
		return cifar.Sample(), nil
	case path == "":
		return nil, usage("no data: the model has %d classes, and the built-in sample has 100", n.Classes).
			withHint("give validation images: modeldoctor check --data FOLDER %s", modelPath)
	case cifar.Detect(path):
		return cifar.Open(path)
	}
	return dataset.Open(path)
}

// matchClasses brings the data's labels into the order of the model's outputs
// where both sides have class names.
func matchClasses(c *cli.Context, modelPath string, set dataset.Set, n *graph.Network) (dataset.Set, error) {
	where, read := c.String("labels"), dataset.ReadLabels
	if where == "" {
		where, read = modelPath, dataset.FindClassNames
	}
	names, err := read(where)
	if err != nil {
		return nil, err
	}
	if names != nil && len(names) != n.Classes {
		msg := fmt.Sprintf("%d class names for %d classes", len(names), n.Classes)
		if where == modelPath {
			msg = "the config.json beside the model has " + msg
		}
		return nil, &dataset.Error{Path: where, Msg: msg, Hint: "give one name per output of the model, in their order: --labels FILE"}
	}
	if names == nil || set.Classes() == nil {
		if has := len(set.Classes()); has > 0 && has < n.Classes {
			fmt.Fprintf(c.App.ErrWriter, "modeldoctor: warning: %s has %d classes, the model %d outputs, and nothing names them: the classes are taken for the first outputs, in their order (--labels FILE names the outputs)\n", set.Name(), has, n.Classes)
		}
		return set, nil
	}
	order, err := dataset.MatchClasses(names, set.Classes())
	if err != nil {
		return nil, err
	}
	return dataset.Relabel(set, order, names), nil
}

// detectionExamples is how many images preprocessing is detected on.
const detectionExamples = 64

// choosePreprocess takes --preprocess, else what lies beside the model, else
// the preset with the lowest loss.
func (im *images) choosePreprocess(ctx context.Context, c *cli.Context, modelPath string, n *graph.Network, r *graph.Runner, report func(phase string, done, total int)) error {
	where, find := c.String("preprocess"), dataset.LoadPreprocess
	if where == "" {
		where, find = modelPath, dataset.FindPreprocess
	}
	found, err := find(where)
	if err != nil {
		return err
	}
	if found != nil {
		im.preprocess, err = found.ForInput(n.Input.Height, n.Input.Width)
		return err
	}
	return im.detectPreprocess(ctx, n, r, report)
}

// detectPreprocess takes the preset with the lowest loss on some of the images.
func (im *images) detectPreprocess(ctx context.Context, n *graph.Network, r *graph.Runner, report func(phase string, done, total int)) error {
	some := dataset.Sample(im.validation, im.validation.Name(), detectionExamples)
	var candidates []diag.Candidate
	presets := map[string]dataset.Preprocess{}
	all := dataset.Presets()
	done := 0
	for _, p := range all {
		p, err := p.ForInput(n.Input.Height, n.Input.Width)
		if err != nil {
			return err
		}
		presets[p.Name] = p
		images := newExamples(some, p, n)
		images.read = func() {
			report("preprocessing", done, some.Len()*len(all))
			done++
		}
		candidates = append(candidates, diag.Candidate{Name: p.Name, Examples: images})
	}
	scores, err := diag.Detect(ctx, r, candidates)
	var chance *diag.ChanceError
	if errors.As(err, &chance) {
		return unreadable(err, "name the preprocessing with --preprocess, and make sure that the data's classes are the model's (--labels)")
	}
	if err != nil {
		return err
	}
	im.detected = true
	im.preprocess = presets[scores[0].Name]
	im.preprocess.Source = fmt.Sprintf("detected on %d images: loss %s, next best %s with %s", some.Len(), lossText(scores[0]), scores[1].Name, lossText(scores[1]))
	return nil
}

func lossText(s diag.Score) string {
	if s.Loss == nil {
		return "not finite"
	}
	return fmt.Sprintf("%.3f", *s.Loss)
}

// describe is what a report says of V.
func (im *images) describe() report.Data {
	return report.Data{Name: im.source, Val: im.validation.Name(), ValN: im.validation.Len(), Preprocess: im.describePreprocess()}
}

func (im *images) describePreprocess() report.Preprocess {
	p := im.preprocess
	return report.Preprocess{Name: p.Name, Source: p.Source, Mean: p.Mean, Std: p.Std, Size: p.Size}
}
