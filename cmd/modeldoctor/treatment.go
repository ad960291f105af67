package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// treatmentFlags say what is done to which layers.
func treatmentFlags() []cli.Flag {
	standard := pol.DefaultOptions(pol.Recipe{})
	// Without a variable: the tests' MODELDOCTOR_SHARED is something else.
	shared := &cli.StringFlag{Name: "shared", Usage: "`HOW` what to do where a trained weight serves other layers, too: update all of them, or untie them by giving the trained layer a copy; by default that is refused", Category: categoryMethod}
	return []cli.Flag{
		listFlag(categoryMethod, "perturb", "LAYER", nil, "layers to perturb, several separated by commas; by default the recipe's choice. A bare name is a block, else a module, else a tensor; block:, module: or tensor: in front decide"),
		listFlag(categoryMethod, "update", "LAYER", nil, "layers to train, likewise"),
		stringFlag(categoryMethod, "granularity", "KIND", "block", "what a diagnosis chooses among: block, module or tensor"),
		fileFlag(categoryMethod, "from", "REPORT", "choose the layers by this report, which `modeldoctor check --format json` has made of the same model and images; by default they are diagnosed first"),
		shared,
		boolFlag(categoryMethod, "dequantize", "store treated weights that are quantised (DequantizeLinear of integers) as floating-point numbers; by default they stay on their grid"),
		boolFlag(categoryMethod, "calibrated", "train against logits divided by the temperature that fits best, and fold that into the classifier"),
		&cli.Uint64Flag{Name: "seed", Usage: "`N` chooses batches, perturbations and views", EnvVars: env("seed"), Category: categoryMethod},

		intFlag(categoryTraining, "epochs", "N", "passes over the training images, by default 3 for pol and 2 for the others"),
		countFlag("batch", "N", standard.Batch, "images of one update"),
		countFlag("perturb-batch", "N", standard.PerturbBatch, "images that a perturbation is chosen on"),
		floatFlag("lr", "RATE", standard.Rate, "learning rate"),
		floatFlag("momentum", "SHARE", standard.Momentum, "Nesterov momentum, from 0 to less than 1"),
		floatFlag("weight-decay", "RATE", standard.WeightDecay, "weight decay, of the trained layers only"),
		stringFlag(categoryTraining, "schedule", "KIND", string(standard.Schedule), "course of the learning rate: cosine (to zero) or constant"),
		stringFlag(categoryTraining, "loss", "LOSS", standard.Loss.String(), "what the updates lower: ce (cross-entropy), smooth:0.3 (label smoothing), focal:2 or margin; everything is judged by cross-entropy"),
		floatFlag("gamma-max", "FACTOR", standard.GammaMax, "largest perturbation, as a multiple of the best step along its gradient"),
		floatFlag("rho", "LENGTH", standard.Rho, "length of sam's perturbation"),
		countFlag("perturb-every", "N", standard.PerturbEvery, "steps for which the best step along the perturbation's gradient is kept"),
		stringFlag(categoryTraining, "augment", "KIND", "none", "how training images are varied: none or flip-crop"),
		intFlag(categoryTraining, "views", "N", "variants of each image with --augment, by default 8"),
	}
}

// cacheFlags bound what a treatment keeps.
func cacheFlags() []cli.Flag {
	return []cli.Flag{
		memoryFlag("about how much activations may take; what does not fit goes to a temporary file"),
		boolFlag(categoryRun, "no-cache", "compute the activations below the treated layers at each use; the result is the same, bit for bit"),
	}
}

func floatFlag(name, placeholder string, value float64, help string) *cli.Float64Flag {
	return &cli.Float64Flag{Name: name, Value: value, Usage: "`" + placeholder + "` " + help, EnvVars: env(name), Category: categoryTraining}
}

// countFlag is a whole number that is at least 1.
func countFlag(name, placeholder string, value int, help string) *cli.IntFlag {
	return &cli.IntFlag{Name: name, Value: value, Usage: "`" + placeholder + "` " + help, EnvVars: env(name), Category: categoryTraining}
}

