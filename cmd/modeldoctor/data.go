package main

import (
	"cmp"
	"strings"

	"github.com/modeldoctor/modeldoctor/dataset"

	"github.com/urfave/cli/v2"
)

// dataFlags say which images are used and how they are prepared.
func dataFlags() []cli.Flag {
	return []cli.Flag{
		fileFlag(categoryData, "data", "PATH", "folder or archive of CIFAR-10 or CIFAR-100, folder of MNIST's IDX files, .npz of arrays, or folder of class folders, or a .zip of one; by default, for a model of 100 classes, the built-in CIFAR-100 sample"),
		stringFlag(categoryData, "val", "SPLIT", "", "split to diagnose on, or a part of it: test, test[:1000], val[10%:20%]; by default one half of test or validation. In a split that is sorted by class, as folders are, each part has the classes in about the same shares"),
		stringFlag(categoryData, "holdout", "SPLIT", "", "part that decides whether a treatment is accepted; by default the other half"),
		stringFlag(categoryData, "train", "SPLIT", "", "part that a treatment trains on, by default the training split; check tells with as many of its images as it diagnoses on whether a layer is over-fitted or under-trained. The three parts must not overlap"),
		intFlag(categoryData, "samples", "N", "use only N images of each part (validation, hold-out, training), evenly spaced in order of class"),
		boolFlag(categoryData, "skip-bad-images", "leave out images that cannot be read; the report says how many"),
		boolFlag(categoryData, "exif", "turn images as their EXIF orientation says; by default they are used as they are stored, as torchvision does"),
		fileFlag(categoryData, "preprocess", "NAME|FILE", "preprocessing: "+strings.Join(presetNames(), ", ")+", or a preprocessor_config.json; by default found beside the model, else detected"),
		stringFlag(categoryData, "channels", "ORDER", "", "order of the colours in the model's input, rgb or bgr; by default as the preprocessing says, else rgb. The mean and deviation of a file are listed in that order, those of a preset are of colours"),
		fileFlag(categoryData, "labels", "FILE", "names of the model's classes, to match with the data's: one a line, lines of WordNet id and names, or JSON (a list, or an object by number); by default those of a config.json beside the model or of its metadata"),
		boolFlag(categoryData, "background", "the model's first output is a background class, which the data have not: class 0 of the data is output 1"),
	}
}

func presetNames() []string {
	var names []string
	for _, p := range dataset.Presets() {
		names = append(names, p.Name)
	}
	return names
}

// dataOptions are the flags of dataFlags.
type dataOptions struct {
	path                string         // folder or archive; empty: the built-in sample
	val, holdout, train *dataset.Slice // nil where it is not named
	samples             int            // of the validation images; 0: all
	preprocess          string         // preset or file; empty: found beside the model, else detected
	labels              string         // file of class names; empty: found beside the model
	background          bool           // the first output is none of the data's classes
	skipBad             bool           // leave out images that cannot be read
	exif                bool
	mustBeNamed         bool   // the preprocessing is not detected
	channels            string // rgb or bgr; empty: as the preprocessing says
}

// readDiagnosisData reads the flags of dataFlags where V is used, and T if it is
// named. A hold-out part that is named for later use is looked at, because V must
// not overlap it.
func readDiagnosisData(c *cli.Context) (dataOptions, error) {
	if c.String("val") == "" && c.String("holdout") != "" {
		return dataOptions{}, usage("--holdout is given without --val").withHint("name the part to diagnose on, too: --val 'test[:1000]'")
	}
	return readDataOptions(c)
}

// readTreatmentData reads the flags of dataFlags where V, H and T are used.
func readTreatmentData(c *cli.Context) (dataOptions, error) {
	opt, err := readDataOptions(c)
	if err != nil {
		return opt, err
	}
	if given, missing := "val", "holdout"; (opt.val == nil) != (opt.holdout == nil) {
		if opt.val == nil {
			given, missing = missing, given
		}
		return opt, usage("--%s is given without --%s", given, missing).
			withHint("a treatment is chosen on one part and accepted on another: --val 'test[:1000]' --holdout 'test[1000:3000]'")
	}
	return opt, nil
}

func readDataOptions(c *cli.Context) (dataOptions, error) {
	val, err1 := readPart(c, "val")
	holdout, err2 := readPart(c, "holdout")
	train, err3 := readPart(c, "train")
	var err4, err5 error
	if c.String("channels") != "" {
		_, err4 = oneOf(c, "channels")
	}
	if n := c.Int("samples"); c.IsSet("samples") && n < 1 {
		err5 = usage("--samples: %d is less than 1", n).withHint("without it all images are used")
	}
	return dataOptions{
		path: c.String("data"), val: val, holdout: holdout, train: train, samples: c.Int("samples"),
		preprocess: c.String("preprocess"), labels: c.String("labels"), background: c.Bool("background"),
		skipBad: c.Bool("skip-bad-images"), exif: c.Bool("exif"), channels: c.String("channels"),
	}, cmp.Or(err1, err2, err3, err4, err5)
}

// readPart reads a flag that names a split or a part of one; nil where it is not
// given.
func readPart(c *cli.Context, flag string) (*dataset.Slice, error) {
	if c.String(flag) == "" {
		return nil, nil
	}
	part, err := dataset.ParseSlice(c.String(flag))
	if err != nil {
		return nil, usage("--%s: %v", flag, err).withHint("%s", hintOf(err))
	}
	return &part, nil
}

// dataFiles are the paths that the flags of dataFlags name; some may be empty or
// no files.
func dataFiles(c *cli.Context) []string {
	return []string{c.String("data"), c.String("labels"), c.String("preprocess")}
}

// parts are those that are named.
func (o *dataOptions) parts() []dataset.Slice {
	var parts []dataset.Slice
	for _, part := range []*dataset.Slice{o.val, o.holdout, o.train} {
		if part != nil {
			parts = append(parts, *part)
		}
	}
	return parts
}
