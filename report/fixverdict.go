package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/pol"
)

// treatmentEnd words what became of a treatment, and what to do next.
type treatmentEnd struct{ *Fix }

// color is that of the verdict.
func (f treatmentEnd) color() string {
	switch f.Verdict {
	case Done:
		return ansiGreen
	case Forced:
		return ansiYellow
	}
	return ansiRed
}

// summary is what the line says that a log is searched for.
func (f treatmentEnd) summary() []string {
	path := f.Model.Path
	if f.Output != nil {
		path = f.Output.Path
	}
	var what string
	switch {
	case f.Trial && f.Accepted:
		what = "trial, nothing written: " + f.fall()
	case f.Trial:
		what = "trial, and nothing would be written: " + f.refusal()
	case f.Output == nil:
		what = "nothing was written: " + f.refusal()
	case f.Forced:
		what = "written, as --force demands, although " + f.refusal()
	default:
		what = f.fall()
	}
	fields := []string{base(path), what}
	if f.Output != nil {
		fields = append(fields, plural(int(f.Output.BytesChanged), "byte")+" changed")
	}
	return append(fields, duration(f.Provenance.Seconds))
}

// text prints the verdict, what lies beside the file, and what to do next.
func (f treatmentEnd) text(p *printer) {
	p.verdict(f.color(), string(f.Verdict), f.summary()...)
	if f.Output != nil {
		for _, note := range f.Output.notes() {
			p.fields("note   ", note)
		}
	}
	for _, hint := range f.hints() {
		p.hint(hint)
	}
}

// notes say what lies beside the file.
func (o *Output) notes() []string {
	var notes []string
	if o.Backup != "" {
		notes = append(notes, "the original is kept as "+printable(string(o.Backup)))
	}
	for i, d := range o.DataFiles {
		if left := len(o.DataFiles) - i; i == maxListed && left > 1 {
			return append(notes, fmt.Sprintf("and %d more data files", left))
		}
		text := fmt.Sprintf("it needs the data file %s (%s), which lies beside it", d.Location, size(d.Bytes))
		if d.Copied {
			text += " as a copy"
		}
		notes = append(notes, printable(text))
	}
	return notes
}

// fall says by how much has fallen what was to fall.
func (f treatmentEnd) fall() string {
	if g := f.Gain; f.Recipe.Hyperparameters.Goal == pol.LowerError.String() && g.Error != nil {
		return fmt.Sprintf("hold-out error %s → %s (down %s points)", percent(f.Before.Error), percent(f.After.Error), interval(100*(*g.Error), 100*(*g.ErrorSE), 1))
	}
	decimals := lossDecimals(f.Before)
	return fmt.Sprintf("hold-out loss %s → %s (down %s)", fixed(float64(f.Before.Loss), decimals), fixed(float64(f.After.Loss), decimals), interval(f.Gain.Loss, f.Gain.SE, decimals))
}

// refusal says in a sentence why a treatment is not accepted.
func (f treatmentEnd) refusal() string {
	var reasons []string
	for _, o := range f.Objections {
		// A loss that has not even fallen is not compared with anything lower.
		if o != pol.NotBeyondTemperature || !slices.Contains(f.Objections, pol.LossNotLower) {
			reasons = append(reasons, f.reason(o))
		}
	}
	return strings.Join(reasons, "; ")
}

// reason says in a sentence what an objection is about.
func (f treatmentEnd) reason(o pol.Objection) string {
	decimals := lossDecimals(f.Before)
	switch g := f.Gain; o {
	case pol.TooFewImages:
		return fmt.Sprintf("%s cannot decide, at least %d are needed", plural(f.Data.Holdout.N, "hold-out image"), pol.MinHoldout)
	case pol.NoSpread:
		return "the loss of every hold-out image changes by the same, so that there is no telling chance apart"
	case pol.NoTemperature:
		return fmt.Sprintf("no temperature is best: the validation loss falls beyond %v, the end of the range, because every answer is right or all are useless", float64(f.Temperature.Value))
	case pol.NotBeyondTemperature:
		return fmt.Sprintf("the hold-out loss is not significantly lower than with the temperature alone (change from there %s)", change(f.Beyond.DeltaLoss, f.Beyond.SE, 1, decimals))
	case pol.ErrorHigher:
		return fmt.Sprintf("the hold-out error has risen by %s points", interval(-100*(*g.Error), 100*(*g.ErrorSE), 1))
	case pol.ErrorNotLower:
		return fmt.Sprintf("the hold-out error is not significantly lower (%s became right and %d wrong, change %s points)", plural(f.Mended, "answer"), f.Spoiled, change(*g.Error, *g.ErrorSE, 100, 1))
	case pol.LossHigher:
		if b := f.OwnBeyond; b != nil && b.CI95[1] < 0 {
			return fmt.Sprintf("the hold-out loss is higher by %s, with the temperature that fits each model", interval(-b.DeltaLoss, b.SE, decimals))
		}
		return fmt.Sprintf("the hold-out loss has risen by %s", interval(-g.Loss, g.SE, decimals))
	case pol.LossNotLower:
		switch {
		case g.CI95[1] < 0:
			return fmt.Sprintf("the hold-out loss has risen by %s", interval(-g.Loss, g.SE, decimals))
		case g.Loss > 0:
			return fmt.Sprintf("the hold-out loss has fallen by %s, which may be chance", interval(g.Loss, g.SE, decimals))
		}
		return fmt.Sprintf("the hold-out loss has not fallen (change %s)", change(g.Loss, g.SE, 1, decimals))
	}
	switch {
	case f.Gain != nil:
		return "the model's hold-out loss is not finite"
	case f.Stopped == "":
		return "there is no treated model"
	}
	if f.nothing() {
		return printable(string(f.Stopped))
	}
	return printable(fmt.Sprintf("the treatment diverged (%s)", f.Stopped))
}

// namedLayerHint says what to do where a diagnosis finds no layer to treat.
const namedLayerHint = "name a layer with --update to treat it all the same"

// nothing reports whether no layer was found that could be treated.
func (f treatmentEnd) nothing() bool {
	return !f.Recipe.trains() && f.Recipe.Name != pol.RecipeTemperature
}

// hints say what to do next.
func (f treatmentEnd) hints() []string {
	var hints []string
	if o := f.Output; o != nil {
		original, fixed := shellWord(f.Model.Path), shellWord(o.Path)
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
	if f.nothing() {
		hints = append(hints, namedLayerHint)
	}
	if rate := f.Recipe.Hyperparameters.Rate; f.Gain == nil && f.Stopped != "" && rate != nil {
		hints = append(hints, fmt.Sprintf("a lower rate than --lr %v may not diverge", *rate))
	}
	if f.Instead != nil {
		hints = append(hints, fmt.Sprintf("a temperature is the treatment here: `%s`", commandLine(f.Instead)))
	}
	return hints
}
