package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/report/chart"
)

// checkPage shows the verdict, the figures, the layers as a table, and charts.
func checkPage(c *Check) *page {
	end, table := conclusion{c}, layerTable{c}
	p := &page{
		Title: base(c.Model.Path), Verdict: string(c.Verdict), Tone: toneOf(end.color()), Basis: end.basis(),
		Facts:  []fact{modelFact(c.Model, analysed(c)), {"data", dataFields(c)}, {"loss", lossFields(c)}},
		Notes:  table.notes(),
		Origin: append(c.Provenance.origin(), fact{"exit status", []string{end.exit()}}),
	}
	if c.Plan != nil {
		p.Facts = slices.Insert(p.Facts, 2, fact{"plan", c.Plan.fields()})
	}
	if t := c.Metrics.Temperature; t != nil {
		p.Facts = append(p.Facts, fact{"temperature", []string{temperatureText(c, t)}})
	}
	if c.Limit != nil {
		p.Facts = append(p.Facts, fact{"limit", []string{"gains are compared with " + c.limit()}})
	}
	for _, note := range append(dataCautions(c.Data.Skipped, c.Data.AssumedOrder), measurementNotes(c)...) {
		p.Facts = append(p.Facts, fact{"note", []string{note}})
	}
	p.Rules, p.Tables, p.Charts = pageRules(c), []pageTable{table.page()}, checkCharts(c)
	return p
}

// pageRules are the rules that are breached.
func pageRules(c *Check) []pageRule {
	var rules []pageRule
	for _, group := range groupViolations(c.Violations, c.Worst.ByTransfer) {
		title := ""
		if rule, ok := diag.ExplainRule(group[0].Rule); ok {
			title = rule.Title
		}
		rules = append(rules, pageRule{group[0].Rule, string(group[0].Level), title, groupText(group)})
	}
	return rules
}

// page is the table with all its columns, that of verdicts behind the names.
func (t layerTable) page() pageTable {
	columns := t.columns(0, all)
	table := pageTable{Caption: "Layers", Class: "layers"}
	for i, row := range t.rows(columns) {
		for len(row) < len(columns) {
			row = append(row, "")
		}
		if i == 0 {
			table.Head = slices.Insert(row[:len(columns)], 1, "verdict")
			continue
		}
		l := &t.Layers[i-1]
		cells := textCells(row)
		for j, c := range columns {
			if l.measured() || j < 2 {
				cells[j].Sort = c.number(l)
			}
		}
		verdict := pageCell{Text: t.marks(Style{}, l), Tone: verdictTones[l.Verdict]}
		table.Rows = append(table.Rows, slices.Insert(cells, 1, verdict))
	}
	return table
}

var verdictTones = map[diag.Verdict]string{diag.Over: toneBad, diag.Under: toneGood, diag.Undecided: toneOpen}

// checkCharts are the gains along depth, κ along depth, the loss along each layer's
// step, and how far confidence can be relied on.
func checkCharts(c *Check) []*chart.Chart {
	var names []string
	var depth, inSample, kappa []float64
	var gain, raw intervals
	for _, l := range c.Layers {
		if !l.measured() {
			continue
		}
		depth = append(depth, float64(len(names)))
		names = append(names, printable(l.Name))
		inSample = append(inSample, l.DeltaLoss)
		gain.add(l.Transfer)
		raw.add(l.Raw)
		kappa = append(kappa, orNaN(l.KappaScaled))
	}
	if len(names) == 0 {
		return nil
	}
	recoverable := &chart.Chart{
		Name: "recoverable-loss", Title: "Recoverable loss along depth", Y: "nats per image", Categories: names,
		Alt:    "For each layer from the input to the output: ΔL̂, the loss of unseen images that moving it takes off, with its 95 % interval. " + largestInWords(c),
		Series: []chart.Series{{Name: "ΔL̂, unseen images", Color: chart.First, X: depth, Y: gain.mean, Low: gain.low, High: gain.high}},
	}
	if hasRaw(c) {
		recoverable.Alt += " Beside it the same with the logits as they came, of which much is what a temperature alone takes off."
		recoverable.Series[0].Name, recoverable.Series[0].X = fmt.Sprintf("ΔL̂ at temperature %.3g", *c.Calibrated), moved(depth, -beside)
		recoverable.Series = append(recoverable.Series, chart.Series{Name: "raw ΔL̂, logits as they came", Color: chart.Second, X: moved(depth, beside), Y: raw.mean, Low: raw.low, High: raw.high})
	}
	gap := &chart.Chart{
		Name: "memorisation-gap", Title: "In-sample against transferred gain", Y: "nats per image", Categories: names,
		Alt: "For each layer: ΔL, what moving it takes off the loss of the very images that chose the move, above ΔL̂, what is left of that on images that did not. The distance is what a layer memorises in one step.",
		Series: []chart.Series{
			{Name: "ΔL, in-sample", Style: chart.Lines, Color: chart.Second, X: depth, Y: inSample},
			{Name: "ΔL̂, unseen images", Style: chart.Lines, Color: chart.First, X: depth, Y: gain.mean},
		},
	}
	if c.Limit != nil {
		recoverable.Rules = []chart.Rule{{Name: "limit " + fixed(*c.Limit, c.decimals()), Y: *c.Limit}}
	}
	curvature := &chart.Chart{
		Name: "curvature", Title: "Curvature along depth", Y: "κ·‖w‖², nats", LogY: true, Categories: names,
		Alt:    "For each layer, on a logarithmic axis: κ·‖w‖², the loss per squared relative move, which no rescaling of the weights changes.",
		Series: []chart.Series{{Style: chart.Lines, Color: chart.Third, X: depth, Y: kappa}},
	}
	charts := []*chart.Chart{recoverable, gap, curvature}
	if f := reliabilityChart(c); f != nil {
		charts = append(charts, f)
	}
	for i := range c.Layers {
		if f := c.Layers[i].curve(); f != nil {
			charts = append(charts, f)
		}
	}
	return charts
}

