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
	steps := 0
	if len(f.Epochs) > 0 {
		steps = f.Epochs[0].Steps
	}
	f.Recipe.text(p, steps, f.Temperature)
	f.Cache.text(p)
	p.fields("cost   ", f.costs()...)
	f.epochs(p)
	f.holdout(p)
	p.printf("\n")
	f.verdict(p)
}

// text says what the images were.
func (d *TreatmentData) text(p *printer, trains bool) {
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
	p.fields("data   ", append(fields, part("validation", d.Validation), part("hold-out", d.Holdout),
		"preprocessing: "+preprocessing(d.Preprocess))...)
	dataNotes(p, d.Skipped, d.AssumedOrder)
}

// text says what is done to which layers, and how. steps is the number of steps
// of an epoch, 0 where it is not known, and t the temperature that fits best, nil
// where that is not known.
func (r *Recipe) text(p *printer, steps int, t *FixTemperature) {
	const label = "plan   "
	if !r.trains() {
		divisor := "what"
		if t != nil {
			divisor = fmt.Sprintf("%.3g, which", t.Value)
		}
		p.hanging(label, len(label), fmt.Sprintf("%s: divide the logits by %s fits the validation images best; train nothing", printable(r.Name), divisor))
		return
	}
	p.hanging(label, len(label), r.roles())
	p.hanging(strings.Repeat(" ", len(label)), len(label), r.numbers(steps))
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
	if r.ChosenBy != "" && r.ChosenBy != ChosenByDiagnosis {
		text += ", as " + printable(string(r.ChosenBy)) + " has found"
	}
	return text
}

// ChosenByDiagnosis is the value of [Recipe.ChosenBy] for a diagnosis that was
// made on the spot.
const ChosenByDiagnosis = "diagnosis"

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
func (r *Recipe) numbers(steps int) string {
	h, usual := r.Hyperparameters, pol.DefaultOptions(pol.Recipe{})
	passes := plural(*h.Epochs, "epoch")
	if steps > 0 {
		passes += " of " + plural(steps, "step")
	}
	list := []string{fmt.Sprintf("%s of %s", passes, plural(*h.Batch, "image")), fmt.Sprintf("rate %v (%s)", *h.Rate, *h.Schedule)}
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
	add(*h.Loss != usual.Loss.String(), "loss %s", *h.Loss)
	switch r.rule() {
	case pol.Search:
		add(*h.PerturbBatch != usual.PerturbBatch, "perturbed on %s", plural(*h.PerturbBatch, "image"))
		add(*h.GammaMax != usual.GammaMax, "γ up to %v", *h.GammaMax)
		add(*h.PerturbEvery > 1, "a scan every %d steps", *h.PerturbEvery)
	case pol.Ascent:
		add(true, "ρ %v", *h.Rho)
	}
	add(h.Calibrated, "logits divided by the temperature that fits best")
	add(true, "seed %d", *h.Seed)
	return strings.Join(list, ", ")
}

