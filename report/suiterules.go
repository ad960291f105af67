package report

import (
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"
)

// pipelineRule is what a finding can be about, with what a reader needs to judge it.
type pipelineRule struct {
	id, title                 string
	level                     diag.Level // that it usually has
	meaning, misleads, remedy string
}

// The identifiers of what is no rule of a diagnosis. Those of a treatment are the
// [pol.Objection].
const (
	ruleUndecided  = "undecided"
	ruleIncomplete = "incomplete"
	ruleUnreadable = "unreadable"
	ruleRecipe     = "recipe-failed"
	ruleDifferent  = "different"
	ruleNoReport   = "no-report"
)

// pipelineRules are all that the findings of a command can be about.
func pipelineRules(command string) []pipelineRule {
	return append(ownRules(command), noReportRule)
}

// ownRules are those that not every command has.
func ownRules(command string) []pipelineRule {
	switch command {
	case "check":
		return append(checkRules(), incompleteRule, unreadableRule)
	case "fix":
		return slices.Clone(fixRules)
	case "compare":
		return []pipelineRule{recipeRule, incompleteRule}
	}
	return []pipelineRule{differentRule}
}

// checkRules are those of a diagnosis.
func checkRules() []pipelineRule {
	var rules []pipelineRule
	for _, r := range diag.Rules() {
		rules = append(rules, pipelineRule{r.ID, r.Title, r.Levels[0], r.Meaning, r.Misleads, r.Remedy})
	}
	if term, ok := diag.ExplainTerm(ruleUndecided); ok {
		rules = append(rules, pipelineRule{term.Name, term.Title, diag.LevelWarning, term.Meaning, term.Misleads, term.Remedy})
	}
	return rules
}

var incompleteRule = pipelineRule{
	id: ruleIncomplete, title: "the work was cut short", level: diag.LevelError,
	meaning:  "The time limit came, or an interruption, before everything that was asked for had been measured. The report is of what was finished.",
	misleads: "What is missing is neither good nor bad.",
	remedy:   "Raise `--timeout`, or ask for less: fewer images (`--samples`), layers (`--layers`), recipes or seeds.",
}

var noReportRule = pipelineRule{
	id: ruleNoReport, title: "the command has come to no report", level: diag.LevelError,
	meaning:  "It was interrupted, or what it needs could not be read, so that nothing is known. Where it was killed, or is running still, the message is that it has not ended.",
	misleads: "Breaches of an earlier report are neither there nor mended.",
	remedy:   "Look at the message, and run the command again.",
}

var unreadableRule = pipelineRule{
	id: ruleUnreadable, title: "a model could not be diagnosed", level: diag.LevelError,
	meaning:  "Of several models this one cannot be read, is not supported, or does not fit the images. Nothing is known of it.",
	misleads: "The others were diagnosed all the same.",
	remedy:   "Look at the message: it names the place and what was expected. `modeldoctor inspect` shows what is in a file.",
}

