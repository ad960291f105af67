package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
)

// Columns of a comparison: that of the layers, and the first of what the runs cost.
const (
	compareLayers = 1
	compareCost   = 7
)

// table is a comparison in cells, titles first, then the untreated checkpoint.
func (c *Compare) table() [][]string {
	decimals := c.decimals()
	untreated := []string{"untreated", "–", "–", "–", "–", "–", "–", "–", "–", "–"}
	if b := c.Before; b != nil {
		untreated[2], untreated[4], untreated[6] = figure(b.Loss, decimals), percent(b.Error), figure(b.ECE, 3)
	}
	rows := [][]string{
		{"recipe", "layers", "hold-out loss", "at own T", "error", "change", "ECE", "s/epoch", "memory", "accepted"},
		untreated,
	}
	for _, r := range c.Rows {
		row := []string{printable(r.Recipe), layerPath(r.Perturb, r.Update), r.Loss.text(1, decimals), r.Own.text(1, decimals), "–", r.ErrorChange.text(100, 1), "–", "–", "–", "–"}
		if r.Error != nil && r.ECE != nil {
			row[4], row[6] = percent(r.Error.Mean), figure(r.ECE.Mean, 3)
		}
		if s := r.SecondsPerEpoch; s != nil {
			row[7] = s.text(1, secondsDecimals(float64(s.Mean)))
		}
		if len(r.Runs) > 0 {
			row[8], row[9] = size(r.PeakBytes), fmt.Sprintf("%d of %d", r.Accepted, len(r.Runs))
		}
		rows = append(rows, row)
	}
	return rows
}

// decimals is how many a loss has.
func (c *Compare) decimals() int {
	if c.Before == nil {
		return lossDecimals(Figures{})
	}
	return lossDecimals(*c.Before)
}

// layerPath names what is perturbed and what is updated: "embed → head", or only
// one list where nothing is perturbed, or the same many layers are.
func layerPath(perturb, update []string) string {
	if len(perturb) == 0 || len(perturb) > maxTreated && slices.Equal(perturb, update) {
		return briefly(update)
	}
	return briefly(perturb) + " → " + briefly(update)
}

// text writes a mean and, of several runs, the standard deviation, in a unit of
// which there are scale to one.
func (s *Spread) text(scale Number, decimals int) string {
	switch {
	case s == nil:
		return "–"
	case s.N == 1:
		return figure(scale*s.Mean, decimals)
	}
	return figure(scale*s.Mean, decimals) + " ± " + figure(scale*s.SD, decimals)
}

// forError reports whether the error was to be lowered, by all runs alike.
func forError(rows []CompareRow) bool {
	return slices.ContainsFunc(rows, func(r CompareRow) bool {
		return len(r.runs) > 0 && r.runs[0].Recipe.Hyperparameters.Goal == pol.LowerError.String()
	})
}

// notes say what the table has no column for.
func (c *Compare) notes() []string {
	var notes []string
	if slices.ContainsFunc(c.Rows, func(r CompareRow) bool { return r.ErrorChange != nil }) {
		notes = append(notes, "at own T: with the temperature that fits the treated model; change: of the error, in points, with its 95 % interval, image by image")
	}
	if slices.ContainsFunc(c.Rows, func(r CompareRow) bool { return r.Loss != nil && r.Loss.N > 1 }) {
		over := plural(len(c.Seeds), "seed")
		if !c.Complete {
			over = "the seeds that are finished"
		}
		notes = append(notes, "± is the standard deviation over "+over)
	}
	if slices.ContainsFunc(c.Rows, func(r CompareRow) bool { return len(r.Runs) > 0 }) {
		asked := "a loss significantly lower than untreated and than with a temperature alone, and an error not significantly higher"
		if forError(c.Rows) {
			asked = "an error significantly lower than untreated, and a loss not significantly higher"
		}
		notes = append(notes, fmt.Sprintf("accepted: runs that fix would write: at least %d hold-out images, %s", pol.MinHoldout, asked))
	}
	for _, r := range c.Rows {
		if r.Cache.Where == keptInFile {
			notes = append(notes, fmt.Sprintf("%s: activations took %s in a temporary file, which peak memory leaves out", printable(r.Recipe), size(r.Cache.Bytes)))
		}
		for _, run := range r.Runs {
			if run.Stopped != "" {
				notes = append(notes, printable(fmt.Sprintf("%s: seed %d stopped early: %s", r.Recipe, run.Seed, run.Stopped)))
			}
		}
		if r.Failed != "" {
			notes = append(notes, printable(fmt.Sprintf("%s failed: %s", r.Recipe, r.Failed)))
		}
	}
	if !c.Complete {
		notes = append(notes, "incomplete: "+comparisonEnd{c}.unfinished())
	}
	return notes
}

