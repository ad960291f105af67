package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/metric"
)

type jsonCompare struct {
	SchemaVersion int               `json:"schema_version"`
	Model         jsonModel         `json:"model"`
	Data          jsonTreatmentData `json:"data"`
	Seeds         []uint64          `json:"seeds"`
	Before        jsonFigures       `json:"before"`
	Rows          []jsonCompareRow  `json:"rows"`
	Provenance    jsonProvenance    `json:"provenance"`
}

type jsonCompareRow struct {
	Recipe          string           `json:"recipe"`
	Perturb         []string         `json:"perturb"`
	Update          []string         `json:"update"`
	Loss            *jsonSpread      `json:"loss"`
	Error           *jsonSpread      `json:"error"`
	ECE             *jsonSpread      `json:"ece"`
	Gain            *jsonSpread      `json:"gain"`
	SecondsPerEpoch *jsonSpread      `json:"seconds_per_epoch"`
	PeakBytes       int64            `json:"peak_bytes"`
	ResidentBytes   int64            `json:"resident_bytes"`
	Cache           jsonCompareCache `json:"cache"`
	Accepted        int              `json:"accepted"`
	Failed          *string          `json:"failed"`
	Runs            []jsonCompareRun `json:"runs"`
}

type jsonSpread struct {
	Mean number `json:"mean"`
	SD   number `json:"sd"`
	N    int    `json:"n"`
}

func jsonSpreadOf(s *Spread) *jsonSpread {
	if s == nil {
		return nil
	}
	return &jsonSpread{number(s.Mean), number(s.SD), s.N}
}

type jsonCompareCache struct {
	Bytes int64  `json:"bytes"`
	Where string `json:"where"`
}

type jsonCompareRun struct {
	Seed            uint64      `json:"seed"`
	Loss            *float64    `json:"loss"`
	Error           *float64    `json:"error"`
	ECE             *float64    `json:"ece"`
	Gain            *float64    `json:"gain"`
	GainCI95        *[2]float64 `json:"gain_ci95"`
	SecondsPerEpoch float64     `json:"seconds_per_epoch"`
	PeakBytes       int64       `json:"peak_bytes"`
	ResidentBytes   int64       `json:"resident_bytes"`
	Accepted        bool        `json:"accepted"`
	Stopped         *string     `json:"stopped"`
}

// CompareJSON writes a comparison of recipes as one JSON document.
func CompareJSON(w io.Writer, c *Compare) error {
	out := jsonCompare{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(c.Model),
		Data:          jsonTreatmentDataOf(c.Data),
		Seeds:         append([]uint64{}, c.Seeds...),
		Before:        jsonFiguresOf(c.Before),
		Rows:          make([]jsonCompareRow, len(c.Rows)),
		Provenance:    jsonProvenance(c.Provenance),
	}
	for i, r := range c.Rows {
		row := jsonCompareRow{
			Recipe: r.Recipe, Perturb: append([]string{}, r.Perturb...), Update: append([]string{}, r.Update...),
			Loss: jsonSpreadOf(r.Loss), Error: jsonSpreadOf(r.Error), ECE: jsonSpreadOf(r.ECE), Gain: jsonSpreadOf(r.Gain),
			SecondsPerEpoch: jsonSpreadOf(r.SecondsPerEpoch), PeakBytes: r.PeakBytes, ResidentBytes: r.ResidentBytes,
			Cache: jsonCompareCache{r.CacheBytes, cacheWhere(r.CacheBytes, r.CacheInFile)}, Accepted: r.Accepted, Failed: optional(r.Failed),
			Runs: make([]jsonCompareRun, len(r.Runs)),
		}
		for j, run := range r.Runs {
			row.Runs[j] = jsonCompareRun{
				run.Seed, run.Loss, run.Error, run.ECE, run.Gain, run.GainCI95,
				run.SecondsPerEpoch, run.PeakBytes, run.ResidentBytes, run.Accepted, optional(run.Stopped),
			}
		}
		out.Rows[i] = row
	}
	return writeJSON(w, out)
}

// compareLayers is the column of the layers in a comparison.
const compareLayers = 1

// table is a comparison in cells, titles first, then the untreated checkpoint.
func (c *Compare) table() [][]string {
	decimals := lossDecimals(c.Before)
	rows := [][]string{
		{"recipe", "layers", "hold-out loss", "error", "ECE", "s/epoch", "peak memory", "accepted"},
		{"untreated", "–", figure(c.Before.Loss, decimals), percent(c.Before.Error), figure(c.Before.ECE, 3), "–", "–", "–"},
	}
	for _, r := range c.Rows {
		row := []string{printable(r.Recipe), layerPath(r.Perturb, r.Update), spread(r.Loss, 1, decimals), spread(r.Error, 100, 1), spread(r.ECE, 1, 3), "–", "–", "–"}
		if r.Error != nil {
			row[3] += " %"
		}
		if s := r.SecondsPerEpoch; s != nil {
			row[5] = spread(s, 1, secondsDecimals(s.Mean))
		}
		if len(r.Runs) > 0 {
			row[6], row[7] = size(r.PeakBytes), fmt.Sprintf("%d of %d", r.Accepted, len(r.Runs))
		}
		rows = append(rows, row)
	}
	return rows
}

// layerPath names what is perturbed and what is updated: "embed → head", or only
// one list where nothing is perturbed, or the same many layers are.
func layerPath(perturb, update []string) string {
	if len(perturb) == 0 || len(perturb) > maxTreated && slices.Equal(perturb, update) {
		return briefly(update)
	}
	return briefly(perturb) + " → " + briefly(update)
}