// defaultViews is how many variants of an image --augment makes.
const defaultViews = 8

// settings are the flags of a treatment that can be wrong by themselves; they
// are read before any file is opened.
type settings struct {
	recipe          pol.Recipe
	options         pol.Options
	granularity     graph.Granularity
	perturb, update []string
	from            string
	dequantize      bool
	augment         string
	views           int
}

// trains reports whether training images are needed.
func (s *settings) trains() bool { return s.recipe.Update != pol.NoLayers }

// readSettings reads the flags for one recipe.
func readSettings(c *cli.Context, recipe pol.Recipe) (settings, error) {
	granularity, err1 := oneOf(c, "granularity", "block", "module", "tensor")
	schedule, err2 := oneOf(c, "schedule", string(pol.Cosine), string(pol.Constant))
	augment, err3 := oneOf(c, "augment", "none", "flip-crop")
	memory, err4 := parseBytes(c.String("memory"))
	loss, err5 := metric.ParseLoss(c.String("loss"))
	if err5 != nil {
		err5 = usage("--loss: %v", err5)
	}
	if err := cmp.Or(err1, err2, err3, err4, err5, checkTrainingNumbers(c), checkRunFlags(c)); err != nil {
		return settings{}, err
	}
	s := settings{
		recipe: recipe, granularity: graph.Granularity(granularity),
		perturb: c.StringSlice("perturb"), update: c.StringSlice("update"), from: c.String("from"), dequantize: c.Bool("dequantize"),
		augment: augment, views: 1,
		options: pol.Options{
			Epochs: cmp.Or(c.Int("epochs"), recipe.Epochs), Batch: c.Int("batch"), PerturbBatch: c.Int("perturb-batch"),
			Rate: c.Float64("lr"), Momentum: c.Float64("momentum"), WeightDecay: c.Float64("weight-decay"),
			Schedule: pol.Schedule(schedule), Loss: loss, GammaMax: c.Float64("gamma-max"), Rho: c.Float64("rho"),
			PerturbEvery: c.Int("perturb-every"), Seed: c.Uint64("seed"),
			Calibrated: c.Bool("calibrated") || recipe.Name == pol.RecipeTemperature,
			NoCache:    c.Bool("no-cache"), Memory: memory,
		},
	}
	switch shared := c.String("shared"); {
	case shared != "" && shared != "update" && shared != "untie":
		return settings{}, usage("--shared: %q is neither update nor untie", shared)
	case recipe.Rule == pol.Unperturbed && len(s.perturb) > 0:
		return settings{}, usage("--perturb: recipe %s perturbs nothing", recipe.Name).withHint("leave it out, or choose --recipe pol")
	case recipe.Name == pol.RecipeTemperature && len(s.update) > 0:
		return settings{}, usage("--update: recipe %s trains nothing", recipe.Name).withHint("leave it out, or choose another --recipe")
	case augment == "none" && c.Int("views") != 0:
		return settings{}, usage("--views: there are no views without --augment").withHint("--augment flip-crop")
	case augment != "none":
		s.views = cmp.Or(c.Int("views"), defaultViews)
	}
	return s, nil
}

// checkTrainingNumbers returns what is wrong with the hyperparameters.
func checkTrainingNumbers(c *cli.Context) error {
	for _, name := range []string{"batch", "perturb-batch", "perturb-every"} {
		if n := c.Int(name); n < 1 {
			return usage("--%s: %d is less than 1", name, n)
		}
	}
	for _, name := range []string{"epochs", "views", "samples"} {
		if n := c.Int(name); n < 0 {
			return usage("--%s: %d is negative", name, n)
		}
	}
	if c.IsSet("epochs") && c.Int("epochs") == 0 {
		return usage("--epochs: 0 trains nothing").withHint("--recipe temperature trains nothing")
	}
	for _, name := range []string{"lr", "gamma-max", "rho"} {
		if x := c.Float64(name); !(x > 0) || math.IsInf(x, 0) {
			return usage("--%s: %v is not a positive number", name, x)
		}
	}
	if x := c.Float64("momentum"); !(x >= 0 && x < 1) {
		return usage("--momentum: %v is not from 0 to less than 1", x)
	}
	if x := c.Float64("weight-decay"); !(x >= 0) || math.IsInf(x, 0) {
		return usage("--weight-decay: %v is not a number of 0 or more", x)
	}
	return nil
}

