package main

import (
	"context"
	"errors"
	"fmt"
	"image"

	"modeldoctor/cifar"
	"modeldoctor/dataset"
	"modeldoctor/diag"
	"modeldoctor/graph"
	"modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// dataFlags say which images are used and how they are prepared.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		stringFlag(categoryData, "data", "", "`PATH` of a CIFAR folder or archive, or of a folder of class folders (default for 100 classes: the built-in CIFAR-100 sample)"),
		stringFlag(categoryData, "val", "", "`SPLIT` to diagnose on, with an optional slice: 'test[:1000]' (default: one half of test or validation)"),
		stringFlag(categoryData, "holdout", "", "`SPLIT` kept for accepting a fix; check only makes sure that it does not overlap --val"),
		stringFlag(categoryData, "train", "", "`SPLIT` that a fix trains on; check only makes sure that it does not overlap --val"),
		intFlag(categoryData, "samples", 0, "use `N` examples, evenly spaced in order of class (default: all)"),
		stringFlag(categoryData, "preprocess", "", "preprocessing `NAME|FILE`: a preset, or a preprocessor_config.json (default: found beside the model, else detected)"),
		stringFlag(categoryData, "labels", "", "`FILE` with the model's class names, one a line, to match with the data's (default: id2label of a config.json beside the model)"),
	}
}

// validation is the set V of a diagnosis and how its images are prepared.
type validation struct {
	source     string
	set        dataset.Set
	preprocess dataset.Preprocess
	detected   bool
}

// openValidation finds the data and draws V from it.
func openValidation(c *cli.Context, modelPath string, n *graph.Network) (*validation, error) {
	source, err := openSource(c, n)
	if err != nil {
		return nil, err
	}
	set, err := drawValidation(c, source)
	if err != nil {
		return nil, err
	}
	if set, err = matchClasses(c, modelPath, set, n); err != nil {
		return nil, err
	}
	if err := dataset.CheckLabels(set, n.Classes); err != nil {
		return nil, err
	}
	if k := c.Int("samples"); k > 0 && k < set.Len() {
		set = dataset.Subset(set, fmt.Sprintf("%d of %s", k, set.Name()), dataset.Sample(dataset.Labels(set), k))
	}
	return &validation{source: source.Name(), set: set}, nil
}

func openSource(c *cli.Context, n *graph.Network) (dataset.Source, error) {
	path := c.String("data")
	switch {
	case path == "" && n.Classes == 100:
		return cifar.Sample(), nil
	case path == "":
		return nil, usage("no data: the model has %d classes, and the built-in sample has 100", n.Classes).
			withHint("give validation images: modeldoctor check --data FOLDER --val 'val[:1000]' MODEL")
	case cifar.Detect(path):
		return cifar.Open(path)
	}
	return dataset.Open(path)
}

// drawValidation applies --val, or takes one half of the test split. Splits
// that are named for later use must not overlap it.
func drawValidation(c *cli.Context, source dataset.Source) (dataset.Set, error) {
	expression := c.String("val")
	if expression == "" {
		for _, name := range source.Splits() {
			if name == dataset.Holdout { // validation and hold-out are apart already
				return source.Split(dataset.Validation)
			}
		}
		set, _, err := dataset.Divide(source)
		return set, err
	}
	slice, err := dataset.ParseSlice(expression)
	if err != nil {
		return nil, usage("--val: %v", err)
	}
	parts := []dataset.Slice{slice}
	for _, flag := range []string{"holdout", "train"} {
		if c.String(flag) == "" {
			continue
		}
		other, err := dataset.ParseSlice(c.String(flag))
		if err != nil {
			return nil, usage("--%s: %v", flag, err)
		}
		parts = append(parts, other)
	}
	if err := dataset.Disjoint(source, parts...); err != nil {
		return nil, err
	}
	return slice.Apply(source)
}