// unfinished names the runs that are missing because the work was cut short.
func (c comparisonEnd) unfinished() string {
	var missing []string
	for _, r := range c.Rows {
		if n := len(r.Unfinished); n > 0 {
			word := "seed "
			if n > 1 {
				word = "seeds "
			}
			missing = append(missing, printable(r.Recipe)+" ("+word+joined(r.Unfinished)+")")
		}
	}
	return "an interruption or the time limit came before these had ended: " + strings.Join(missing, ", ")
}

// comparisonEnd words what a comparison has come to.
type comparisonEnd struct{ *Compare }

// color is that of the verdict.
func (c comparisonEnd) color() string {
	switch c.Verdict {
	case Incomplete:
		return ansiYellow
	case Fail:
		return ansiRed
	}
	return ansiBold
}

// text ends the text: whether all runs have ended, and which recipe came out lowest.
func (c comparisonEnd) text(p *printer) { p.verdict(c.color(), string(c.Verdict), c.summary()...) }

// summary is what the line says that a log is searched for.
func (c comparisonEnd) summary() []string {
	extent := plural(len(c.Rows), "recipe")
	if !c.Complete {
		finished, all := 0, 0
		for _, r := range c.Rows {
			finished += len(r.Runs)
			all += len(r.Runs) + len(r.Unfinished)
		}
		extent = fmt.Sprintf("%d of %s finished", finished, plural(all, "run"))
	}
	return []string{base(c.Model.Path), extent, c.lowest(), duration(c.Provenance.Seconds)}
}

// text tells of each recipe in a row below that of the untreated checkpoint, and
// which has come out lowest.
func (c *Compare) text(p *printer) {
	p.model(c.Model, "")
	c.Data.text(p, true)
	p.fields("seeds  ", joined(c.Seeds), "each treatment starts from the same checkpoint, in a process of its own")
	p.printf("\n")
	c.grid(p)
	p.printf("\n")
	if rows := c.differences(); len(rows) > 1 {
		if left := []int{0, 2, 4}; tableWidth(rows, left) <= p.style.width() {
			p.grid(rows, left, nil)
		} else {
			p.stacked(rows)
		}
		p.fields("note   ", c.aboutDifferences())
		p.printf("\n")
	}
	comparisonEnd{c}.text(p)
}

// differences is a table of the differences between every two recipes.
func (c *Compare) differences() [][]string {
	rows := [][]string{{"difference (95 %)", "hold-out loss", "", "at own T", "", "error, points"}}
	for _, d := range c.Differences {
		row := []string{printable(d.A + " − " + d.B), d.Loss.text(1, 3), d.Loss.verdict(), "–", "", d.Error.text(100, 1)}
		if d.Own != nil {
			row[3], row[4] = d.Own.text(1, 3), d.Own.verdict()
		}
		rows = append(rows, row)
	}
	return rows
}