// treatment is a model with the images and the plan to treat it by.
type treatment struct {
	settings
	path     string
	original *onnx.Model // the file
	model    *onnx.Model // what is treated: the file, or a version with untied weights
	network  *graph.Network
	runner   *graph.Runner
	images   *images

	train, validation, holdout *examples

	plan     pol.Plan
	chosenBy string                         // as report.Recipe has it
	figures  map[string]report.TreatedLayer // of the layers that a diagnosis knows, by name
}

// openTreatment opens the model and the data.
func openTreatment(ctx context.Context, c *cli.Context, path string, s settings, bar *progress) (t *treatment, err error) {
	t = &treatment{settings: s, path: path, figures: map[string]report.TreatedLayer{}}
	opened := t // what a failure returns is nil
	if t.original, t.network, err = openNetwork(c, path); err != nil {
		return nil, err
	}
	t.model = t.original
	defer func() {
		if err != nil {
			opened.close()
		}
	}()
	if err := t.network.CheckFinite(); err != nil {
		return nil, err
	}
	if t.images, err = openTreatmentImages(c, path, t.network, s.trains()); err != nil {
		return nil, err
	}
	t.runner = graph.NewRunner(t.network, graph.RunnerOptions{Threads: c.Int("threads")})
	if err := t.images.choosePreprocess(ctx, c, path, t.network, t.runner, bar.update); err != nil {
		return nil, err
	}
	bar.finish()
	t.validation = newExamples(t.images.validation, t.images.preprocess, t.network)
	t.holdout = newExamples(t.images.holdout, t.images.preprocess, t.network)
	if s.trains() {
		t.train = newExamples(t.images.train, t.images.preprocess, t.network)
		t.options.PerturbBatch = min(s.options.PerturbBatch, t.train.Len())
		if s.augment != "none" {
			t.train.augmented(s.views, s.options.Seed)
		}
	}
	if n := t.holdout.Len(); n < pol.MinHoldout && !c.Bool("force") {
		return nil, unreadable(fmt.Errorf("%d hold-out images are too few to decide anything, at least %d are needed", n, pol.MinHoldout), "give more with --holdout")
	}
	data := t.data()
	return t, data.Check(t.runner, s.options.Batch, s.trains())
}

func (t *treatment) close() {
	if t.model != t.original {
		_ = t.model.Close() // it lies in memory
	}
	_ = t.original.Close() // it was only read
}

// choose finds the layers: those that are named, and the recipe's choice for
// the rest, by a report or a diagnosis where it rests on one.
func (t *treatment) choose(ctx context.Context, bar *progress) error {
	t.plan.Recipe = t.recipe
	roles := []struct {
		flag   string
		named  []string
		choice pol.Choice
		layers *[]diag.Layer
	}{
		{"perturb", t.perturb, t.recipe.Perturb, &t.plan.Perturb},
		{"update", t.update, t.recipe.Update, &t.plan.Update},
	}
	var found *diag.Report
	for _, role := range roles {
		if len(role.named) > 0 || !role.choice.NeedsDiagnosis() || found != nil {
			continue
		}
		var err error
		if found, err = t.diagnosis(ctx, bar); err != nil {
			return err
		}
	}
	if t.from != "" && found == nil {
		return usage("--from: there is nothing to choose: the recipe or the other flags name the layers").withHint("leave it out")
	}
	for _, role := range roles {
		var err error
		if len(role.named) > 0 {
			*role.layers, err = t.named(role.flag, role.named)
		} else {
			*role.layers, err = t.chosen(role.flag, role.choice, found)
		}
		if err != nil {
			return err
		}
	}
	if len(t.plan.Update) == 0 && t.recipe.Update != pol.NoLayers {
		return unreadable(fmt.Errorf("recipe %s has no layer to train: the model has none but the head", t.recipe.Name), "name one with --update, or choose another --recipe")
	}
	return nil
}