// text says where activations are kept.
func (c *Cache) text(p *printer) {
	text := fmt.Sprintf("none: what lies below neck %d is computed at each use", c.Neck)
	switch c.Where {
	case keptInFile:
		text = fmt.Sprintf("%s at neck %d, in a temporary file", size(c.Bytes), c.Neck)
	case keptInMemory:
		text = fmt.Sprintf("%s at neck %d, in memory", size(c.Bytes), c.Neck)
	}
	const label = "cache  "
	p.hanging(label, len(label), text)
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

// epochs prints the epochs and marks the one that was kept.
func (f *Fix) epochs(p *printer) {
	if len(f.Epochs) == 0 {
		return
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
	p.printf("\n")
	p.grid(rows, nil, func(i int) string {
		if !f.Epochs[i].Kept {
			return ""
		}
		return p.style.paint(ansiBold, "◀ kept")
	})
	if f.Stopped != "" && f.Gain != nil { // else it is the verdict
		p.fields("note   ", "stopped early: "+printable(string(f.Stopped)))
	}
}

// holdout prints the figures of the hold-out set before and after, and what a
// temperature does alone.
func (f *Fix) holdout(p *printer) {
	decimals := lossDecimals(f.Before)
	p.printf("\n")
	if f.After == nil || f.Gain == nil || f.Gain.Error == nil {
		p.grid([][]string{
			{"hold-out", "before"},
			{"loss", figure(f.Before.Loss, decimals)}, {"error", percent(f.Before.Error)}, {"calibration error", figure(f.Before.ECE, 3)},
		}, []int{0}, nil)
	} else {
		f.Gain.text(p, "hold-out", "before", "after", f.Before, *f.After)
	}
	f.temperatureAlone(p)
}

// text compares the figures of two models on the same images, whose loss and
// error fall by the gain from a to b.
func (g *Gain) text(p *printer, title, nameA, nameB string, a, b Figures) {
	decimals := max(lossDecimals(a), lossDecimals(b))
	p.grid([][]string{
		{title, nameA, nameB, "change (95 %)"},
		{"loss", figure(a.Loss, decimals), figure(b.Loss, decimals), change(g.Loss, g.SE, 1, decimals)},
		{"error", percent(a.Error), percent(b.Error), change(*g.Error, *g.ErrorSE, 100, 1) + " points"},
		{"calibration error", figure(a.ECE, 3), figure(b.ECE, 3)},
	}, []int{0, 3}, nil)
}

// change writes by how much something changes that falls by a figure with a
// standard error, in a unit of which there are scale to one.
func change(drop, se Number, scale float64, decimals int) string {
	if !drop.finite() || !se.finite() {
		return notFinite
	}
	return signed(-scale*float64(drop), decimals) + " ± " + fixed(scale*metric.Z95*float64(se), decimals)
}

// temperatureAlone says what one number does, beside what the treatment does. It
// is nothing new where that number is the treatment.
func (f *Fix) temperatureAlone(p *printer) {
	t := f.Temperature
	if t == nil || !f.Recipe.trains() || !t.DeltaLoss.finite() {
		return
	}
	decimals := lossDecimals(f.Before)
	drop := interval(t.DeltaLoss, t.SE, decimals)
	var text string
	switch {
	case !(t.DeltaLoss > 0):
		text = fmt.Sprintf("the temperature that fits the validation images best, %.3g, does not lower the loss by itself", t.Value)
	case f.Gain == nil:
		text = fmt.Sprintf("a temperature of %.3g alone takes off %s nats", t.Value, drop)
	case t.DeltaLoss >= f.Gain.Loss:
		text = fmt.Sprintf("a temperature of %.3g alone takes off %s nats: more than this treatment", t.Value, drop)
	default:
		text = fmt.Sprintf("a temperature of %.3g alone takes off %s nats: less than this treatment", t.Value, drop)
		if f.Recipe.Hyperparameters.Calibrated {
			text += ", which includes it"
		}
	}
	p.fields("note   ", text)
}

// verdict is the line a log is searched for, and what to do next.
func (f *Fix) verdict(p *printer) {
	code, word, path := ansiGreen, "DONE", f.Model.Path
	var what string
	switch {
	case f.Trial && f.Accepted:
		what = "trial, nothing written: " + f.fall()
	case f.Trial:
		code, word = ansiRed, "FAIL"
		what = "trial, and nothing would be written: " + f.refusal()
	case f.Output == nil:
		code, word = ansiRed, "FAIL"
		what = "nothing was written: " + f.refusal()
	case f.Forced:
		code, word, path = ansiYellow, "FORCED", f.Output.Path
		what = "written, as --force demands, although " + f.refusal()
	default:
		path = f.Output.Path
		what = f.fall()
	}
	fields := []string{base(path), what}
	if f.Output != nil {
		fields = append(fields, plural(int(f.Output.BytesChanged), "byte")+" changed")
	}
	p.verdict(code, word, append(fields, duration(f.Provenance.Seconds))...)
	if f.Output != nil {
		f.Output.text(p)
	}
	for _, hint := range f.hints() {
		p.hint(hint)
	}
}

// text says what lies beside the file.
func (o *Output) text(p *printer) {
	if o.Backup != "" {
		p.fields("note   ", "the original is kept as "+printable(string(o.Backup)))
	}
	for i, d := range o.DataFiles {
		if left := len(o.DataFiles) - i; i == maxListed && left > 1 {
			p.fields("note   ", fmt.Sprintf("and %d more data files", left))
			break
		}
		text := fmt.Sprintf("it needs the data file %s (%s), which lies beside it", d.Location, size(d.Bytes))
		if d.Copied {
			text += " as a copy"
		}
		p.fields("note   ", printable(text))
	}
}

// fall says by how much the hold-out loss has fallen.
func (f *Fix) fall() string {
	decimals := lossDecimals(f.Before)
	return fmt.Sprintf("hold-out loss %s → %s (down %s)", fixed(float64(f.Before.Loss), decimals), fixed(float64(f.After.Loss), decimals), interval(f.Gain.Loss, f.Gain.SE, decimals))
}

// refusal says in a sentence why a treatment is not accepted.
func (f *Fix) refusal() string {
	g := f.Gain
	if g == nil {
		if f.Stopped == "" {
			return "there is no treated model"
		}
		return printable(fmt.Sprintf("the treatment diverged (%s)", f.Stopped))
	}
	decimals := lossDecimals(f.Before)
	switch {
	case !g.Loss.finite():
		return "the model's hold-out loss is not finite"
	case g.CI95[1] < 0:
		return fmt.Sprintf("the hold-out loss has risen by %s", interval(-g.Loss, g.SE, decimals))
	case g.Loss > 0:
		return fmt.Sprintf("the hold-out loss has fallen by %s, which may be chance", interval(g.Loss, g.SE, decimals))
	}
	return fmt.Sprintf("the hold-out loss has not fallen (change %s)", change(g.Loss, g.SE, 1, decimals))
}

// hints say what to do next.
func (f *Fix) hints() []string {
	model := shellWord(f.Model.Path)
	var hints []string
	if o := f.Output; o != nil {
		original, fixed := model, shellWord(o.Path)
		if o.Backup != "" {
			original = shellWord(string(o.Backup))
		}
		hints = append(hints,
			fmt.Sprintf("`modeldoctor verify %s %s` lists what has changed", original, fixed),
			fmt.Sprintf("`modeldoctor check %s`, with the same data, diagnoses the treated model", fixed))
	}
	if f.Accepted {
		return hints
	}
	if rate := f.Recipe.Hyperparameters.Rate; f.Gain == nil && f.Stopped != "" && rate != nil {
		hints = append(hints, fmt.Sprintf("a lower rate than --lr %v may not diverge", *rate))
	}
	if t := f.Temperature; t != nil && t.CI95[0] > 0 && f.Recipe.trains() {
		hints = append(hints, fmt.Sprintf("`modeldoctor fix --recipe temperature %s -o OUT`, with the same data, lowers the loss significantly", model))
	}
	return hints
}
