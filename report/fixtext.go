package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
)

// text tells what was read and done, the epochs, the hold-out figures before and
// after, and one line of verdict.
func (f *Fix) text(p *printer) {
	p.model(f.Model, "")
	f.Data.text(p, f.Recipe.trains())
	f.Search.text(p)
	f.Recipe.text(p, f.stepsPerEpoch(), f.TrainedAt)
	f.Cache.text(p)
	p.fields("cost   ", f.costs()...)
	f.epochs(p)
	if note := f.Rate.note(); note != "" {
		p.fields("note   ", note)
	}
	f.holdout(p)
	p.printf("\n")
	treatmentEnd{f}.text(p)
}

// stepsPerEpoch is 0 where there is no epoch.
func (f *Fix) stepsPerEpoch() int {
	if len(f.Epochs) == 0 {
		return 0
	}
	return f.Epochs[0].Steps
}

// fields say what the images were; trains: the training images, too.
func (d *TreatmentData) fields(trains bool) []string {
	part := func(role string, part Part) string {
		return printable(fmt.Sprintf("%s: %s, %s", role, part.Name, plural(part.N, "image")))
	}
	fields := []string{printable(d.Name)}
	if trains {
		text := part("training", d.Train)
		if d.Views > 1 {
			text += fmt.Sprintf(" in %d views (%s)", d.Views, printable(d.Augment))
		}
		fields = append(fields, text)
	}
	return append(fields, part("validation", d.Validation), part("hold-out", d.Holdout),
		"preprocessing: "+preprocessing(d.Preprocess))
}

// text says what the images were.
func (d *TreatmentData) text(p *printer, trains bool) {
	p.fields("data   ", d.fields(trains)...)
	dataNotes(p, d.Skipped, d.AssumedOrder)
}

// plan says what is done to which layers, and how. steps is the number of steps
// of an epoch and at the temperature of the training, 0 where they are not known.
func (r *Recipe) plan(steps int, at float64) []string {
	if !r.trains() && r.Name != pol.RecipeTemperature {
		return []string{printable(r.Name + ": no layer to train")}
	}
	if !r.trains() {
		divisor := r.Hyperparameters.Calibration
		switch {
		case divisor == CalibrationFit && at == 0:
			divisor = "what fits the validation images best"
		case divisor == CalibrationFit:
			divisor = fmt.Sprintf("%.3g, which fits the validation images best", at)
		}
		return []string{printable(fmt.Sprintf("%s: divide the logits by %s; train nothing", r.Name, divisor))}
	}
	return []string{r.roles(), r.numbers(steps, at)}
}

// text is the plan in lines.
func (r *Recipe) text(p *printer, steps int, at float64) {
	label := "plan   "
	for _, line := range r.plan(steps, at) {
		p.hanging(label, len(label), line)
		label = strings.Repeat(" ", len(label))
	}
}

// calibration says which temperature a training takes logits at; at is it, 0 where
// it is not known.
func (h *Hyperparameters) calibration(at float64) string {
	switch {
	case h.Calibration == CalibrationNone:
		return "logits as they are"
	case h.Calibration != CalibrationFit:
		return "logits divided by " + printable(h.Calibration)
	case at == 0:
		return "logits divided by the temperature that fits best"
	case at == 1:
		return "logits as they are, because no temperature is best"
	}
	return fmt.Sprintf("logits divided by %.3g", at)
}

// roles says which layers a treatment perturbs and updates, and why these.
func (r *Recipe) roles() string {
	text := "update " + treatedLayers(inRole(r.Layers, RoleUpdate))
	switch perturb := treatedLayers(inRole(r.Layers, RolePerturb)); {
	case len(r.Perturb) == 0:
	case slices.Equal(r.Perturb, r.Update) && "update "+perturb == text:
		text = "perturb and " + text
	default:
		text = "perturb " + perturb + ", " + text
	}
	text = printable(r.Name) + ": " + text
	switch r.ChosenBy {
	case "", ChosenByDiagnosis:
	case ChosenBySearch:
		text += ", as a search has found"
	default:
		text += ", as " + printable(string(r.ChosenBy)) + " has found"
	}
	return text
}

// ChosenByDiagnosis is the value of [Recipe.ChosenBy] for a diagnosis that was
// made on the spot, and ChosenBySearch for [Fix.Search].
const (
	ChosenByDiagnosis = "diagnosis"
	ChosenBySearch    = "search"
)

// maxTreated is how many layers are named one by one.
const maxTreated = 3

// treatedLayers names layers with the figures that they were chosen by.
func treatedLayers(layers []TreatedLayer) string {
	if len(layers) > maxTreated {
		return printable(fmt.Sprintf("%d layers, %s to %s", len(layers), layers[0].Name, layers[len(layers)-1].Name))
	}
	texts := make([]string, len(layers))
	for i, l := range layers {
		texts[i] = printable(l.Name)
		switch {
		case l.Kappa != nil:
			texts[i] += fmt.Sprintf(" (largest κ, %s)", significant(*l.Kappa))
		case l.DeltaLoss != nil && l.SE != nil:
			texts[i] += fmt.Sprintf(" (largest ΔL̂, %s)", interval(*l.DeltaLoss, *l.SE, max(3, decimalsOf(metric.Z95**l.SE))))
		}
	}
	return strings.Join(texts, ", ")
}