// fixRules are the objections to a treatment.
var fixRules = []pipelineRule{
	{
		id: string(pol.NoTreatedModel), title: "there is no treated model", level: diag.LevelError,
		meaning:  "The training diverged before an epoch was complete, or a loss of the model is not finite, so that there is nothing to judge.",
		misleads: "A single rate can be at fault where the layer is worth treating.",
		remedy:   "Try a lower `--lr`, or leave it out: the rate then comes from the model. If the original's loss is not finite, `modeldoctor check` says where.",
	},
	{
		id: string(pol.TooFewImages), title: "too few hold-out images", level: diag.LevelError,
		meaning:  "Fewer hold-out images than a treatment is accepted by, whatever their losses are.",
		misleads: "The treatment may help all the same; it is not shown.",
		remedy:   "Give more images to `--holdout`.",
	},
	{
		id: string(pol.NoSpread), title: "chance cannot be told apart", level: diag.LevelError,
		meaning:  "The loss of every hold-out image changes by the same, so that its change has no standard error.",
		misleads: "It is what a treatment that changes nothing looks like.",
		remedy:   "Look at whether the images differ at all, and at whether the treated layer has any effect (`modeldoctor check`).",
	},
	{
		id: string(pol.NoTemperature), title: "no temperature is best", level: diag.LevelError,
		meaning:  "The validation loss falls to an end of the range of temperatures that is searched: every answer is right, or all are useless.",
		misleads: "With few validation images that can be chance.",
		remedy:   "Give more validation images, or harder ones.",
	},
	{
		id: string(pol.LossNotLower), title: "the hold-out loss is not significantly lower", level: diag.LevelError,
		meaning:  "The lower end of the 95 % interval of the drop of the loss, paired image by image on images that nothing else has seen, is not above 0.",
		misleads: "A small gain needs many hold-out images to be seen.",
		remedy:   "Keep the original, or try another recipe or another layer: `modeldoctor compare` puts them side by side.",
	},
	{
		id: string(pol.NotBeyondTemperature), title: "a temperature does as much", level: diag.LevelError,
		meaning:  "The hold-out loss is not significantly lower than that of the original with all logits divided by one number.",
		misleads: "Where training has lowered the error, too, more than calibration was mended.",
		remedy:   "`modeldoctor fix --recipe temperature` divides the logits, which costs nothing.",
	},
	{
		id: string(pol.ErrorHigher), title: "the hold-out error is significantly higher", level: diag.LevelError,
		meaning:  "The upper end of the 95 % interval of the drop of the error is below 0: the treated model is wrong more often.",
		misleads: "The loss may be lower all the same.",
		remedy:   "Keep the original, or treat less: fewer epochs, a lower rate.",
	},
	{
		id: string(pol.ErrorNotLower), title: "the hold-out error is not significantly lower", level: diag.LevelError,
		meaning:  "With `--goal error`: of the answers that change on images that nothing else has seen, so many more become right than wrong that chance would do it in more than 2.5 % of cases (McNemar's exact test).",
		misleads: "A few answers that change are seldom enough, and the loss may be lower all the same.",
		remedy:   "Give more hold-out images, train further (`--epochs`, `--lr-factor`), or ask for a lower loss: `--goal loss`.",
	},
	{
		id: string(pol.LossHigher), title: "the hold-out loss is significantly higher", level: diag.LevelError,
		meaning:  "With `--goal error`: the upper end of the 95 % interval of the drop of the loss is below 0, as the models are or with the temperature that fits each best.",
		misleads: "More answers may be right all the same; what is lost is how sure the model is of them.",
		remedy:   "Lower the weight of `--loss soft01`, or train less far.",
	},
}

var recipeRule = pipelineRule{
	id: ruleRecipe, title: "a recipe could not be run", level: diag.LevelWarning,
	meaning:  "A treatment that was to be compared with the others came to no report, for the reason given.",
	misleads: "The others are compared as if it had not been asked for.",
	remedy:   "Run `modeldoctor fix --recipe NAME --trial` for the whole message.",
}

var differentRule = pipelineRule{
	id: ruleDifferent, title: "two model files differ", level: diag.LevelWarning,
	meaning:  "Weights, nodes, metadata, other fields or data files of the two models are not the same.",
	misleads: "A difference is no fault where it was wanted, such as that which a treatment has made.",
	remedy:   "Read which layers have changed, and by how much of their norm; with `--data` both models are run on the same images.",
}

// rulesPage is where the rules are explained to people, each below a heading that
// is its ID.
const rulesPage = projectPage + "/blob/main/docs/rules.md"

// projectPage is where the program comes from.
const projectPage = "https://github.com/modeldoctor/modeldoctor"

// helpURI is where the rule is explained.
func (r *pipelineRule) helpURI() string { return rulesPage + "#" + strings.ToLower(r.id) }

// help is what can be done about it, in Markdown.
func (r *pipelineRule) help() string {
	return r.meaning + "\n\n**When it misleads.** " + r.misleads + "\n\n**What to do next.** " + r.remedy
}