// named finds the layers that a flag names, no weight in two of them.
func (t *treatment) named(flag string, names []string) ([]diag.Layer, error) {
	var layers []diag.Layer
	layerOf := map[int]string{}
	for _, name := range names {
		g, l, err := t.network.FindLayer(name)
		if err != nil {
			return nil, usage("--%s: %v", flag, err).withHint("`modeldoctor inspect %s` lists the layers", t.path)
		}
		for _, w := range l.Weights {
			if other, taken := layerOf[w]; taken {
				return nil, usage("--%s: %s and %s have weights in common", flag, other, name).withHint("name each layer once")
			}
			layerOf[w] = name
		}
		layers = append(layers, spelled(t.network, g, l))
	}
	return layers, nil
}

// chosen finds the layers of a recipe's choice.
func (t *treatment) chosen(flag string, choice pol.Choice, found *diag.Report) ([]diag.Layer, error) {
	granularity := graph.ByBlock
	if choice.NeedsDiagnosis() {
		granularity = t.granularity
	}
	layers := t.network.Layers(granularity)
	chosen, err := choice.Choose(diagLayers(layers), found)
	switch {
	case errors.Is(err, pol.ErrNothingToTreat):
		return nil, &failure{code: exitFailed, err: err, hint: "nothing was written; name a layer with --update to treat it all the same, or see what --recipe temperature does"}
	case err != nil:
		return nil, unreadable(err, "name one with --"+flag)
	}
	for i, l := range chosen {
		chosen[i] = spelled(t.network, granularity, layers[l.Index])
	}
	return chosen, nil
}

// spelled is a layer under a name that means it alone: the bare one where that
// is what it means, else with the granularity in front.
func spelled(n *graph.Network, g graph.Granularity, l graph.Layer) diag.Layer {
	named := diagLayers([]graph.Layer{l})[0]
	if bare, _, err := n.FindLayer(l.Name); err != nil || bare != g {
		named.Name = string(g) + ":" + l.Name
	}
	return named
}

// diagnosis reads the report that --from names, or diagnoses the layers.
func (t *treatment) diagnosis(ctx context.Context, bar *progress) (*diag.Report, error) {
	var found *diag.Report
	var err error
	if t.from != "" {
		t.chosenBy = t.from
		found, err = t.readReport(ctx)
	} else {
		t.chosenBy = report.ChosenByDiagnosis
		found, err = diag.Diagnose(ctx, t.runner, t.validation, diagLayers(t.network.Layers(t.granularity)), diag.Options{
			Calibrated: t.options.Calibrated, Memory: t.options.Memory, Progress: bar.update,
		})
		bar.finish()
	}
	if err != nil {
		return nil, err
	}
	layers := t.network.Layers(t.granularity)
	for _, l := range found.Layers {
		k := slices.IndexFunc(layers, func(m graph.Layer) bool { return m.Name == l.Name })
		if k < 0 {
			return nil, unreadable(fmt.Errorf("%s: the report has a layer %q, which the model has not", t.from, l.Name), "run `modeldoctor check` again, or leave --from out")
		}
		figures := report.TreatedLayer{Kappa: l.Kappa}
		if l.Transfer != nil {
			figures.DeltaLoss, figures.SE = &l.Transfer.Gain.Mean, &l.Transfer.Gain.SE
		}
		t.figures[spelled(t.network, t.granularity, layers[k]).Name] = figures
	}
	return found, nil
}