// matchClasses brings the data's labels into the order of the model's outputs
// where both sides have class names.
func matchClasses(c *cli.Context, modelPath string, set dataset.Set, n *graph.Network) (dataset.Set, error) {
	var names []string
	var err error
	if path := c.String("labels"); path != "" {
		names, err = dataset.ReadLabels(path)
	} else {
		names, err = dataset.FindClassNames(modelPath)
	}
	if err != nil {
		return nil, err
	}
	if names != nil && len(names) != n.Classes {
		return nil, &dataset.Error{Path: c.String("labels"), Msg: fmt.Sprintf("%d class names for a model of %d classes", len(names), n.Classes), Hint: "give one name per output of the model"}
	}
	if names == nil || set.Classes() == nil {
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
func (v *validation) choosePreprocess(ctx context.Context, c *cli.Context, modelPath string, n *graph.Network, r *graph.Runner) error {
	var found *dataset.Preprocess
	var err error
	if given := c.String("preprocess"); given != "" {
		found, err = dataset.LoadPreprocess(given)
	} else {
		found, err = dataset.FindPreprocess(modelPath)
	}
	if err != nil {
		return err
	}
	if found != nil {
		v.preprocess, err = found.ForInput(n.Input.Height, n.Input.Width)
		return err
	}
	some := dataset.Subset(v.set, v.set.Name(), dataset.Sample(dataset.Labels(v.set), detectionExamples))
	var candidates []diag.Candidate
	presets := map[string]dataset.Preprocess{}
	for _, p := range dataset.Presets() {
		p, err := p.ForInput(n.Input.Height, n.Input.Width)
		if err != nil {
			return err
		}
		presets[p.Name] = p
		candidates = append(candidates, diag.Candidate{Name: p.Name, Examples: newExamples(some, p, n)})
	}
	scores, err := diag.Detect(ctx, r, candidates)
	var chance *diag.ChanceError
	if errors.As(err, &chance) {
		return &unreadable{err, "name the preprocessing with --preprocess, and make sure that the data's classes are the model's (--labels)"}
	}
	if err != nil {
		return err
	}
	v.detected = true
	v.preprocess = presets[scores[0].Name]
	v.preprocess.Source = fmt.Sprintf("detected on %d images: loss %s, next best %s with %s", some.Len(), lossText(scores[0]), scores[1].Name, lossText(scores[1]))
	return nil
}

func lossText(s diag.Score) string {
	if s.Loss == nil {
		return "not finite"
	}
	return fmt.Sprintf("%.3f", *s.Loss)
}

func (v *validation) examples(n *graph.Network) diag.Examples {
	return newExamples(v.set, v.preprocess, n)
}

func (v *validation) describe() report.Data {
	return report.Data{
		Name: v.source, Val: v.set.Name(), ValN: v.set.Len(),
		Preprocess: report.Preprocess{Name: v.preprocess.Name, Source: v.preprocess.Source, Mean: v.preprocess.Mean, Std: v.preprocess.Std, Size: v.preprocess.Size},
	}
}

// examples gives a labelled set in the layout of a network's input.
type examples struct {
	set        dataset.Set
	preprocess dataset.Preprocess
	input      graph.InputSpec
	planes     []float32 // one image as channels, rows, columns
}

var _ diag.Examples = (*examples)(nil)

func newExamples(set dataset.Set, p dataset.Preprocess, n *graph.Network) *examples {
	return &examples{set: set, preprocess: p, input: n.Input, planes: make([]float32, 3*n.Input.Height*n.Input.Width)}
}

func (e *examples) Len() int        { return e.set.Len() }
func (e *examples) Label(i int) int { return e.set.Label(i) }

// Read prepares one image.
func (e *examples) Read(i int, dst []float32) error {
	img, err := e.set.Image(i)
	if err != nil {
		return err
	}
	if e.input.Layout == graph.NCHW && e.input.Channels == 3 {
		return e.apply(i, img, dst)
	}
	if err := e.apply(i, img, e.planes); err != nil {
		return err
	}
	pixels := e.input.Height * e.input.Width
	if e.input.Channels == 1 { // a grey model sees the mean of the three planes
		for p := range pixels {
			dst[p] = (e.planes[p] + e.planes[pixels+p] + e.planes[2*pixels+p]) / 3
		}
		return nil
	}
	for p := range pixels {
		for ch := range 3 {
			dst[3*p+ch] = e.planes[ch*pixels+p]
		}
	}
	return nil
}

func (e *examples) apply(i int, img image.Image, dst []float32) error {
	if err := e.preprocess.Apply(img, dst); err != nil {
		return fmt.Errorf("%s: %w", dataset.Where(e.set, i), err)
	}
	return nil
}
