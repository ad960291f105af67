package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
)

// FixText writes a treatment for a person: what was read and done, the epochs,
// the hold-out figures before and after, and one line of verdict.
func FixText(w io.Writer, f *Fix, style Style) error {
	p := &printer{w: w, style: style}
	p.model(f.Model, "")
	p.treatmentData(f.Data, f.Treatment.trains())
	steps := 0
	if len(f.Result.Epochs) > 0 {
		steps = f.Result.Epochs[0].Steps
	}
	var temperature *float64
	if t := f.Result.Temperature; t != nil {
		temperature = &t.Value
	}
	p.treatmentPlan(f.Treatment, steps, temperature)
	p.cache(f.Result.Cache.Neck, f.Result.Cache.Bytes, f.Result.Cache.InFile)
	p.fields("cost   ", f.costs()...)
	p.epochs(f)
	p.holdout(f)
	p.printf("\n")
	p.fixVerdict(f)
	return p.err
}

// treatmentData prints what the images were.
func (p *printer) treatmentData(d TreatmentData, trains bool) {
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
}

// treatmentPlan prints what is done to which layers, and how. steps is the
// number of steps of an epoch, 0 where it is not known, and temperature the one
// that fits best, nil where that is not known.
func (p *printer) treatmentPlan(t Treatment, steps int, temperature *float64) {
	const label = "plan   "
	if !t.trains() {
		divisor := "what"
		if temperature != nil {
			divisor = fmt.Sprintf("%.3g, which", *temperature)
		}
		p.hanging(label, len(label), fmt.Sprintf("%s: divide the logits by %s fits the validation images best; train nothing", printable(t.Recipe), divisor))
		return
	}
	p.hanging(label, len(label), t.layers())
	p.hanging(strings.Repeat(" ", len(label)), len(label), t.numbers(steps))
}

// layers says which layers a treatment perturbs and updates, and why these.
func (t *Treatment) layers() string {
	text := "update " + treatedLayers(t.Update)
	switch perturb := treatedLayers(t.Perturb); {
	case len(t.Perturb) == 0:
	case slices.Equal(treatedNames(t.Perturb), treatedNames(t.Update)) && "update "+perturb == text:
		text = "perturb and " + text
	default:
		text = "perturb " + perturb + ", " + text
	}
	text = printable(t.Recipe) + ": " + text
	if t.ChosenBy != "" && t.ChosenBy != chosenByDiagnosis {
		text += ", as " + printable(t.ChosenBy) + " has found"
	}
	return text
}

// chosenByDiagnosis is the value of Treatment.ChosenBy for a diagnosis that was
// made on the spot.
const chosenByDiagnosis = "diagnosis"

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
			texts[i] += fmt.Sprintf(" (largest ΔL̂, %s)", interval(*l.DeltaLoss, *l.SE, max(3, decimalsOf(1.96**l.SE))))
		}
	}
	return strings.Join(texts, ", ")
}