// beside is how far two figures of a layer are drawn from its middle.
const beside = 0.13

// moved are places that are so far to the right.
func moved(x []float64, by float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		out[i] = x[i] + by
	}
	return out
}

// intervals are transfer figures as a chart has them.
type intervals struct{ mean, low, high []float64 }

// add adds a figure, which may be missing.
func (v *intervals) add(t *Transfer) {
	mean, ends := math.NaN(), [2]float64{math.NaN(), math.NaN()}
	if t != nil {
		mean, ends = t.Mean, [2]float64{t.Mean, t.Mean}
		if t.CI95 != nil {
			ends = *t.CI95
		}
	}
	v.mean, v.low, v.high = append(v.mean, mean), append(v.low, ends[0]), append(v.high, ends[1])
}

// largestInWords says where the largest gains are.
func largestInWords(c *Check) string {
	if c.Worst.ByTransfer == "" {
		return "None is above 0."
	}
	for _, l := range c.Layers {
		if l.Name == string(c.Worst.ByTransfer) && l.Transfer != nil {
			return fmt.Sprintf("The largest is that of %s, %s nats.", printable(l.Name), strings.TrimSpace(fixed(l.Transfer.Mean, c.decimals())+plusMinus(l.Transfer.SE, c.decimals())))
		}
	}
	return ""
}

// reliabilityChart is the reliability diagram; nil where it is not known.
func reliabilityChart(c *Check) *chart.Chart {
	series := func(name string, color chart.Color, bins []metric.ReliabilityBin) chart.Series {
		s := chart.Series{Name: name, Style: chart.Lines, Color: color}
		for _, b := range bins {
			s.X, s.Y = append(s.X, b.Confidence), append(s.Y, b.Accuracy)
		}
		return s
	}
	if len(c.Metrics.Reliability) == 0 {
		return nil
	}
	f := &chart.Chart{
		Name: "reliability", Title: "Reliability of the confidence", X: "confidence", Y: "share of right answers", Unit: true,
		Alt:    "Images in 15 bins by the confidence of the answer: on the diagonal a model is as often right as it says, below it it is over-confident.",
		Series: []chart.Series{series("as it came", chart.Second, c.Metrics.Reliability)},
	}
	if c.Calibrated != nil {
		f.Series = append(f.Series, series(fmt.Sprintf("at temperature %.3g", *c.Calibrated), chart.First, c.Metrics.CalibratedReliability))
	}
	return f
}

// curve is the loss along the layer's step; nil where there are no points.
func (l *Layer) curve() *chart.Chart {
	if l.Status != diag.StatusOK || len(l.Points) < 2 {
		return nil
	}
	name := printable(l.Name)
	s := chart.Series{Style: chart.Lines, Color: chart.First}
	for _, point := range l.Points {
		s.X, s.Y = append(s.X, point[0]), append(s.Y, point[1])
	}
	return &chart.Chart{
		Name: fmt.Sprintf("along-%03d", l.Index), Title: "Loss along the step of " + name, Small: true, X: "t", Y: "nats per image",
		Alt:    fmt.Sprintf("The loss of the images that chose the direction, at the points that the search of %s has evaluated; it is lowest after a step of %s, %s of the layer's norm.", name, significant(l.Step), optional(l.StepShare, func(x float64) string { return fixed(100*x, 1) + " %" })),
		Series: []chart.Series{s},
	}
}

// orNaN is a number that may be absent.
func orNaN(x *float64) float64 {
	if x == nil {
		return math.NaN()
	}
	return *x
}
