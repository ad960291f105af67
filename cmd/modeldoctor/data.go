package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"strings"

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
		fileFlag(categoryData, "data", "PATH", "folder or archive of CIFAR-10 or CIFAR-100, or folder of class folders; by default, for a model of 100 classes, the built-in CIFAR-100 sample"),
		stringFlag(categoryData, "val", "SPLIT", "", "split to diagnose on, or a part of it: test, test[:1000], val[10%:20%]; by default one half of test or validation"),
		stringFlag(categoryData, "holdout", "SPLIT", "", "part kept for accepting a fix; check makes sure that --val does not overlap it"),
		stringFlag(categoryData, "train", "SPLIT", "", "part that a fix trains on; check makes sure that --val does not overlap it"),
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

// validation is the set V of a diagnosis and how its images are prepared.
type validation struct {
	source     string
	set        dataset.Set
	preprocess dataset.Preprocess
	detected   bool
}

// openValidation finds the data and draws V from it.
func openValidation(c *cli.Context, modelPath string, n *graph.Network) (*validation, error) {
	source, err := openSource(c, modelPath, n)
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
		set = dataset.Subset(set, "sample of "+set.Name(), dataset.Sample(dataset.Labels(set), k))
	}
	return &validation{source: source.Name(), set: set}, nil
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

// drawValidation applies --val, or takes one half of the test split. Splits
// that are named for later use must not overlap it.
func drawValidation(c *cli.Context, source dataset.Source) (dataset.Set, error) {
	if c.String("val") == "" {
		for _, flag := range []string{"holdout", "train"} {
			if c.String(flag) != "" {
				return nil, usage("--%s is given without --val", flag).withHint("name the part to diagnose on, too: --val 'test[:1000]'")
			}
		}
		for _, name := range source.Splits() {
			if name == dataset.Holdout { // validation and hold-out are apart already
				return source.Split(dataset.Validation)
			}
		}
		set, _, err := dataset.Divide(source)
		return set, err
	}
	var parts []dataset.Slice
	for _, flag := range []string{"val", "holdout", "train"} {
		if c.String(flag) == "" {
			continue
		}
		part, err := dataset.ParseSlice(c.String(flag))
		if err != nil {
			return nil, usage("--%s: %v", flag, err).withHint("%s", hintOf(err))
		}
		parts = append(parts, part)
	}
	if err := dataset.Disjoint(source, parts...); err != nil {
		return nil, err
	}
	return parts[0].Apply(source)
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
func (v *validation) choosePreprocess(ctx context.Context, c *cli.Context, modelPath string, n *graph.Network, r *graph.Runner, report func(phase string, done, total int)) error {
	where, find := c.String("preprocess"), dataset.LoadPreprocess
	if where == "" {
		where, find = modelPath, dataset.FindPreprocess
	}
	found, err := find(where)
	if err != nil {
		return err
	}
	if found != nil {
		v.preprocess, err = found.ForInput(n.Input.Height, n.Input.Width)
		return err
	}
	return v.detectPreprocess(ctx, n, r, report)
}

// detectPreprocess takes the preset with the lowest loss on some of the images.
func (v *validation) detectPreprocess(ctx context.Context, n *graph.Network, r *graph.Runner, report func(phase string, done, total int)) error {
	some := dataset.Subset(v.set, v.set.Name(), dataset.Sample(dataset.Labels(v.set), detectionExamples))
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
	read       func()    // called before an image is read; may be nil
}

var _ diag.Examples = (*examples)(nil)

func newExamples(set dataset.Set, p dataset.Preprocess, n *graph.Network) *examples {
	return &examples{set: set, preprocess: p, input: n.Input, planes: make([]float32, 3*n.Input.Height*n.Input.Width)}
}

func (e *examples) Len() int        { return e.set.Len() }
func (e *examples) Label(i int) int { return e.set.Label(i) }

// Read prepares one image.
func (e *examples) Read(i int, dst []float32) error {
	if e.read != nil {
		e.read()
	}
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