// numbers lists the hyperparameters: the usual ones, and others where they are
// not the default.
func (t *Treatment) numbers(steps int) string {
	o := t.Options
	passes := plural(o.Epochs, "epoch")
	if steps > 0 {
		passes += " of " + plural(steps, "step")
	}
	list := []string{fmt.Sprintf("%s of %s", passes, plural(o.Batch, "image")), fmt.Sprintf("rate %v (%s)", o.Rate, o.Schedule)}
	if steps == 0 {
		list[0] = fmt.Sprintf("%s, batches of %s", passes, plural(o.Batch, "image"))
	}
	add := func(unusual bool, format string, args ...any) {
		if unusual {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(o.Momentum != pol.DefaultMomentum, "momentum %v", o.Momentum)
	add(o.WeightDecay != pol.DefaultWeightDecay, "weight decay %v", o.WeightDecay)
	add(o.Loss != metric.Loss{}, "loss %v", o.Loss)
	switch t.rule() {
	case pol.Search:
		add(o.PerturbBatch != pol.DefaultPerturbBatch, "perturbed on %s", plural(o.PerturbBatch, "image"))
		add(o.GammaMax != pol.DefaultGammaMax, "γ up to %v", o.GammaMax)
		add(o.PerturbEvery > 1, "a scan every %d steps", o.PerturbEvery)
	case pol.Ascent:
		add(true, "ρ %v", o.Rho)
	}
	add(o.Calibrated, "logits divided by the temperature that fits best")
	add(true, "seed %d", o.Seed)
	return strings.Join(list, ", ")
}

// cache says where activations are kept.
func (p *printer) cache(neck int, bytes int64, inFile bool) {
	const label = "cache  "
	switch cacheWhere(bytes, inFile) {
	case cacheNone:
		p.hanging(label, len(label), fmt.Sprintf("none: what lies below neck %d is computed at each use", neck))
	case cacheFile:
		p.hanging(label, len(label), fmt.Sprintf("%s at neck %d, in a temporary file", size(bytes), neck))
	default:
		p.hanging(label, len(label), fmt.Sprintf("%s at neck %d, in memory", size(bytes), neck))
	}
}

// costs say what a treatment has taken.
func (f *Fix) costs() []string {
	var costs []string
	if len(f.Result.Epochs) > 0 {
		text := duration(f.Result.SecondsPerEpoch()) + " an epoch"
		if f.Treatment.rule() == pol.Search {
			text += fmt.Sprintf(", %.0f %% of it scans for the perturbation", 100*f.Result.Scans.Share)
		}
		costs = append(costs, text)
	}
	return append(costs, "peak memory "+size(f.PeakBytes))
}

// lossDecimals is the number of decimals that a treatment's losses have.
func lossDecimals(before metric.Figures) int { return decimalsOf(0.01 * before.Loss) }

// epochs prints the epochs and marks the one that was kept.
func (p *printer) epochs(f *Fix) {
	r := f.Result
	if len(r.Epochs) == 0 {
		return
	}
	searches := f.Treatment.rule() == pol.Search
	decimals := lossDecimals(r.Before)
	rows := [][]string{{"epoch", "train loss", "validation loss", "error"}}
	if searches {
		rows[0] = append(rows[0], "rejected steps")
	}
	rows[0] = append(rows[0], "seconds")
	for _, e := range r.Epochs {
		row := []string{fmt.Sprint(e.Number), "–", figure(e.Validation.Loss, decimals), percent(e.Validation.Error)}
		if e.TrainLoss != nil {
			row[1] = figure(*e.TrainLoss, decimals)
		}
		if searches {
			row = append(row, fmt.Sprintf("%d of %d", e.Rejected, e.Steps))
		}
		rows = append(rows, append(row, fixed(e.Duration.Seconds(), secondsDecimals(r.SecondsPerEpoch()))))
	}
	p.printf("\n")
	p.grid(rows, nil, func(i int) string {
		if r.Epochs[i].Number != r.Best {
			return ""
		}
		return p.style.paint(ansiBold, "◀ kept")
	})
	if r.Stopped != "" && r.Gain != nil { // else it is the verdict
		p.fields("note   ", "stopped early: "+printable(r.Stopped))
	}
}

// notFinite stands for a number that is infinite or none.
const notFinite = "not finite"

// figure writes a number that may not be finite.
func figure(x float64, decimals int) string {
	if !metric.IsFinite(x) {
		return notFinite
	}
	return fixed(x, decimals)
}

func percent(share float64) string {
	if !metric.IsFinite(share) {
		return notFinite
	}
	return fixed(100*share, 1) + " %"
}

// holdout prints the figures of the hold-out set before and after, and what a
// temperature does alone.
func (p *printer) holdout(f *Fix) {
	r := f.Result
	decimals := lossDecimals(r.Before)
	p.printf("\n")
	if r.After == nil || r.Gain == nil || r.ErrorDrop == nil {
		p.grid([][]string{
			{"hold-out", "before"},
			{"loss", figure(r.Before.Loss, decimals)}, {"error", percent(r.Before.Error)}, {"calibration error", figure(r.Before.ECE, 3)},
		}, []int{0}, nil)
	} else {
		p.figures("hold-out", "before", "after", r.Before, *r.After, *r.Gain, *r.ErrorDrop)
	}
	p.temperatureAlone(f)
}

// figures compares the figures of two models on the same images, whose loss and
// error fall by the given estimates from a to b.
func (p *printer) figures(title, nameA, nameB string, a, b metric.Figures, loss, wrong metric.Estimate) {
	decimals := max(lossDecimals(a), lossDecimals(b))
	p.grid([][]string{
		{title, nameA, nameB, "change (95 %)"},
		{"loss", figure(a.Loss, decimals), figure(b.Loss, decimals), change(loss, 1, decimals)},
		{"error", percent(a.Error), percent(b.Error), change(wrong, 100, 1) + " points"},
		{"calibration error", figure(a.ECE, 3), figure(b.ECE, 3)},
	}, []int{0, 3}, nil)
}

// change writes by how much something changes that falls by an estimate, in a
// unit of which there are scale to one.
func change(drop metric.Estimate, scale float64, decimals int) string {
	if !metric.IsFinite(drop.Mean) || !metric.IsFinite(drop.SE) {
		return notFinite
	}
	return signed(-scale*drop.Mean, decimals) + " ± " + fixed(scale*1.96*drop.SE, decimals)
}

// temperatureAlone says what one number does, beside what the treatment does. It
// is nothing new where that number is the treatment.
func (p *printer) temperatureAlone(f *Fix) {
	r := f.Result
	t := r.Temperature
	if t == nil || !f.Treatment.trains() || !metric.IsFinite(t.Drop.Mean) {
		return
	}
	decimals := lossDecimals(r.Before)
	drop := interval(t.Drop.Mean, t.Drop.SE, decimals)
	var text string
	switch {
	case !(t.Drop.Mean > 0):
		text = fmt.Sprintf("the temperature that fits the validation images best, %.3g, does not lower the loss by itself", t.Value)
	case r.Gain == nil:
		text = fmt.Sprintf("a temperature of %.3g alone takes off %s nats", t.Value, drop)
	case t.Drop.Mean >= r.Gain.Mean:
		text = fmt.Sprintf("a temperature of %.3g alone takes off %s nats: more than this treatment", t.Value, drop)
	default:
		text = fmt.Sprintf("a temperature of %.3g alone takes off %s nats: less than this treatment", t.Value, drop)
		if f.Treatment.Options.Calibrated {
			text += ", which includes it"
		}
	}
	p.fields("note   ", text)
}

// fixVerdict is the line a log is searched for, and what to do next.
func (p *printer) fixVerdict(f *Fix) {
	code, word, path := ansiGreen, "DONE", f.Model.Path
	var what []string
	switch r := f.Result; {
	case f.Trial && r.Accepted():
		what = append(what, "trial, nothing written: "+f.fall())
	case f.Trial:
		code, word = ansiRed, "FAIL"
		what = append(what, "trial, and nothing would be written: "+f.refusal())
	case f.Output == nil:
		code, word = ansiRed, "FAIL"
		what = append(what, "nothing was written: "+f.refusal())
	case f.Forced:
		code, word, path = ansiYellow, "FORCED", f.Output.Path
		what = append(what, "written, as --force demands, although "+f.refusal())
	default:
		path = f.Output.Path
		what = append(what, f.fall())
	}
	if f.Output != nil {
		what = append(what, plural(int(f.Output.BytesChanged), "byte")+" changed")
	}
	fields := append(append([]string{base(path)}, what...), duration(f.Provenance.Seconds))
	p.paintedFields(p.style.paint(code, word)+"  ", len(word)+2, fields...)
	p.written(f.Output)
	for _, hint := range f.hints() {
		p.hint(hint)
	}
}

// hint prints one piece of advice. A command, which stands between backquotes, is
// not broken, so that it can be copied.
func (p *printer) hint(text string) {
	const label, unbroken = "hint: ", "\ue000" // a rune that printable lets nobody else use
	parts := strings.Split(text, "`")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], " ", unbroken)
	}
	for i, line := range Wrap(strings.Join(parts, "`"), lineColumns-len(label)) {
		line = strings.ReplaceAll(line, unbroken, " ")
		if i == 0 {
			line = label + line
		} else {
			line = strings.Repeat(" ", len(label)) + line
		}
		p.printf("%s\n", p.style.paint(ansiDim, line))
	}
}