// stacked prints a table of differences, of which each has two columns, with a line for
// each figure. Where that is too wide as well, what is compared has a line of its own.
func (p *printer) stacked(rows [][]string) {
	const inset = "  "
	titles := rows[0]
	beside, below := [][]string{{titles[0], "", "", ""}}, [][]string{}
	for _, row := range rows[1:] {
		for j := 1; j < len(row); j += 2 {
			pair := ""
			if j == 1 {
				pair = row[0]
			}
			figure := slices.Concat([]string{titles[j]}, row[j:min(j+2, len(row))])
			beside, below = append(beside, slices.Concat([]string{pair}, figure)), append(below, slices.Concat(figure, []string{""})[:3])
		}
	}
	if left := []int{0, 1, 3}; tableWidth(beside, left) <= p.style.width() {
		p.grid(beside, left, nil)
		return
	}
	p.printf("%s\n", p.style.paint(ansiDim, titles[0]))
	for i, line := range aligned(below, []int{0, 2}) {
		if pair := beside[1+i][0]; pair != "" {
			p.printf("%s\n", pair)
		}
		p.printf("%s\n", strings.TrimRight(inset+line, " "))
	}
}

// aboutDifferences says what the words of that table mean.
func (c *Compare) aboutDifferences() string {
	return fmt.Sprintf("each interval is of images and seeds, by itself; lower, higher: significantly; equivalent: within ±%v nats, by two one-sided tests of 97.5 %%", c.Margin)
}

// text writes a difference with its interval, in a unit of which there are scale to
// one.
func (c *Contrast) text(scale float64, decimals int) string {
	if c == nil {
		return "–"
	}
	return signed(scale*c.Difference, decimals) + " ± " + fixed(scale*metric.Z95*c.SE, decimals)
}

// verdict says what a difference of losses is.
func (c *LossContrast) verdict() string {
	var words []string
	switch {
	case c.Significant && c.Difference < 0:
		words = append(words, "lower")
	case c.Significant:
		words = append(words, "higher")
	}
	if c.Equivalent {
		words = append(words, "equivalent")
	}
	if words == nil {
		return "undecided"
	}
	return strings.Join(words, ", ")
}

// joined lists seeds.
func joined(seeds []uint64) string {
	list := make([]string, len(seeds))
	for i, s := range seeds {
		list[i] = fmt.Sprint(s)
	}
	return strings.Join(list, ", ")
}

// grid prints the table and the notes on it. Where the table is too wide, the layers are
// listed below.
func (c *Compare) grid(p *printer) {
	rows, left := c.table(), []int{0, compareLayers}
	whole := tableWidth(rows, left) <= p.style.width()
	if !whole {
		var rest [][]string
		for _, row := range rows {
			rest = append(rest, slices.Concat(row[:compareLayers], row[compareLayers+1:]))
		}
		p.grid(rest, []int{0}, nil, compareCost-1)
	} else {
		p.grid(rows, left, nil)
	}
	for _, note := range c.notes() {
		p.fields("note   ", note)
	}
	if whole {
		return
	}
	p.printf("\n")
	var names [][]string
	for _, row := range rows {
		names = append(names, row[:1])
	}
	for i, label := range aligned(names, []int{0}) {
		layers := rows[i][compareLayers]
		switch {
		case i == 0:
			p.printf("%s\n", p.style.paint(ansiDim, label+layers))
		case i > 1: // the untreated checkpoint has none
			p.hanging(label, columns(label), layers)
		}
	}
}

// lowest says which recipe has the lowest mean loss.
func (c comparisonEnd) lowest() string {
	means := make([]float64, len(c.Rows))
	for i, r := range c.Rows {
		means[i] = math.NaN()
		if r.Loss != nil {
			means[i] = float64(r.Loss.Mean)
		}
	}
	lowest := metric.Lowest(means)
	switch {
	case lowest < 0:
		return "no recipe has come to a figure"
	case !(c.Rows[lowest].Loss.Mean < c.Before.Loss):
		return "no recipe lowers the hold-out loss"
	}
	return fmt.Sprintf("lowest hold-out loss: %s, %s", printable(c.Rows[lowest].Recipe), c.Rows[lowest].Loss.text(1, c.decimals()))
}