// spread writes a mean and, of several runs, the standard deviation, in a unit
// of which there are scale to one.
func spread(s *Spread, scale float64, decimals int) string {
	switch {
	case s == nil:
		return "–"
	case s.N == 1:
		return figure(scale*s.Mean, decimals)
	}
	return figure(scale*s.Mean, decimals) + " ± " + figure(scale*s.SD, decimals)
}

// secondsDecimals is the number of decimals of a time with three digits or so.
func secondsDecimals(seconds float64) int {
	switch {
	case seconds < 1:
		return 2
	case seconds < 100:
		return 1
	}
	return 0
}

// notes say what the table has no column for.
func (c *Compare) notes() []string {
	var notes []string
	if slices.ContainsFunc(c.Rows, func(r CompareRow) bool { return r.Loss != nil && r.Loss.N > 1 }) {
		notes = append(notes, fmt.Sprintf("± is the standard deviation over %s", plural(len(c.Seeds), "seed")))
	}
	for _, r := range c.Rows {
		if r.CacheInFile {
			notes = append(notes, fmt.Sprintf("%s: activations took %s in a temporary file, which peak memory leaves out", printable(r.Recipe), size(r.CacheBytes)))
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
	return notes
}

// CompareText writes a comparison of recipes for a person: a row for each below
// that of the untreated checkpoint, and which has come out lowest.
func CompareText(w io.Writer, c *Compare, style Style) error {
	p := &printer{w: w, style: style}
	p.model(c.Model, "")
	p.treatmentData(c.Data, true)
	p.fields("seeds  ", c.seeds(), "each treatment starts from the same checkpoint, in a process of its own")
	p.printf("\n")
	p.compareTable(c)
	p.printf("\n")
	p.paintedFields(style.paint(ansiBold, "DONE")+"  ", len("DONE  "), base(c.Model.Path), plural(len(c.Rows), "recipe"), c.lowest(), duration(c.Provenance.Seconds))
	return p.err
}

func (c *Compare) seeds() string {
	list := make([]string, len(c.Seeds))
	for i, s := range c.Seeds {
		list[i] = fmt.Sprint(s)
	}
	return strings.Join(list, ", ")
}

// compareTable prints the table and the notes on it. Where the table is too
// wide, the layers are listed below.
func (p *printer) compareTable(c *Compare) {
	notes := func() {
		for _, note := range c.notes() {
			p.fields("note   ", note)
		}
	}
	rows := c.table()
	if columns(aligned(rows, []int{0, compareLayers})[0])-2 <= lineColumns {
		p.grid(rows, []int{0, compareLayers}, nil)
		notes()
		return
	}
	recipes, layers := make([][]string, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		recipes[i], layers[i] = row[:1:1], row[compareLayers]
		rows[i] = slices.Delete(row, compareLayers, compareLayers+1)
	}
	p.grid(rows, []int{0}, nil)
	notes()
	p.printf("\n")
	for i, label := range aligned(recipes, []int{0}) {
		switch {
		case i == 0:
			p.printf("%s\n", p.style.paint(ansiDim, label+layers[i]))
		case i > 1: // the untreated checkpoint has none
			p.hanging(label, columns(label), layers[i])
		}
	}
}

// lowest says which recipe has the lowest mean loss.
func (c *Compare) lowest() string {
	lowest := -1
	for i, r := range c.Rows {
		if r.Loss != nil && metric.IsFinite(r.Loss.Mean) && (lowest < 0 || r.Loss.Mean < c.Rows[lowest].Loss.Mean) {
			lowest = i
		}
	}
	switch {
	case lowest < 0:
		return "no recipe has come to a figure"
	case !(c.Rows[lowest].Loss.Mean < c.Before.Loss):
		return "no recipe lowers the hold-out loss"
	}
	return fmt.Sprintf("lowest hold-out loss: %s, %s", printable(c.Rows[lowest].Recipe), spread(c.Rows[lowest].Loss, 1, lossDecimals(c.Before)))
}

// CompareMarkdown writes a comparison of recipes as a table in GitHub's
// Markdown.
func CompareMarkdown(w io.Writer, c *Compare) error {
	p := &printer{w: w}
	part := func(part Part) string { return fmt.Sprintf("%s, %s", part.Name, plural(part.N, "image")) }
	p.printf("**%s**: %s, %s parameters. Data: %s (training: %s; validation: %s; hold-out: %s).\n\n", markdown(base(c.Model.Path)),
		markdown(c.Model.Family), count(c.Model.Parameters), markdown(c.Data.Name), markdown(part(c.Data.Train)), markdown(part(c.Data.Validation)), markdown(part(c.Data.Holdout)))
	for i, row := range c.table() {
		for j, cell := range row {
			row[j] = markdown(cell)
		}
		p.printf("| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			p.printf("|---|---|%s\n", strings.Repeat("---:|", len(row)-2))
		}
	}
	notes := c.notes()
	if len(notes) > 0 {
		p.printf("\n")
	}
	for _, note := range notes {
		p.printf("- %s\n", markdown(note))
	}
	return p.err
}

// markdown writes text so that none of it is taken for markup.
func markdown(text string) string {
	var out strings.Builder
	for _, r := range printable(text) {
		if strings.ContainsRune("\\`*_|<>[]#&~", r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