// written says what lies beside the file.
func (p *printer) written(o *Output) {
	if o == nil {
		return
	}
	if o.Backup != "" {
		p.fields("note   ", "the original is kept as "+printable(o.Backup))
	}
	for i, d := range o.DataFiles {
		if left := len(o.DataFiles) - i; i == maxListed && left > 1 {
			p.fields("note   ", fmt.Sprintf("and %d more data files", left))
			break
		}
		text := fmt.Sprintf("it needs the data file %s (%s), which lies beside it", d.Location, size(d.Size))
		if d.Copied {
			text += " as a copy"
		}
		p.fields("note   ", printable(text))
	}
}

// fall says by how much the hold-out loss has fallen.
func (f *Fix) fall() string {
	r := f.Result
	decimals := lossDecimals(r.Before)
	return fmt.Sprintf("hold-out loss %s → %s (down %s)", fixed(r.Before.Loss, decimals), fixed(r.After.Loss, decimals), interval(r.Gain.Mean, r.Gain.SE, decimals))
}

// refusal says in a sentence why a treatment is not accepted.
func (f *Fix) refusal() string {
	r := f.Result
	if r.Gain == nil {
		if r.Stopped == "" {
			return "there is no treated model"
		}
		return printable(fmt.Sprintf("the treatment diverged (%s)", r.Stopped))
	}
	decimals := lossDecimals(r.Before)
	figure := interval(r.Gain.Mean, r.Gain.SE, decimals)
	rise := interval(-r.Gain.Mean, r.Gain.SE, decimals)
	switch {
	case !metric.IsFinite(r.Gain.Mean):
		return "the model's hold-out loss is not finite"
	case r.Gain.CI95[1] < 0:
		return fmt.Sprintf("the hold-out loss has risen by %s", rise)
	case r.Gain.Mean > 0:
		return fmt.Sprintf("the hold-out loss has fallen by %s, which may be chance", figure)
	}
	return fmt.Sprintf("the hold-out loss has not fallen (change %s)", change(*r.Gain, 1, decimals))
}

