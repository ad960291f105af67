package diag

import "slices"

// A Rule is something that a diagnosis checks, with what a reader needs to
// judge a violation.
type Rule struct {
	ID     string  // stable, for example "MD001"
	Title  string  // a few words
	Levels []Level // the levels at which it is reported, most severe first
	// Threshold is the share from which the rule is breached unless a [RuleSetting]
	// has another; 0 where it has none.
	Threshold float64
	Meaning   string // what a violation says, and when it is reported
	Misleads  string // when not to believe it
	Remedy    string // what to do next
}

// The identifiers of the rules.
const (
	RuleRecoverableLoss   = "MD001"
	RuleTemperature       = "MD002"
	RuleChance            = "MD003"
	RuleCoverage          = "MD004"
	RuleNotMeasured       = "MD005"
	RuleFewExamples       = "MD006"
	RuleCalibrateFirst    = "MD007"
	RuleClasses           = "MD008"
	RuleGuessedPreprocess = "MD009"
	RuleOverFitted        = "MD010"
	RuleUnderTrained      = "MD011"
	RuleClassShares       = "MD012"
	RuleRegression        = "MD013"
	RuleHigherLoss        = "MD014" // or error
)

// Rules returns all rules, by ID. The caller owns the slice.
func Rules() []Rule {
	return []Rule{
		{
			ID:        RuleRecoverableLoss,
			Title:     "a layer holds loss that can be recovered",
			Levels:    []Level{LevelError, LevelWarning},
			Threshold: DefaultThreshold,
			Meaning: "Moving this one layer along its gradient, no further than its in-sample step, lowers the loss of examples that chose neither the direction nor the length of the move. " +
				"It is reported when the lower end of the 95 % interval of that gain (the transfer figure ΔL̂) exceeds the threshold, 1 % of the loss unless chosen otherwise: " +
				"as an error if it does even when corrected for all layers of the model (Bonferroni), whichever of them were looked at, as a warning if it does only without that correction. " +
				"Losses are taken at the best temperature, so it is nothing that a temperature could repair. " +
				"Where every answer is right only confidence is at stake, and it is a warning at most.",
			Misleads: "Without calibration (`--calibration none`, or where no temperature is best) an over-confident model gains from moving almost any layer, because that can shrink the logits: compare with MD002. " +
				"A block's figure is no bound for its modules: the direction is dominated by the tensor with the largest gradient (`--direction balanced` is not). " +
				"The largest of many noisy figures is too large by about its error. " +
				"Examples that are not independent, such as frames of one video, make intervals too narrow, and wrong preprocessing makes every layer look ill.",
			Remedy: "Look at the agreement of the halves and at the worst set (◀) first: where several layers are marked, these images do not say which is the worst. " +
				"With `--train` the report says whether the layer is over-fitted or under-trained. `modeldoctor fix` trains one layer alone for a few epochs from the checkpoint, and accepts the result only if the loss on held-out images falls significantly.",
		},
		{
			ID:        RuleTemperature,
			Title:     "one temperature recovers loss",
			Levels:    []Level{LevelError, LevelWarning},
			Threshold: DefaultThreshold,
			Meaning: "Dividing all logits by one number, fitted on one half of the examples and measured on the other, lowers the loss. " +
				"It is reported when the lower end of the 95 % interval of the drop exceeds the threshold (1 % of the loss unless chosen otherwise): " +
				"as an error if it does even when corrected as the layers' intervals are (Bonferroni), as a warning if it does only without that. " +
				"A temperature above 1 means that the model is over-confident. No answer changes, so the error stays what it is. " +
				"Where the loss falls to an end of the range that is searched no temperature is best: that is said, and is a warning at most (as it is where every answer is right, and only confidence at stake), " +
				"and the layers are measured with the logits as they are, so that part of what they seem to hold is what a temperature would take off.",
			Misleads: "It says nothing about which layer is at fault, and a model trained with label smoothing may ask for a temperature below 1 without being ill. " +
				"If the examples are easier or harder than those of later use, so is the temperature.",
			Remedy: "Divide the logits by the temperature shown: `modeldoctor fix --recipe temperature` folds it into the classifier, which costs nothing. The layers' figures are taken at that temperature, and show what it cannot repair.",
		},
		{
			ID:     RuleChance,
			Title:  "the model does no better than guessing",
			Levels: []Level{LevelWarning},
			Meaning: "The share of right answers is no higher than predictions independent of the labels would reach: " +
				"the binomial probability of as many right answers or more, each right with the chance that follows from the shares of labels and of answers, is not below 0.135 % (three standard errors).",
			Misleads: "With few examples and many classes a weak but honest model cannot be told from chance. The loss is not used: an over-confident model can be worse than ln(classes) in loss and still be right often.",
			Remedy: "Check first that the classes are numbered as the model numbers them, and that the preprocessing (mean, deviation, size, order of colours) is the model's own. " +
				"Until the error is plausible, no other figure of this report means anything: all layers and the temperature are undecided, and so is the model.",
		},
		{
			ID:        RuleCoverage,
			Title:     "much of the model is not examined",
			Levels:    []Level{LevelWarning},
			Threshold: 0.9,
			Meaning: "Less than 90 % of the model's parameters belong to layers that can be measured. The rest is stored in a form, or used by an operator, " +
				"through which no gradient is taken.",
			Misleads: "Embedding tables or heads that the images never reach count as parameters, too.",
			Remedy:   "List the skipped weights with their reasons by inspecting the model; exporting it in float32 without quantisation usually makes them measurable.",
		},
		{
			ID:     RuleNotMeasured,
			Title:  "a layer could not be measured",
			Levels: []Level{LevelError, LevelWarning},
			Meaning: "There are no figures for this layer, or no transfer figure, for the reason given. It is an error if loss or gradient are not finite, " +
				"because something in the model overflows; it is a warning if the layer was left out.",
			Misleads: "The gradient may overflow on a single extreme image while the model works for all others.",
			Remedy: "If the loss is not finite, look at the example that is named and for weights that are not finite. If the gradient is not finite, look for a square root, logarithm or division that reaches zero. " +
				"Rules about the worst layer hold among the measured ones only.",
		},
		{
			ID:     RuleFewExamples,
			Title:  "too few examples for a verdict",
			Levels: []Level{LevelWarning},
			Meaning: "There are fewer than 32 examples, so no transfer figure is computed, and the verdict is never PASS. " +
				"What is left, the in-sample ΔL, is optimistic: a layer with many weights can memorise a handful of images in one step.",
			Misleads: "It never does. More than 32 are not yet many: most layers are then undecided.",
			Remedy:   "Use a few hundred images or more; intervals shrink with the square root of their number. `--on-undecided fail` makes a gate of it.",
		},
		{
			ID:     RuleCalibrateFirst,
			Title:  "a temperature recovers more than any layer",
			Levels: []Level{LevelInfo},
			Meaning: "The diagnosis was made without a temperature (`--calibration none`), and the loss that one takes off, significantly above the threshold, is larger than the transfer figure of any layer. " +
				"Most of what the layers seem to hold may then be over-confidence that any of them could undo.",
			Misleads: "Layers may be ill as well: calibration and illness are not alternatives.",
			Remedy:   "Diagnose with `--calibration fit`, the default: every loss is then of logits divided by the best temperature.",
		},
		{
			ID:        RuleClasses,
			Title:     "most classes have no examples",
			Levels:    []Level{LevelWarning},
			Threshold: 0.5,
			Meaning: "Fewer than half of the classes that could have examples, given their number, have any, or only one class has. " +
				"The diagnosis then speaks about those classes only, and with a single one the verdict is never PASS.",
			Misleads: "A model with many classes may be meant for few of them; then this is what was wanted.",
			Remedy:   "Take the examples from all classes (a split sorted by class and cut off at the front has this fault), and check that labels are numbered as the model's outputs are.",
		},
		{
			ID:     RuleGuessedPreprocess,
			Title:  "the preprocessing was guessed",
			Levels: []Level{LevelWarning, LevelInfo},
			Meaning: "The preprocessing was neither given nor found beside the model. Of the usual ones, the one with the lowest loss was taken, each compared at its best temperature, on as many of the images as it took to decide. " +
				"A wrong one raises the loss and changes every figure. It is a warning if the images do not decide and the diagnosis with the runner-up comes to another verdict.",
			Misleads: "If the guess is right, nothing is wrong with the figures.",
			Remedy:   "Compare the winner with the runner-up, and name the preprocessing once you know it.",
		},
		{
			ID:     RuleOverFitted,
			Title:  "a layer is over-fitted",
			Levels: []Level{LevelInfo},
			Meaning: "Moving this layer lowers the loss of unseen examples and raises the loss of training examples, both significantly (95 %). " +
				"What the layer gave to fit the training examples is what it costs elsewhere. It is only reported where training examples were given.",
			Misleads: "The training examples must be those that the model was trained on: of others it says nothing. " +
				"The move is the layer's whole in-sample step, which can be long enough to harm any other examples: if the slope of the training loss along it (`--wide`) is below 0, that is more likely. " +
				"If they come from another distribution than the validation examples, a layer may look over-fitted because it suits the former.",
			Remedy: "Train this layer with more regularisation, or let `modeldoctor fix` train it alone.",
		},
		{
			ID:     RuleUnderTrained,
			Title:  "a layer is under-trained",
			Levels: []Level{LevelInfo},
			Meaning: "Moving this layer lowers the loss of unseen examples and that of training examples, both significantly (95 %): " +
				"training stopped before this layer was where it could be. It is only reported where training examples were given.",
			Misleads: "The training examples must be those that the model was trained on. Without the augmentation of training their loss is another than the one that was lowered.",
			Remedy:   "Train longer, or this layer with a larger rate; `modeldoctor fix` does that for one layer alone.",
		},
		{
			ID:     RuleClassShares,
			Title:  "class shares left to chance",
			Levels: []Level{LevelWarning, LevelInfo},
			Meaning: "The images were not drawn by class, or from few, so that how many each class has is a matter of chance. The halves that a gain is measured between are dealt by class and share these numbers: " +
				"a move that fits them gains on the other half, too, and on no other image. For C classes among n images that is worth about (C − 1)/(2n) nats. " +
				"It is reported where the classes differ by more than one image and that exceeds a tenth of the threshold, as a warning from half the threshold on. " +
				"On CIFAR-100, 200 images drawn at random, the 95 % intervals of ΔL̂ held in 85 % of cases, drawn by class in 96 %.",
			Misleads: "Where the images have the class shares of later use because they were counted out so, nothing was left to chance. " +
				"The figure is what a model gains that fits the numbers entirely; one step of one layer may gain less.",
			Remedy: "Draw as many images of each class, or as their shares in later use are: `--samples N` does, from a larger split (a sample of a split has that split's shares, and n is then the split's number of images). " +
				"Until then read a layer that is over by less than the figure as undecided.",
		},
		{
			ID:        RuleRegression,
			Title:     "more loss can be recovered than in the baseline",
			Levels:    []Level{LevelError, LevelWarning},
			Threshold: DefaultRegression,
			Meaning: "By moving this layer (or by a temperature) significantly more loss can be recovered than in the report that `--baseline` names. " +
				"It is reported when the lower end of the interval of the increase, corrected for all layers of the model at once (Bonferroni), exceeds 0.1 % of the loss, which only keeps rounding on another machine from counting; " +
				"a layer that is under the threshold all the same is in order, however much it has changed, and where every answer is right it is a warning. " +
				"Where both reports are of the same images and the baseline was made with `--per-image`, the gains are compared image by image; else two figures are, whose standard errors are added.",
			Misleads: "What one layer has lost others can often give back in part, so that several are worse: the largest increase is named first. " +
				"It compares what the layers could gain, not the models' losses, which MD014 does: a model can be worse without any layer being to blame. " +
				"Without pairs an increase has to be large to be seen, so that none is reported is no proof that there is none. " +
				"Each model is looked at at its own best temperature.",
			Remedy: "Make the baseline with `--per-image` and check on the same images. Look at what has changed in that layer since: `modeldoctor verify OLD NEW` lists the tensors that differ.",
		},
		{
			ID:        RuleHigherLoss,
			Title:     "loss or error is higher than in the baseline",
			Levels:    []Level{LevelError, LevelWarning},
			Threshold: DefaultThreshold,
			Meaning: "The loss of the logits as they come is higher than in the report that `--baseline` names, by significantly more than 1 % of the loss, or the share of wrong answers is, by significantly more than a point: the lower end of the interval, corrected as the layers' are, exceeds that. " +
				"Where both reports are of the same images and the baseline was made with `--per-image`, they are compared image by image; else two means are, whose standard errors are added. Where every answer is right it is a warning.",
			Misleads: "A loss can rise by over-confidence alone while the error falls: compare the error, and what a temperature takes off.",
			Remedy:   "If MD013 names a layer, look there first. If it names none, the loss that was lost is not one that moving a single layer gives back.",
		},
	}
}

// ExplainRule returns the rule with the given ID, and false if there is none.
func ExplainRule(id string) (Rule, bool) {
	rules := Rules()
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}