// readReport reads the report of an earlier check, which must be of this model
// and these images.
func (t *treatment) readReport(ctx context.Context) (*diag.Report, error) {
	f, err := os.Open(t.from)
	if err != nil {
		return nil, unreadable(err, "give a report that `modeldoctor check --format json=FILE` has written")
	}
	defer f.Close()
	read, err := report.ReadCheck(f)
	if err != nil {
		return nil, unreadable(fmt.Errorf("%s: %w", t.from, err), "give a report that `modeldoctor check --format json=FILE` has written")
	}
	other := func(what string) error {
		return unreadable(fmt.Errorf("%s: the report is about %s", t.from, what), "run `modeldoctor check --format json="+t.from+" "+t.path+"` again, or leave --from out")
	}
	model, err := t.original.SHA256()
	if err != nil {
		return nil, err
	}
	if read.Model.SHA256 != model {
		return nil, other("another model, " + read.Model.Path)
	}
	if !read.Complete {
		return nil, other("some of the layers only: the time limit came first")
	}
	data, err := t.validation.SHA256()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if read.Data.SHA256 != data {
		return nil, other("other images, or the same ones prepared otherwise")
	}
	if calibrated := read.Calibrated != nil; calibrated != t.options.Calibrated {
		return nil, other(map[bool]string{true: "the calibrated model; add --calibrated here, too", false: "the model as it is; it was made without --calibrated"}[calibrated])
	}
	t.granularity = graph.Granularity(read.Granularity)
	return read.Diagnosis(), nil
}

// data are the sets as a treatment takes them.
func (t *treatment) data() pol.Data {
	data := pol.Data{Views: t.views, Validation: t.validation, Holdout: t.holdout}
	if t.train != nil {
		data.Train = t.train
	}
	return data
}

// describe is what a report says of the plan.
func (t *treatment) describe(data report.TreatmentData) report.Recipe {
	layers := append(t.describeLayers(report.RolePerturb, t.plan.Perturb, len(t.perturb) > 0, t.recipe.Perturb),
		t.describeLayers(report.RoleUpdate, t.plan.Update, len(t.update) > 0, t.recipe.Update)...)
	return report.NewRecipe(t.recipe.Name, layers, t.chosenBy, t.options, data)
}

// describeLayers gives the layers the figure by which they were chosen.
func (t *treatment) describeLayers(role string, layers []diag.Layer, named bool, choice pol.Choice) []report.TreatedLayer {
	described := make([]report.TreatedLayer, len(layers))
	for i, l := range layers {
		described[i] = report.TreatedLayer{Name: l.Name, Role: role, Parameters: l.Parameters}
		if named {
			continue
		}
		switch figures := t.figures[l.Name]; choice {
		case pol.LargestKappa:
			described[i].Kappa = figures.Kappa
		case pol.LargestTransfer:
			described[i].DeltaLoss, described[i].SE = figures.DeltaLoss, figures.SE
		}
	}
	return described
}

func (t *treatment) describeData() report.TreatmentData {
	part := func(e *examples) report.Part {
		if e == nil {
			return report.Part{}
		}
		return report.Part{Name: e.set.Name(), N: e.set.Len()}
	}
	return report.TreatmentData{
		Name: t.images.source, Train: part(t.train), Validation: part(t.validation), Holdout: part(t.holdout),
		Augment: t.augment, Views: t.views, Preprocess: t.images.describePreprocess(),
	}
}

// prepareOptions completes the options once the plan is known.
func (t *treatment) prepareOptions(bar *progress) error {
	t.options.Progress = bar.update
	t.options.Stored = func(weight int, values []float32) ([]float32, error) {
		tensor := t.network.Weights[weight].Tensor
		if t.dequantize {
			return tensor.Dequantized(values)
		}
		return tensor.Rounded(values)
	}
	if !t.options.Calibrated {
		return nil
	}
	weights, err := t.network.LogitScale()
	if err != nil {
		return unreadable(fmt.Errorf("the temperature cannot be folded into the classifier: %w", err), "treat it without --calibrated")
	}
	t.options.Classifier = diag.Layer{Name: "classifier", Weights: weights, Neck: t.runner.Necks() - 2}
	for _, w := range weights {
		t.options.Classifier.Neck = min(t.options.Classifier.Neck, t.network.Weights[w].Neck)
	}
	return nil
}