// hints say what to do next.
func (f *Fix) hints() []string {
	r, model := f.Result, shellWord(f.Model.Path)
	var hints []string
	if o := f.Output; o != nil {
		original, fixed := model, shellWord(o.Path)
		if o.Backup != "" {
			original = shellWord(o.Backup)
		}
		hints = append(hints,
			fmt.Sprintf("`modeldoctor verify %s %s` lists what has changed", original, fixed),
			fmt.Sprintf("`modeldoctor check %s`, with the same data, diagnoses the treated model", fixed))
	}
	if r.Accepted() {
		return hints
	}
	if r.Gain == nil && r.Stopped != "" {
		hints = append(hints, fmt.Sprintf("a lower rate than --lr %v may not diverge", f.Treatment.Options.Rate))
	}
	if t := r.Temperature; t != nil && t.Drop.CI95[0] > 0 && f.Treatment.trains() {
		hints = append(hints, fmt.Sprintf("`modeldoctor fix --recipe temperature %s -o OUT`, with the same data, surely lowers the loss", model))
	}
	return hints
}

// shellWord writes a path so that it can be pasted into a shell.
func shellWord(path string) string {
	path = printable(path)
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_./:@%+=,-", r)
	}
	if path != "" && !strings.ContainsFunc(path, special) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
