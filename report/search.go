package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/modeldoctor/modeldoctor/pol"
)

// LayerSearch is how the layers of a treatment were searched for, by [NewLayerSearch].
type LayerSearch struct {
	Rounds     []SearchRound     `json:"rounds"`
	Candidates []SearchCandidate `json:"candidates"` // the winner first, then as they were left behind
	// Predictors say how well figures of the perturbed layer foretell the losses of the
	// first round.
	Predictors []SearchPredictor `json:"predictors"`
}

// SearchPredictor is a [pol.Concordance].
type SearchPredictor struct {
	Figure string `json:"figure"`
	Agree  int    `json:"agree"`
	Pairs  int    `json:"pairs"`
}

// SearchRound is one round of a successive halving.
type SearchRound struct {
	Candidates int `json:"candidates"`
	Epochs     int `json:"epochs"` // of each of them
}

// SearchPair is two layers that a search tries, and what the diagnosis says of them.
type SearchPair struct {
	Perturb     Optional `json:"perturb"` // null where nothing is perturbed
	Update      string   `json:"update"`
	PerturbNeck *int     `json:"perturb_neck"` // how far up the layer begins, in stages
	UpdateNeck  int      `json:"update_neck"`
	Why         string   `json:"why"` // of the perturbed layer; see [pol.Why]

	Kappa       *float64 `json:"kappa"` // of the perturbed layer
	KappaScaled *float64 `json:"kappa_scaled"`
	Agreement   *float64 `json:"agreement"`
	DeltaLoss   *float64 `json:"delta_loss"` // ΔL̂ of the updated layer
	SE          *float64 `json:"se"`
}

// SearchCandidate is what became of a pair.
type SearchCandidate struct {
	SearchPair
	Trials  []SearchTrial `json:"trials"` // of the rounds that it was in
	Outcome string        `json:"outcome"`
	Rank    int           `json:"rank"` // in its last round, from 1
	Of      int           `json:"of"`   // candidates of that round
}

// The outcomes of a candidate.
const (
	OutcomeWon      = "won"
	OutcomeBehind   = "behind"   // its validation loss was not among the lowest
	OutcomeTied     = "tied"     // it was the same as that of a cheaper candidate, which went on
	OutcomeDiverged = "diverged" // it had none
)

// SearchTrial is a candidate in one round.
type SearchTrial struct {
	Round       int      `json:"round"` // from 1
	Epochs      int      `json:"epochs"`
	ValLoss     *float64 `json:"val_loss"` // at Temperature; nil after a divergence
	Temperature *float64 `json:"temperature"`
	// Drop is by how much that is below the loss with a temperature alone, by paired
	// differences of the validation images; nil after a divergence.
	Drop           *FixDrop `json:"below_temperature"`
	ValError       float64  `json:"val_error"`
	Rate           float64  `json:"lr"` // of the last epoch, before the schedule
	Steps          int      `json:"steps"`
	Rejected       int      `json:"rejected_steps"`
	SecondsPerStep float64  `json:"seconds_per_step"`
	ScanShare      float64  `json:"scan_share"`
	Stopped        Optional `json:"stopped"`
}

// NewLayerSearch describes a search that has ended.
func NewLayerSearch(s *pol.LayerSearch) *LayerSearch {
	v := &LayerSearch{Rounds: newSearchRounds(s.Rungs), Candidates: make([]SearchCandidate, len(s.Candidates))}
	order := make([]int, len(s.Candidates))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		p, q := s.Places[a], s.Places[b]
		return cmp.Or(cmp.Compare(q.Rung, p.Rung), cmp.Compare(p.Rank, q.Rank))
	})
	for i, c := range order {
		place := s.Places[c]
		v.Candidates[i] = SearchCandidate{SearchPair: newSearchPair(&s.Candidates[c]), Trials: []SearchTrial{}, Outcome: outcomeOf(place), Rank: place.Rank, Of: place.Of}
		for r, trials := range s.Trials {
			if t := trials[c]; t != nil {
				v.Candidates[i].Trials = append(v.Candidates[i].Trials, newSearchTrial(r, s.Rungs[r].Epochs, t))
			}
		}
	}
	for _, c := range s.Concordances() {
		v.Predictors = append(v.Predictors, SearchPredictor{string(c.Predictor), c.Agree, c.Pairs})
	}
	return v
}

