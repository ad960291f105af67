package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/pol"
)

// searchNote says what the table of a search shows.
const searchNote = "validation loss of each candidate at the temperature that then fits; below T: than with a temperature alone, in its last round; the better half of a round goes on, of losses that are the same to 0.001 the cheaper one. The lowest of many is too low: what the winner is worth, the hold-out images say"

// byNote says what the words in the column by mean.
const byNote = "by: what the perturbed layer is: that of PoL as published (--perturb kappa), the classifier, none (as sgd), the updated layer itself, the one with the largest κ at or above it, or one of the highest"

// text tells of each candidate in a row.
func (s *LayerSearch) text(p *printer) {
	if s == nil {
		return
	}
	const label = "search "
	p.hanging(label, len(label), "validation loss after "+roundsText(s.Rounds))
	p.printf("\n")
	printPairs(p, s.table())
	for _, note := range s.notes() {
		p.fields("note   ", note)
	}
	p.printf("\n")
}

// table is a search in cells, titles first: the pair, then the reason for P, then figures.
func (s *LayerSearch) table() [][]string {
	titles := []string{"perturb → update", "by"}
	for _, r := range s.Rounds {
		titles = append(titles, plural(r.Epochs, "epoch"))
	}
	rows := [][]string{append(titles, "below T", "error", "s/step", "outcome")}
	for i := range s.Candidates {
		c := &s.Candidates[i]
		row := []string{c.layers(), reasons[c.Why]}
		for range s.Rounds {
			row = append(row, "–")
		}
		drop, wrong, step := "–", "–", "–"
		for _, t := range c.Trials {
			if t.ValLoss != nil {
				row[1+t.Round] = fixed(*t.ValLoss, 4)
				wrong = percent(Number(t.ValError))
			}
			if t.Drop != nil {
				drop = interval(t.Drop.DeltaLoss, t.Drop.SE, 3)
			}
			if t.Steps > 0 {
				step = fixed(t.SecondsPerStep, 3)
			}
		}
		rows = append(rows, append(row, drop, wrong, step, c.outcome()))
	}
	return rows
}

// notes say what the table shows, and what it does not.
func (s *LayerSearch) notes() []string {
	notes := []string{byNote, searchNote}
	if text := s.predictors(); text != "" {
		notes = append(notes, text)
	}
	rejected := 0
	for _, c := range s.Candidates {
		if slices.ContainsFunc(c.Trials, func(t SearchTrial) bool { return 2*t.Rejected > t.Steps }) {
			rejected++
		}
	}
	if rejected > 0 {
		notes = append(notes, fmt.Sprintf("most steps of %s were rejected, because the loss rises nowhere along the perturbation: they train little or nothing", plural(rejected, "candidate")))
	}
	return notes
}

// predictors says how often a larger figure of the perturbed layer went with a lower loss.
func (s *LayerSearch) predictors() string {
	var list []string
	for _, p := range s.Predictors {
		if p.Pairs > 0 {
			list = append(list, fmt.Sprintf("%s %d of %d", figureNames[p.Figure], p.Agree, p.Pairs))
		}
	}
	if list == nil {
		return ""
	}
	return "of two candidates that update the same layer, the one whose perturbed layer has the larger figure was better after the first round: " + strings.Join(list, ", ")
}

var figureNames = map[string]string{
	string(pol.PredictKappa): "κ", string(pol.PredictKappaScaled): "κ·‖w‖²", string(pol.PredictAgreement): "agreement", string(pol.PredictDepth): "depth",
}

// outcome says why a candidate was dropped, or that it was not.
func (c *SearchCandidate) outcome() string {
	place := fmt.Sprintf("%d of %d", c.Rank, c.Of)
	switch c.Outcome {
	case OutcomeWon:
		return "won"
	case OutcomeDiverged:
		return "diverged"
	case OutcomeTied:
		return place + ", tied"
	}
	return place
}

// printPairs prints a table whose first two columns are text; where it is too wide these
// stand in a list below it.
func printPairs(p *printer, rows [][]string) {
	left := []int{0, 1}
	if tableWidth(rows, left) <= p.style.width() {
		p.grid(rows, left, nil)
		return
	}
	numbered := [][]string{append([]string{"no."}, rows[0][2:]...)}
	for i, row := range rows[1:] {
		numbered = append(numbered, append([]string{fmt.Sprint(i + 1)}, row[2:]...))
	}
	p.grid(numbered, nil, nil)
	p.printf("\n")
	for i, row := range rows[1:] {
		label := fmt.Sprintf("%3d  ", i+1)
		p.hanging(label, len(label), fmt.Sprintf("%s (%s)", row[0], row[1]))
	}
}

// text lists what would be tried.
func (s *SearchPlan) text(p *printer) {
	p.model(s.Model, "")
	s.Data.text(p, true)
	const label = "search "
	p.hanging(label, len(label), roundsText(s.Rounds))
	p.printf("\n")
	printPairs(p, s.table())
	p.fields("note   ", byNote)
	p.printf("\n")
	p.verdict(ansiBold, "PLAN", base(s.Model.Path), s.duration(), "nothing was done or written")
}

// duration says how long the search would take.
func (s *SearchPlan) duration() string {
	return fmt.Sprintf("about %s, at most %s", duration(s.Seconds), duration(s.SecondsMost))
}

// table is the plan in cells, titles first.
func (s *SearchPlan) table() [][]string {
	rows := [][]string{{"perturb → update", "by", "ΔL̂ of updated", "κ of perturbed", "s/step", "scans", "s/epoch"}}
	for i := range s.Candidates {
		c := &s.Candidates[i]
		gain, kappa := "–", "–"
		if c.DeltaLoss != nil && c.SE != nil {
			gain = interval(*c.DeltaLoss, *c.SE, 3)
		}
		if c.Kappa != nil {
			kappa = significant(*c.Kappa)
		}
		rows = append(rows, []string{
			c.layers(), reasons[c.Why], gain, kappa, fixed(c.SecondsPerStep, 3), fmt.Sprintf("%.0f %%", 100*c.ScanShare), fixed(c.SecondsPerEpoch, secondsDecimals(c.SecondsPerEpoch)),
		})
	}
	return rows
}