// numbers lists the hyperparameters of a training: the usual ones, and others
// where they are not the default.
func (r *Recipe) numbers(steps int, at float64) string {
	h, usual := r.Hyperparameters, pol.DefaultOptions(pol.Recipe{})
	passes := plural(*h.Epochs, "epoch")
	if steps > 0 {
		passes += " of " + plural(steps, "step")
	}
	rate := "rate from the model"
	switch {
	case h.RateFactor != nil && *h.RateFactor != usual.RateFactor:
		rate = fmt.Sprintf("%v times the rate from the model", *h.RateFactor)
	case h.Rate != nil:
		rate = fmt.Sprintf("rate %v", *h.Rate)
	}
	list := []string{fmt.Sprintf("%s of %s", passes, plural(*h.Batch, "image")), fmt.Sprintf("%s (%s)", rate, *h.Schedule)}
	if steps == 0 {
		list[0] = fmt.Sprintf("%s, batches of %s", passes, plural(*h.Batch, "image"))
	}
	add := func(unusual bool, format string, args ...any) {
		if unusual {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(*h.Momentum != usual.Momentum, "momentum %v", *h.Momentum)
	add(*h.WeightDecay != usual.WeightDecay, "weight decay %v", *h.WeightDecay)
	add(h.Goal != usual.Goal.String(), "the epoch with the lowest %s is kept", h.Goal)
	add(*h.Loss != usual.Loss.String(), "loss %s", *h.Loss)
	add(*h.Mix > 0, "images mixed (α %v)", *h.Mix)
	switch r.rule() {
	case pol.Search:
		add(*h.PerturbBatch != usual.PerturbBatch, "perturbed on %s", plural(*h.PerturbBatch, "image"))
		add(*h.GammaMax != usual.GammaMax, "γ up to %v", *h.GammaMax)
		add(*h.PerturbEvery > 1, "a scan every %d steps", *h.PerturbEvery)
	case pol.Ascent:
		add(true, "ρ %v", *h.Rho)
	}
	add(true, "%s", h.calibration(at))
	add(true, "seed %d", *h.Seed)
	return strings.Join(list, ", ")
}

// text says where activations are kept.
func (c *Cache) text(p *printer) {
	text := fmt.Sprintf("none: what lies below neck %d is computed at each use", c.Neck)
	switch c.Where {
	case keptInFile:
		text = fmt.Sprintf("%s at neck %d, in a temporary file", size(c.Bytes), c.Neck)
	case keptOnHost:
		text = fmt.Sprintf("%s at neck %d, in the host's memory", size(c.Bytes), c.Neck)
	case keptInMemory:
		text = fmt.Sprintf("%s at neck %d, in memory", size(c.Bytes), c.Neck)
	}
	const label = "cache  "
	p.hanging(label, len(label), text)
}

// note says where the learning rate comes from and what became of it; it is empty where
// the rate was given.
func (r *Rate) note() string {
	if r == nil {
		return ""
	}
	text := fmt.Sprintf("rate %.3g, as trial steps meet no curvature", r.First)
	if len(r.Runs) > 0 {
		text = fmt.Sprintf("rate %.3g, from trial runs of %s: loss of %s %.4g before", r.First, plural(r.longestRun(), "step"), plural(r.Images, "validation image"), float64(r.Before))
	}
	for _, run := range r.Runs {
		if run.Loss == nil {
			text += fmt.Sprintf(", a jump at %.3g", run.Rate)
			continue
		}
		text += fmt.Sprintf(", %.4g at %.3g", *run.Loss, run.Rate)
	}
	if r.Undone+r.Restarted > 0 {
		text += fmt.Sprintf("; then %.3g, as %s raised the loss and %s ended worse than the start", r.Last, plural(r.Undone, "step"), plural(r.Restarted, "epoch"))
	}
	return text
}

// longestRun is the number of steps of a trial run that no harm has ended.
func (r *Rate) longestRun() int {
	steps := 0
	for _, run := range r.Runs {
		steps = max(steps, run.Steps)
	}
	return steps
}

// costs say what a treatment has taken.
func (f *Fix) costs() []string {
	var costs []string
	if len(f.Epochs) > 0 {
		text := duration(f.SecondsPerEpoch) + " an epoch"
		if f.Recipe.rule() == pol.Search {
			text += fmt.Sprintf(", %.0f %% of it scans for the perturbation", 100*f.Scan.Share)
		}
		costs = append(costs, text)
	}
	return append(costs, "peak memory "+size(f.PeakBytes))
}

// lossDecimals is the number of decimals that a treatment's losses have.
func lossDecimals(before Figures) int { return decimalsOf(0.01 * float64(before.Loss)) }

// epochTable lists the epochs below their titles; nil where there are none.
func (f *Fix) epochTable() [][]string {
	if len(f.Epochs) == 0 {
		return nil
	}
	searches := f.Recipe.rule() == pol.Search
	decimals := lossDecimals(f.Before)
	rows := [][]string{{"epoch", "train loss", "validation loss", "error"}}
	if searches {
		rows[0] = append(rows[0], "rejected steps")
	}
	rows[0] = append(rows[0], "seconds")
	for _, e := range f.Epochs {
		row := []string{fmt.Sprint(e.Epoch), "–", figure(e.ValLoss, decimals), percent(e.ValError)}
		if e.TrainLoss != nil {
			row[1] = figure(Number(*e.TrainLoss), decimals)
		}
		if searches {
			row = append(row, fmt.Sprintf("%d of %d", e.Rejected, e.Steps))
		}
		rows = append(rows, append(row, fixed(e.Seconds, secondsDecimals(f.SecondsPerEpoch))))
	}
	return rows
}

// epochs prints the epochs and marks the one that was kept.
func (f *Fix) epochs(p *printer) {
	rows := f.epochTable()
	if rows == nil {
		return
	}
	p.printf("\n")
	p.grid(rows, nil, func(i int) string {
		if !f.Epochs[i].Kept {
			return ""
		}
		return p.style.paint(ansiBold, "◀ kept")
	})
	if note := (treatmentEnd{f}).stoppedEarly(); note != "" {
		p.fields("note   ", note)
	}
}

// stoppedEarly says why a training ended before its last epoch, where that is not the
// verdict.
func (f treatmentEnd) stoppedEarly() string {
	if f.Stopped == "" || f.Gain == nil || len(f.Epochs) == 0 {
		return ""
	}
	return "stopped early: " + printable(string(f.Stopped))
}

// holdoutTable has the figures of the hold-out set before and after.
func (f *Fix) holdoutTable() [][]string {
	if f.After == nil || f.Gain == nil || f.Gain.Error == nil {
		return [][]string{
			{"hold-out", "before"},
			{"loss", figure(f.Before.Loss, lossDecimals(f.Before))}, {"error", percent(f.Before.Error)}, {"calibration error", figure(f.Before.ECE, 3)},
		}
	}
	return f.Gain.table("hold-out", "before", "after", f.Before, *f.After)
}

// holdoutNotes say what a temperature does alone, and whether the images are still
// unseen.
func (f *Fix) holdoutNotes() []string {
	var notes []string
	if text := f.temperatureAlone(); text != "" {
		notes = append(notes, text)
	}
	if f.Refitted != nil {
		notes = append(notes, fmt.Sprintf("a temperature of %.3g, which fits the treated model, is folded in, too", *f.Refitted))
	}
	if f.HoldoutSeen {
		notes = append(notes, "these hold-out images have judged this model before: they no longer tell what unseen images would")
	}
	return notes
}

// holdout prints the figures of the hold-out set.
func (f *Fix) holdout(p *printer) {
	p.printf("\n")
	p.grid(f.holdoutTable(), []int{0, 3}, nil)
	for _, note := range f.holdoutNotes() {
		p.fields("note   ", note)
	}
}

// table compares the figures of two models on the same images, whose loss and
// error fall by the gain from a to b.
func (g *Gain) table(title, nameA, nameB string, a, b Figures) [][]string {
	decimals := max(lossDecimals(a), lossDecimals(b))
	return [][]string{
		{title, nameA, nameB, "change (95 %)"},
		{"loss", figure(a.Loss, decimals), figure(b.Loss, decimals), change(g.Loss, g.SE, 1, decimals)},
		{"error", percent(a.Error), percent(b.Error), change(*g.Error, *g.ErrorSE, 100, 1) + " points"},
		{"calibration error", figure(a.ECE, 3), figure(b.ECE, 3)},
	}
}

// change writes by how much something changes that falls by a figure with a
// standard error, in a unit of which there are scale to one.
func change(drop, se Number, scale float64, decimals int) string {
	if !drop.finite() || !se.finite() {
		return notFinite
	}
	return signed(-scale*float64(drop), decimals) + " ± " + fixed(scale*metric.Z95*float64(se), decimals)
}

// temperatureAlone says what one number does, beside what the treatment does; it
// is empty where that number is the treatment.
func (f *Fix) temperatureAlone() string {
	t := f.Temperature
	if t == nil || !f.Recipe.trains() || !t.DeltaLoss.finite() {
		return ""
	}
	decimals := lossDecimals(f.Before)
	text := fmt.Sprintf("a temperature of %.3g alone takes off %s nats", t.Value, interval(t.DeltaLoss, t.SE, decimals))
	switch b := f.Beyond; {
	case !(t.DeltaLoss > 0):
		text = fmt.Sprintf("the temperature that fits the validation images best, %.3g, does not lower the loss by itself", t.Value)
	case b == nil || !b.DeltaLoss.finite():
	case b.DeltaLoss > 0:
		text += fmt.Sprintf(": this treatment takes off %s more", interval(b.DeltaLoss, b.SE, decimals))
	default:
		text += fmt.Sprintf(": %s more than this treatment", interval(-b.DeltaLoss, b.SE, decimals))
	}
	return text
}