func newSearchTrial(rung, epochs int, t *pol.Trial) SearchTrial {
	v := SearchTrial{
		Round: rung + 1, Epochs: epochs, ValLoss: t.Loss, Temperature: t.Temperature, ValError: t.Error, Rate: t.Rate,
		Steps: t.Steps, Rejected: t.Rejected, SecondsPerStep: t.StepTime.Seconds(), ScanShare: t.ScanShare, Stopped: Optional(t.Stopped),
	}
	if t.Drop != nil {
		drop := newFixDrop(*t.Drop)
		v.Drop = &drop
	}
	return v
}

func newSearchRounds(rungs []pol.Rung) []SearchRound {
	rounds := make([]SearchRound, len(rungs))
	for i, r := range rungs {
		rounds[i] = SearchRound{r.Candidates, r.Epochs}
	}
	return rounds
}

func newSearchPair(c *pol.Candidate) SearchPair {
	pair := SearchPair{
		Perturb: Optional(c.Perturb.Name), Update: c.Update.Name, UpdateNeck: c.Update.Neck, Why: string(c.Why),
		Kappa: c.Kappa, KappaScaled: c.KappaScaled, Agreement: c.Agreement, DeltaLoss: c.Gain, SE: c.SE,
	}
	if c.Why != pol.WhyNothing {
		pair.PerturbNeck = &c.Perturb.Neck
	}
	return pair
}

func outcomeOf(p pol.Place) string {
	switch {
	case p.Won:
		return OutcomeWon
	case p.Diverged:
		return OutcomeDiverged
	case p.Tied:
		return OutcomeTied
	}
	return OutcomeBehind
}

// SearchPlan is what a search for layers would try, from --dry-run. [NewSearchPlan]
// fills it but for Model, Data, Hyperparameters and Provenance.
type SearchPlan struct {
	Document
	Model           Model              `json:"model"`
	Data            TreatmentData      `json:"data"`
	Hyperparameters Hyperparameters    `json:"hyperparameters"` // of the last round
	Rounds          []SearchRound      `json:"rounds"`
	Candidates      []PlannedCandidate `json:"candidates"`
	// Seconds is what the search and the winner's treatment are expected to take, and
	// SecondsMost where those that cost most go on.
	Seconds     float64    `json:"seconds"`
	SecondsMost float64    `json:"seconds_most"`
	Provenance  Provenance `json:"provenance"`
}

// PlannedCandidate is a pair of layers with what training them costs.
type PlannedCandidate struct {
	SearchPair
	StepsPerEpoch   int     `json:"steps_per_epoch"`
	SecondsPerStep  float64 `json:"seconds_per_step"`
	ScanShare       float64 `json:"scan_share"`
	SecondsPerEpoch float64 `json:"seconds_per_epoch"` // with the evaluation
}

// NewSearchPlan describes a search; costs are those of one epoch of each candidate.
func NewSearchPlan(candidates []pol.Candidate, costs []pol.Cost, rungs []pol.Rung) *SearchPlan {
	mean, most := pol.SearchTime(costs, rungs)
	plan := &SearchPlan{Rounds: newSearchRounds(rungs), Candidates: make([]PlannedCandidate, len(candidates)), Seconds: mean.Seconds(), SecondsMost: most.Seconds()}
	for i := range candidates {
		c := &costs[i]
		plan.Candidates[i] = PlannedCandidate{newSearchPair(&candidates[i]), c.Steps, c.StepTime.Seconds(), c.ScanShare, (c.Training() + c.ValidationTime).Seconds()}
	}
	return plan
}

// reasons say in a few words by what a layer to perturb was taken up.
var reasons = map[string]string{
	string(pol.WhyPublished): "as published", string(pol.WhyClassifier): "classifier", string(pol.WhyNothing): "nothing", string(pol.WhyItself): "itself",
	string(pol.WhyKappa): "largest κ", string(pol.WhyTop): "top",
}

func (s *SearchPair) layers() string {
	return printable(cmp.Or(string(s.Perturb), "–") + " → " + s.Update)
}

// roundsText says how the search went, or would go.
func roundsText(rounds []SearchRound) string {
	text := ""
	for i, r := range rounds {
		if i > 0 {
			text += ", then "
		}
		text += fmt.Sprintf("%d × %s", r.Candidates, plural(r.Epochs, "epoch"))
	}
	return text
}
