package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/report/chart"
)

// fixPage shows the verdict, what a treatment did to the hold-out images, and charts.
func fixPage(f *Fix) *page {
	end := treatmentEnd{f}
	p := &page{
		Title: base(f.Model.Path), Verdict: string(f.Verdict), Tone: toneOf(end.color()), Basis: end.summary()[1:],
		Facts:  []fact{modelFact(f.Model), {"data", f.Data.fields(f.Recipe.trains())}, {"cost", f.costs()}},
		Tables: []pageTable{titled("Hold-out images", f.holdoutTable())},
		Notes:  slices.Concat(f.holdoutNotes(), end.hints()),
		Charts: fixCharts(f),
		Origin: f.Provenance.origin(),
	}
	if f.Recipe.trains() {
		p.Facts = append(p.Facts, fact{"treatment", []string{f.Recipe.roles(), f.Recipe.numbers(f.stepsPerEpoch(), f.TrainedAt)}})
	}
	if rows := f.epochTable(); rows != nil {
		p.Tables = append(p.Tables, titled("Epochs", rows))
	}
	return p
}

// titled is a table of rows whose first has the titles.
func titled(caption string, rows [][]string) pageTable {
	t := pageTable{Caption: caption, Head: rows[0]}
	for _, row := range rows[1:] {
		for len(row) < len(rows[0]) {
			row = append(row, "")
		}
		t.Rows = append(t.Rows, textCells(row))
	}
	return t
}

// fixCharts are the losses of the epochs, and how the loss of each hold-out image has
// changed.
func fixCharts(f *Fix) []*chart.Chart {
	var charts []*chart.Chart
	if len(f.Epochs) > 0 {
		train := chart.Series{Name: "training", Style: chart.Lines, Color: chart.Second}
		validation := chart.Series{Name: "validation", Style: chart.Lines, Color: chart.First}
		var names []string
		for i, e := range f.Epochs {
			names = append(names, fmt.Sprint(e.Epoch))
			train.X, train.Y = append(train.X, float64(i)), append(train.Y, orNaN(e.TrainLoss))
			validation.X, validation.Y = append(validation.X, float64(i)), append(validation.Y, float64(e.ValLoss))
		}
		charts = append(charts, &chart.Chart{
			Name: "epochs", Title: "Loss by epoch", X: "epoch", Y: "nats per image", Categories: names,
			Alt:    "The loss of the training images during each epoch and that of the validation images after it; the epoch with the lowest validation loss is kept.",
			Series: []chart.Series{train, validation},
		})
	}
	if s := histogram(f.Falls); s != nil {
		better := 0
		for _, fall := range f.Falls {
			if fall > 0 {
				better++
			}
		}
		charts = append(charts, &chart.Chart{
			Name: "changes", Title: "Change of each hold-out image's loss", X: "loss before − loss after, nats", Y: "images",
			Alt:    fmt.Sprintf("A histogram of by how much the loss of each hold-out image falls: it falls for %s of %s. The outermost bins hold all that lies beyond.", thousands(better), plural(len(f.Falls), "image")),
			Series: []chart.Series{*s},
		})
	}
	return charts
}

// histogramBins is the number of bins of a histogram; tailShare of the values on
// either side share the outermost.
const (
	histogramBins = 41
	tailShare     = 0.005
)

// histogram counts values in bins about 0; nil where there are none, or none but 0.
func histogram(values []float64) *chart.Series {
	if len(values) == 0 || slices.ContainsFunc(values, func(x float64) bool { return !metric.IsFinite(x) }) {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	tail := int(tailShare * float64(len(sorted)))
	widest := max(math.Abs(sorted[tail]), math.Abs(sorted[len(sorted)-1-tail]))
	if widest == 0 {
		return nil
	}
	const half = histogramBins / 2
	s := &chart.Series{Style: chart.Bars, Color: chart.First, X: make([]float64, histogramBins), Y: make([]float64, histogramBins)}
	for i := range s.X {
		s.X[i] = float64(i-half) / half * widest
	}
	for _, x := range values {
		i := half + int(math.Round(max(-1, min(1, x/widest))*half))
		s.Y[i]++
	}
	return s
}

// comparePage shows the recipes beside each other.
func comparePage(c *Compare) *page {
	end := comparisonEnd{c}
	p := &page{
		Title: base(c.Model.Path), Verdict: string(c.Verdict), Tone: toneOf(end.color()), Basis: end.summary()[1:],
		Facts:  []fact{modelFact(c.Model), {"data", c.Data.fields(true)}, {"seeds", []string{joined(c.Seeds)}}},
		Tables: []pageTable{titled("Recipes", c.table())},
		Notes:  c.notes(),
		Charts: compareCharts(c),
		Origin: c.Provenance.origin(),
	}
	if rows := c.differences(); len(rows) > 1 {
		p.Tables = append(p.Tables, titled("Differences", rows))
		p.Notes = append(p.Notes, c.aboutDifferences())
	}
	return p
}

// compareCharts are what recipes cost against what they bring.
func compareCharts(c *Compare) []*chart.Chart {
	f := &chart.Chart{
		Name: "loss-by-time", Title: "Loss against time", X: "seconds per epoch", Y: "hold-out loss, nats",
		Alt: "Each recipe by the seconds that one of its epochs takes and the hold-out loss after it, with the standard deviation over seeds: to the left is cheaper, below is better.",
	}
	colors := []chart.Color{chart.First, chart.Second, chart.Third, chart.Alarm, chart.Ink}
	for i, r := range c.Rows {
		if r.Loss == nil {
			continue
		}
		seconds, loss, sd := 0.0, float64(r.Loss.Mean), 0.0
		if r.SecondsPerEpoch != nil {
			seconds = float64(r.SecondsPerEpoch.Mean)
		}
		if r.Loss.N > 1 {
			sd = float64(r.Loss.SD)
		}
		f.Series = append(f.Series, chart.Series{
			Name: printable(r.Recipe), Color: colors[i%len(colors)],
			X: []float64{seconds}, Y: []float64{loss}, Low: []float64{loss - sd}, High: []float64{loss + sd},
		})
	}
	if c.Before != nil {
		f.Rules = []chart.Rule{{Name: "untreated", Y: float64(c.Before.Loss)}}
	}
	if len(f.Series) == 0 {
		return nil
	}
	return []*chart.Chart{f}
}

// verifyPage is the text.
func verifyPage(v *Verify) *page {
	p := &page{Title: base(v.A.Path) + " and " + base(v.B.Path), Verdict: "DIFFERENT", Tone: toneOpen, Text: asText(v), Origin: v.Provenance.origin()}
	if v.Same {
		p.Verdict, p.Tone = "SAME", toneGood
	}
	return p
}

// planPage is the text.
func planPage(f *FixPlan) *page {
	verdict := Planned
	if f.Nothing != "" {
		verdict = Nothing
	}
	return &page{Title: base(f.Model.Path), Verdict: string(verdict), Tone: toneOpen, Text: asText(f), Origin: f.Provenance.origin()}
}

// asText is a result as it is printed.
func asText(r Result) string {
	var out strings.Builder
	r.text(&printer{w: &out, style: Style{Width: mostColumns}})
	return out.String()
}
