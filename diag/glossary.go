package diag

import (
	"slices"
	"strings"
)

// A Term is a figure or a word of a report, with what a reader needs to judge it.
type Term struct {
	Name     string   // as a user asks for it
	Others   []string // further names, such as its symbol
	Title    string   // a few words
	Meaning  string   // what it is, in which unit
	Misleads string   // when not to believe it
	Remedy   string   // what to do with it
}

// Terms returns what the reports' figures and words mean, by name. The caller owns
// the slice.
func Terms() []Term {
	return []Term{
		{
			Name:   "agreement",
			Others: []string{"cosine"},
			Title:  "whether the halves of the images ask for the same move",
			Meaning: "The cosine between the gradients of a layer over the two halves of the images, from −1 to 1. " +
				"Near 0 the gradient is noise, whatever its length: then a move that lowers the loss of one half says nothing about the other.",
			Misleads: "Small layers agree more easily than large ones. Without calibration an over-confident model's gradients are dominated by few images, and agree less: " +
				"0.13 instead of 0.25 in the middle of the model of the quick start.",
			Remedy: "Where it is near 0, expect more images to move ΔL̂ towards 0 or to reveal it; believe no figure of such a layer yet.",
		},
		{
			Name:   "calibration",
			Others: []string{"ece", "calibration-error"},
			Title:  "whether the model is as sure as it is right",
			Meaning: "The expected calibration error (ECE): images are sorted by the confidence of the answer and dealt into 15 bins of equal size; " +
				"it is the mean distance between a bin's confidence and its share of right answers, from 0 to 1, of the logits as they came. " +
				"The option --calibration says what logits are divided by before layers are measured: fit (the temperature that fits best), none, or a number.",
			Misleads: "With a few hundred images even a perfectly calibrated model shows a few hundredths.",
			Remedy:   "See `modeldoctor explain temperature` for what one number mends of it.",
		},
		{
			Name:   "hold-out",
			Others: []string{"H", "holdout"},
			Title:  "the images that say what a treatment is worth",
			Meaning: "`fix` and `compare` use three parts that share no image: the training images are trained on, the validation images choose layers, temperature and epoch, and the hold-out images, " +
				"which nothing else has seen, decide whether the file is written. They are 500 at least.",
			Misleads: "They are a judge once. A treatment that is changed until the same hold-out images accept it has been fitted to them; the file's metadata remember which have judged, and the next `fix` says so.",
			Remedy:   "Keep a part of the labelled data for this, and another one for the last word.",
		},
		{
			Name:   "in-sample",
			Others: []string{"delta-loss", "ΔL", "in-sample-ΔL"},
			Title:  "ΔL, the loss that a layer's own move takes off the images that chose it",
			Meaning: "The layer alone is moved against its gradient until the loss stops falling; ΔL is by how much it has fallen, in nats per image. " +
				"Images, direction and length are the same, so it is what the layer could do at best along this path.",
			Misleads: "It is optimistic: a layer with many weights can memorise the images in one step. It is positive even where the move harms all other images.",
			Remedy:   "Rest no decision on it; ΔL̂ (`modeldoctor explain transfer`) is the honest figure. A large ΔL beside a ΔL̂ of 0 is memorising.",
		},
		{
			Name:   "interval",
			Others: []string{"95", "se"},
			Title:  "± half the width of a 95 % interval",
			Meaning: "The mean of the gains over images, 1.96 standard errors to either side. The standard error is the mean of those of the two halves, " +
				"which holds whatever their errors have in common. \"At least X (97.5 % one-sided)\" is its lower end. " +
				"\"All layers at once\" is wider (Bonferroni): all those intervals hold together with a probability of 95 %. Where no move has a length above 0 there is no interval.",
			Misleads: "It is about the moves that were found, on images drawn like these. Images that are not independent, such as frames of one video, make it too narrow.",
			Remedy:   "Four times the images halve it.",
		},
		{
			Name:   "kappa",
			Others: []string{"κ", "curvature"},
			Title:  "κ, the loss that a move takes off per squared distance",
			Meaning: "κ = ΔL/‖Δw‖²: where it is large, a small change of the layer's weights changes the loss much. For a quadratic loss it is half the curvature along the gradient. " +
				"`fix` by PoL perturbs the layer where it is largest. `--wide` also shows κ·‖w‖², which rescaling the layer's weights does not change.",
			Misleads: "κ changes with the scale of the weights and of the logits, so it compares layers of one model, not models. It rests on the in-sample ΔL, and has no interval.",
			Remedy:   "Use it to choose what is perturbed, never as a sign of health.",
		},
		{
			Name:   "loss",
			Others: []string{"nats"},
			Title:  "cross-entropy, in nats per image",
			Meaning: "The mean of −log of the probability that the model gives the right class. The first figure is of the logits as they came; " +
				"the second of the logits divided by the temperature, from which all moves of layers start.",
			Misleads: "A few confident mistakes can dominate it while the error is low. Wrong preprocessing or classes numbered otherwise raise it without any fault of the model.",
			Remedy:   "Compare it with ln(classes), the loss of an answer that favours no class: above that the model is over-confident, or the data do not match it.",
		},
		{
			Name:   "neck",
			Others: []string{"stage", "cut"},
			Title:  "a value that every path from the image to the class scores passes through",
			Meaning: "Necks are numbered from the image, which is neck 0, and what lies between two of them is a stage. What reaches a neck depends on no layer above it, " +
				"so it is computed once for all images and kept while the layers above are moved or trained. `fix` says at which neck it keeps the training images; `modeldoctor inspect` lists them all.",
			Misleads: "\"Cache at neck 0\" keeps the images themselves and saves nothing else: the lowest of the layers that are perturbed or trained lies at the bottom.",
			Remedy:   "Where a treatment is slow, see `--dry-run`: a perturbation or an update that begins at a higher neck costs less.",
		},
		{
			Name:   "race",
			Others: []string{"budget", "not-searched", "forecast", "plan"},
			Title:  "which layers are searched where there is no time for all",
			Meaning: "With --race K, or where --budget leaves no time for more, only the K layers that promise most are searched. What a layer promises is a forecast of ΔL̂, from the gradients of the four quarters of the images " +
				"and the loss of one quarter after two moves of the layer. The others are not searched, and undecided, so that such a report is never PASS. " +
				"The same images choose and measure, so verdicts on layers rest on the intervals that hold for all layers of the model at once; there is no MD001 at the level of a warning.",
			Misleads: "The intervals in the table are those of a layer alone, and too narrow for one that was chosen: in simulated races of 12 layers with nothing to gain, one in nine had one of 2 above the truth, and one in eighty of those that hold at once. " +
				"A layer that is not searched may hold as much as one that is: the forecast has no interval.",
			Remedy: "Give more time (--budget), or a larger K. The flags that the report names repeat it without a clock, on a machine of any speed.",
		},
		{
			Name:   "rejected-step",
			Others: []string{"rejected-steps", "rejected"},
			Title:  "a training step that was left out because its scan found no range",
			Meaning: "PoL and PoF look along a gradient for the best displacement (`modeldoctor explain scan`). Where the loss neither rises within 14 doublings of the step, nor falls within 14 halvings of one at which it rose, " +
				"there is no such displacement: the step updates nothing, and is counted in the column \"rejected steps\".",
			Misleads: "It is no fault by itself: along a flat gradient the loss may fall for ever. Many of them mean that the epoch has trained less than its number of steps says.",
			Remedy:   "If most steps are rejected, perturb another layer (--perturb), or use a larger --perturb-batch, whose gradient has less noise.",
		},
		{
			Name:  "scan",
			Title: "the search for the perturbation of one training step",
			Meaning: "On a batch of its own, PoL and PoF double the step along the perturbed layer's gradient until the loss rises, evaluate 16 equally spaced points up to there, and take the best, c*. " +
				"The layer is displaced by γ·c*, γ drawn uniformly from 0 to --gamma-max (0.25 where pol perturbs the classifier by --perturb auto, else 2 by default), while the gradient of the update is taken, and then put back.",
			Misleads: "A scan is some twenty evaluations of the loss, of all that lies above the perturbed layer: for a low layer most of a treatment's time, as the line \"cost\" of a report says.",
			Remedy:   "--perturb-every N uses one scan for N steps; perturbing a higher layer makes each cheaper.",
		},
		{
			Name:   "temperature",
			Others: []string{"t"},
			Title:  "the one number that logits are divided by",
			Meaning: "The temperature is fitted to all images, and the line temp. shows what it takes off: fitted on one half, measured on the other, with a 95 % interval. " +
				"Above 1 the model is over-confident, below 1 under-confident. Its share has the same three-valued verdict as a layer's gain (MD002), " +
				"and every layer is measured at that temperature, so that only what no single number repairs is seen in the table.",
			Misleads: "At an end of the range that is searched no temperature is best (all answers right, or none better than chance), and that is said instead of a number. " +
				"Images that are easier or harder than those of later use have another temperature.",
			Remedy: "`modeldoctor fix --recipe temperature` folds it into the classifier. `--calibration none` shows the layers' raw figures, `--calibration 2` those at 2.",
		},
		{
			Name:   "threshold",
			Others: []string{"limit", "over", "under"},
			Title:  "the gain that a verdict is about",
			Meaning: "A share of the loss that layers are measured at (--threshold, 1 % unless chosen otherwise). " +
				"A layer is over where the 95 % interval of ΔL̂ lies above it, under where it lies below and the images would have shown a gain that large, else undecided.",
			Misleads: "A model with a tiny loss has a tiny threshold: 1 % of 0.01 nats matters to nobody.",
			Remedy:   "Set it to what would be worth a treatment to you, before you look at the figures.",
		},
		{
			Name:   "training",
			Others: []string{"over-fitted", "under-trained", "train", "training-loss"},
			Title:  "what a layer's move does to the loss of training images",
			Meaning: "With --train, as many training images follow the layer's in-sample move, and the column shows by how much their loss changes (paired, 95 %). " +
				"A layer whose move helps unseen images and costs training loss is over-fitted (MD010); one whose move helps both is under-trained (MD011). " +
				"Where one of the two changes is not significant neither is said, and without --train neither ever is.",
			Misleads: "The images must be those that the model was trained on. They are seen without augmentation, and at the temperature fitted to the validation images, which may raise their loss. " +
				"The in-sample step is the longest that the layer asks for: where the slope (--wide, or JSON) is below 0 the move at first lowers the training loss, and what it costs in the end may be its length alone.",
			Remedy: "Over-fitted: more regularisation, or `fix` on that layer. Under-trained: train longer.",
		},
		{
			Name:   "transfer",
			Others: []string{"ΔL̂", "recoverable", "recoverable-loss", "gain"},
			Title:  "ΔL̂, the loss that moving a layer takes off images that chose nothing of the move",
			Meaning: "The images are dealt into two halves, each of two quarters. One half's gradient is the direction; a quarter of the other half chooses the length, which is capped at the in-sample step; " +
				"the remaining quarter is measured. So every image has one gain, from a move that it had no part in, and ΔL̂ is their mean, in nats per image. Verdicts rest on it.",
			Misleads: "It is what one step along the gradient recovers, neither a bound for the block's modules (see --granularity module) nor for a training. " +
				"The largest of many noisy figures is too large by about its error.",
			Remedy: "Read it with its interval, and the layers marked ◀ as one set. `modeldoctor fix` tries a treatment, and lets hold-out images say what it is worth.",
		},
		{
			Name:   "undecided",
			Others: []string{"images-needed"},
			Title:  "the images do not say on which side of the threshold a gain lies",
			Meaning: "The 95 % interval holds the threshold, or the gradients are so noisy that a gain as large as the threshold could have gone unseen; too few images never look like health. " +
				"Where the images support no verdict (fewer than 32, of one class only, or a model that does no better than guessing) everything is undecided. " +
				"The model is UNDECIDED if nothing fails and not everything is under. The images needed are those with which the interval would end at the threshold if the figure stays what it is: " +
				"errors shrink with the square root of the number.",
			Misleads: "The number is an estimate from a noisy figure, larger, or absent, the closer that is to the threshold. From few images it is far too low, because more images also find better moves: " +
				"the layers of the model of the quick start ask for 190 to 5,500 on 100 images, and for 2,000 to 26,000 on 1,000.",
			Remedy: "Give more images (--samples, --val), or choose a larger --threshold if less would not matter to you, but not to suit the figures. In CI `--on-undecided fail` makes it exit with status 1; " +
				"warn, the default, exits with 0 and says so; pass does without the hint. `--fail-on` is about rules, and does not change that, but for never, with which the exit status is never 1.",
		},
		{
			Name:   "verdict",
			Others: []string{"pass", "fail", "incomplete"},
			Title:  "PASS, FAIL or UNDECIDED",
			Meaning: "FAIL: a rule is breached at the level error, or at that of --fail-on: a layer or the temperature is over the threshold even when corrected for all layers of the model, or something is not finite. " +
				"PASS: every layer looked at and the temperature are under. UNDECIDED: neither. INCOMPLETE: the time limit came first (where a --budget is spent the verdict rests on what there is, and is never PASS). " +
				"With fewer than 32 images, one class only, or a model no better than guessing there is never a PASS. " +
				"A model that is right about every image does not FAIL by a layer or the temperature: only its confidence is at stake, and it is UNDECIDED if that is over.",
			Misleads: "PASS is about what one move of one layer recovers on these images; a model can be healthy by that and wrong for its use.",
			Remedy:   "The first line says what it rests on; `modeldoctor explain MD001` and the like say what to do about a rule. The exit status follows --fail-on and --on-undecided.",
		},
		{
			Name:   "worst",
			Others: []string{"set"},
			Title:  "the layers, marked ◀, that may hold the largest recoverable loss",
			Meaning: "The layer with the largest ΔL̂, and every layer whose ΔL̂ is not significantly smaller, by the paired difference of the gains of the same images (95 %). " +
				"Where one layer stands out it alone is marked. Where no ΔL̂ is above 0 the set is that of the largest all the same: noise may have hidden what there is.",
			Misleads: "A set of almost all layers says that these images cannot tell them apart, not that all are ill. The largest figure in it is too large by about its error.",
			Remedy:   "Use more images to make it smaller, or let `modeldoctor compare` treat several of its layers.",
		},
	}
}

// ExplainTerm returns the term with that name, in upper or lower case and with
// spaces or hyphens, and false if there is none.
func ExplainTerm(name string) (Term, bool) {
	name = strings.ReplaceAll(name, " ", "-")
	for _, t := range Terms() {
		if strings.EqualFold(t.Name, name) || slices.ContainsFunc(t.Others, func(other string) bool { return strings.EqualFold(other, name) }) {
			return t, true
		}
	}
	return Term{}, false
}
