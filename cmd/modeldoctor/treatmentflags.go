package main

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/urfave/cli/v2"
)

// treatmentFlags say what is done to which layers.
func treatmentFlags() []cli.Flag {
	standard := pol.DefaultOptions(pol.Recipe{})
	// Without a variable: the tests' MODELDOCTOR_SHARED is something else.
	shared := &cli.StringFlag{Name: "shared", Usage: "`HOW` what to do where a trained weight serves other layers, too: update all of them, or untie them by giving the trained layer a copy; by default that is refused", Category: categoryMethod}
	return []cli.Flag{
		stringFlag(categoryMethod, "goal", "WHAT", pol.LowerLoss.String(), "what is to fall: loss or error. It chooses the epoch that is kept, and what hold-out images have to show; fix --goal error trains all layers (--recipe sgd) unless --recipe, --perturb or --search-layers says otherwise"),
		listFlag(categoryMethod, "perturb", "LAYER", nil, "layers to perturb, several separated by commas; or kappa, the layer where κ is largest, as PoL was published; or auto, the recipe's choice, as by default: the classifier, for pol a little; or norms, the scales and shifts of all normalisations. A bare name is a block, else a module, else a tensor; block:, module: or tensor: in front decide"),
		listFlag(categoryMethod, "update", "LAYER", nil, "layers to train, likewise"),
		stringFlag(categoryMethod, "granularity", "KIND", "block", "what a diagnosis chooses among: block, module or tensor"),
		fileFlag(categoryMethod, "from", "REPORT", "choose the layers by this report, which `modeldoctor check --format json` has made of the same model and images; by default they are diagnosed first"),
		shared,
		boolFlag(categoryMethod, "dequantize", "store treated weights that are quantised (DequantizeLinear of integers) as floating-point numbers; by default they stay on their grid"),
		calibrationFlag("it is folded into the classifier at the end"),
		boolFlag(categoryMethod, "drop-shared", "leave hold-out images out that are among the training or validation images, too; by default they stop the treatment before it begins"),
		&cli.Uint64Flag{Name: "seed", Usage: "`N` chooses batches, perturbations and views", EnvVars: env("seed"), Category: categoryMethod},

		intFlag(categoryTraining, "epochs", "N", "passes over the training images, by default 3 for pol and 2 for the others"),
		countFlag("batch", "N", standard.Batch, "images of one update"),
		countFlag("perturb-batch", "N", standard.PerturbBatch, "images that a perturbation is chosen on"),
		&cli.Float64Flag{Name: "lr", Usage: "`RATE` learning rate, by default chosen by trial runs and halved where a step or an epoch does harm", EnvVars: env("lr"), Category: categoryTraining},
		floatFlag("lr-factor", "FACTOR", standard.RateFactor, "what a learning rate that trial runs choose is multiplied by; they go by the validation loss after a few steps"),
		floatFlag("momentum", "SHARE", standard.Momentum, "Nesterov momentum, from 0 to less than 1"),
		floatFlag("weight-decay", "RATE", standard.WeightDecay, "weight decay, of the trained layers only"),
		stringFlag(categoryTraining, "schedule", "KIND", string(standard.Schedule), "course of the learning rate: cosine (to zero) or constant"),
		stringFlag(categoryTraining, "loss", "LOSS", standard.Loss.String(), "what the updates lower: ce (cross-entropy), smooth:0.3 (label smoothing), focal:2, margin, or soft01:0.5 (half cross-entropy, half the probability of a wrong answer); everything is judged by cross-entropy"),
		&cli.Float64Flag{Name: "mix", Usage: "`ALPHA` blend the images of an update with each other where they enter the trained layers (mixup), by shares from Beta(α, α); 0.2 to 1 are usual, by default they are as they are", EnvVars: env("mix"), Category: categoryTraining},
		&cli.Float64Flag{Name: "gamma-max", Usage: fmt.Sprintf("`FACTOR` largest perturbation, as a multiple of the best step along its gradient, by default %v, and %v where pol perturbs the classifier by --perturb auto", pol.DefaultGammaMax, pol.ClassifierGammaMax), EnvVars: env("gamma-max"), Category: categoryTraining},
		floatFlag("rho", "LENGTH", standard.Rho, "length of sam's perturbation"),
		countFlag("perturb-every", "N", standard.PerturbEvery, "steps for which the best step along the perturbation's gradient is kept"),
		stringFlag(categoryTraining, "augment", "KIND", "none", "how training images are varied: none or flip-crop"),
		intFlag(categoryTraining, "views", "N", "variants of each image with --augment, by default 8"),
	}
}

// cacheFlags bound what a treatment keeps.
func cacheFlags() []cli.Flag {
	return []cli.Flag{
		memoryFlag("about how much the program may take, besides the pages of the model's file; what does not fit goes to a temporary file"),
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

// treatmentOptions are the flags that fix and compare have in common.
type treatmentOptions struct {
	path  string
	model graph.Options
	data  dataOptions
	run   runOptions

	recipe          pol.Recipe
	perturb, update []string          // layers by name; none: the choice of recipe
	granularity     graph.Granularity // of what a diagnosis chooses among
	from            string            // report to choose by; empty: diagnose
	shared          sharing
	dequantize      bool
	dropShared      bool
	mustCalibrate   bool // a temperature was asked for by name

	training   pol.Options // the hyperparameters
	augment    string
	views      int
	minHoldout int // hold-out images without which the work is not begun
}

// trains reports whether training images are needed.
func (o *treatmentOptions) trains() bool { return o.recipe.Update != pol.NoLayers }

// diagnoses reports whether the choice of layers rests on a diagnosis.
func (o *treatmentOptions) diagnoses() bool {
	return len(o.perturb) == 0 && o.recipe.Perturb.NeedsDiagnosis() || len(o.update) == 0 && o.recipe.Update.NeedsDiagnosis()
}

// readTreatmentOptions reads the flags for one recipe.
func readTreatmentOptions(c *cli.Context, path string, recipe pol.Recipe) (treatmentOptions, error) {
	granularity, err1 := oneOf(c, "granularity")
	schedule, err2 := oneOf(c, "schedule")
	augment, err3 := oneOf(c, "augment")
	loss, err5 := metric.ParseLoss(c.String("loss"))
	if err5 != nil {
		err5 = usage("--loss: %v", err5)
	}
	run, err6 := readRunOptions(c)
	temperature, err7 := readCalibration(c)
	goal, err8 := pol.ParseGoal(c.String("goal"))
	if err8 != nil {
		err8 = usage("--goal: %v", err8)
	}
	if err := cmp.Or(err1, err2, err3, err5, checkTrainingNumbers(c), err6, err7, err8); err != nil {
		return treatmentOptions{}, err
	}
	if recipe.Name == pol.RecipeTemperature && temperature == 1 {
		temperature = 0 // what stands in a file or a variable is for other recipes
		if onCommandLine(c, "calibration") {
			return treatmentOptions{}, usage("--calibration: %s leaves nothing of the recipe %s, which is a temperature", c.String("calibration"), recipe.Name).withHint("leave one of the two out, or give the temperature: --calibration 2.5")
		}
	}
	opt := treatmentOptions{
		path: path, run: run,
		recipe: recipe, perturb: c.StringSlice("perturb"), update: c.StringSlice("update"),
		granularity: graph.Granularity(granularity), from: c.String("from"),
		shared: sharing(c.String("shared")), dequantize: c.Bool("dequantize"), dropShared: c.Bool("drop-shared"),
		mustCalibrate: c.IsSet("calibration") || recipe.Name == pol.RecipeTemperature,
		augment:       augment, views: 1,
		training: pol.Options{
			Epochs: cmp.Or(c.Int("epochs"), recipe.Epochs), Batch: c.Int("batch"), PerturbBatch: c.Int("perturb-batch"),
			Rate: c.Float64("lr"), RateFactor: c.Float64("lr-factor"), Momentum: c.Float64("momentum"), WeightDecay: c.Float64("weight-decay"),
			Schedule: pol.Schedule(schedule), Goal: goal, Loss: loss, Mix: c.Float64("mix"), Rho: c.Float64("rho"),
			PerturbEvery: c.Int("perturb-every"), Seed: c.Uint64("seed"), Temperature: temperature,
			NoCache: c.Bool("no-cache"), Memory: run.memory,
		},
	}
	switch {
	case opt.shared != refuseShared && opt.shared != updateShared && opt.shared != untieShared:
		return opt, usage("--shared: %q is neither update nor untie", opt.shared)
	case recipe.Rule == pol.Unperturbed && len(opt.perturb) > 0:
		return opt, usage("--perturb: recipe %s perturbs nothing", recipe.Name).withHint("leave it out, or choose --recipe pol")
	case recipe.Name == pol.RecipeTemperature && len(opt.update) > 0:
		return opt, usage("--update: recipe %s trains nothing", recipe.Name).withHint("leave it out, or choose another --recipe")
	case c.IsSet("lr") && c.IsSet("lr-factor"):
		return opt, usage("--lr-factor: the rate is given by --lr, and not chosen").withHint("leave out one of the two")
	case c.IsSet("mix") && opt.trains() && opt.training.Batch == 1:
		return opt, usage("--mix: an update of one image (--batch 1) has no other to blend it with").withHint("leave --mix out, or choose a larger --batch")
	case augment == "none" && c.Int("views") != 0:
		return opt, usage("--views: there are no views without --augment").withHint("--augment flip-crop")
	}
	opt.choosePerturbed(c.Float64("gamma-max"))
	if opt.from != "" && !opt.diagnoses() {
		opt.warnOfUnreadReport()
	}
	if augment != "none" {
		opt.views = cmp.Or(c.Int("views"), defaultViews)
	}
	opt.model, err1 = readModelOptions(c)
	opt.data, err2 = readTreatmentData(c)
	opt.model.Classes = classesIn(opt.data.path)
	return opt, cmp.Or(err1, err2)
}

// warnOfUnreadReport says that --from changes nothing here: commands that share their
// flags need not all have layers to choose.
func (o *treatmentOptions) warnOfUnreadReport() {
	o.run.console.warn("--from: %s is not read: the recipe or the other flags name the layers", o.from)
}

// choosePerturbed takes a value of --perturb that names a rule, in place of layers, as the
// recipe's choice, and sets the largest γ: the given one, if it is not 0, else that which
// goes with the choice.
func (o *treatmentOptions) choosePerturbed(gammaMax float64) {
	switch strings.Join(o.perturb, ",") {
	case "auto":
		o.perturb = nil
	case "kappa":
		o.recipe, o.perturb = o.recipe.Perturbing(pol.LargestKappa), nil
	}
	usual := pol.DefaultGammaMax
	if len(o.perturb) == 0 {
		usual = pol.DefaultOptions(o.recipe).GammaMax
	}
	o.training.GammaMax = cmp.Or(gammaMax, usual)
}

// checkTrainingNumbers returns what is wrong with the hyperparameters.
func checkTrainingNumbers(c *cli.Context) error {
	for _, name := range []string{"batch", "perturb-batch", "perturb-every"} {
		if n := c.Int(name); n < 1 {
			return usage("--%s: %d is less than 1", name, n)
		}
	}
	for _, name := range []string{"epochs", "views"} {
		if n := c.Int(name); n < 0 {
			return usage("--%s: %d is negative", name, n)
		}
	}
	if c.IsSet("epochs") && c.Int("epochs") == 0 {
		return usage("--epochs: 0 trains nothing").withHint("--recipe temperature trains nothing")
	}
	for _, name := range []string{"lr", "lr-factor", "mix", "gamma-max", "rho"} {
		if x := c.Float64(name); c.IsSet(name) && !(x > 0) || math.IsInf(x, 0) {
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
