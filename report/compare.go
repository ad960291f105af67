package report

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
)

// Compare is the result of the command compare.
type Compare struct {
	Document
	Model Model         `json:"model"`
	Data  TreatmentData `json:"data"`
	Seeds []uint64      `json:"seeds"`
	// Before is of the checkpoint, on the hold-out set. Each run measures it; nil where
	// none has.
	Before *Figures     `json:"before"`
	Rows   []CompareRow `json:"rows"`
	// Complete is false where an interruption or the time limit came before every run
	// had ended; see Unfinished of the rows.
	Complete bool `json:"complete"`
	// Differences are between every two rows whose runs have figures of each image, and
	// Margin is up to where two losses count as equivalent.
	Differences []Difference `json:"differences"`
	Margin      float64      `json:"equivalence_margin"`
	Verdict     Verdict      `json:"verdict"` // DONE, FAIL or INCOMPLETE, by [Compare.Judge]
	ExitCode    int          `json:"exit_code"`
	// PeakBytes of a row is of a process of its own; this provenance is that of
	// the process that started them.
	Provenance Provenance `json:"provenance"`
}

// CompareRow is what one recipe did, over all seeds. The figures are of the
// hold-out set after the treatment, over the runs that have one; nil where none
// has.
type CompareRow struct {
	Recipe          string       `json:"recipe"`
	Perturb         []string     `json:"perturb"` // names of layers
	Update          []string     `json:"update"`
	Loss            *Spread      `json:"loss"`
	Own             *Spread      `json:"loss_own_temperature"` // with a temperature that fits the treated model
	Error           *Spread      `json:"error"`
	ErrorChange     *Contrast    `json:"error_change"` // from the untreated model, image by image
	ECE             *Spread      `json:"ece"`
	Gain            *Spread      `json:"gain"`              // drop of the hold-out loss
	SecondsPerEpoch *Spread      `json:"seconds_per_epoch"` // nil where nothing is trained
	PeakBytes       int64        `json:"peak_bytes"`        // the largest of the runs: heap and arena
	ResidentBytes   int64        `json:"resident_bytes"`    // the largest resident set, mapped files included
	Cache           Kept         `json:"cache"`
	Accepted        int          `json:"accepted"`         // runs whose treated model fix would write; see [pol.Result.Accepted]
	Failed          Optional     `json:"failed"`           // why a run failed; those of further seeds were not begun
	Unfinished      []uint64     `json:"unfinished_seeds"` // whose runs were cut short, or not begun
	Runs            []CompareRun `json:"runs"`

	runs []*Fix
}

// images are a figure of each image in each run; nil where a run has none.
func (r *CompareRow) images(figure func(*HoldoutImages) []float64) [][]float64 {
	var all [][]float64
	for _, f := range r.runs {
		if f.Images == nil || figure(f.Images) == nil {
			return nil
		}
		all = append(all, figure(f.Images))
	}
	return all
}

func lossAfter(i *HoldoutImages) []float64  { return i.After }
func ownLoss(i *HoldoutImages) []float64    { return i.Own }
func wrongAfter(i *HoldoutImages) []float64 { return i.WrongAfter }

// Contrast is a difference of two figures; see [pol.Contrast].
type Contrast struct {
	Difference  float64    `json:"difference"`
	SE          float64    `json:"se"`
	CI95        [2]float64 `json:"ci95"`
	Significant bool       `json:"significant"`
}

// newContrast is nil where one of the two has no figures.
func newContrast(a, b [][]float64) *Contrast {
	if a == nil || b == nil {
		return nil
	}
	c := pol.NewContrast(a, b)
	return &Contrast{c.Mean, c.SE, c.CI95, c.Significant()}
}

// Difference is what A's figures are above B's, recipes both.
type Difference struct {
	A    string        `json:"a"`
	B    string        `json:"b"`
	Loss *LossContrast `json:"loss"`
	Own  *LossContrast `json:"loss_own_temperature"`
	// Error is in shares.
	Error *Contrast `json:"error"`
}

// LossContrast is a difference of losses in nats.
type LossContrast struct {
	Contrast
	// Equivalent says that it is less than the margin either way, by two one-sided
	// tests.
	Equivalent bool `json:"equivalent"`
}

func newLossContrast(a, b [][]float64) *LossContrast {
	c := newContrast(a, b)
	if c == nil {
		return nil
	}
	return &LossContrast{*c, pol.NewContrast(a, b).Equivalent(pol.EquivalenceMargin)}
}

// contrast fills in the differences between every two rows.
func (c *Compare) contrast() {
	c.Margin, c.Differences = pol.EquivalenceMargin, []Difference{}
	for i := range c.Rows {
		for j := range i {
			a, b := &c.Rows[i], &c.Rows[j]
			d := Difference{
				A: a.Recipe, B: b.Recipe, Loss: newLossContrast(a.images(lossAfter), b.images(lossAfter)),
				Own: newLossContrast(a.images(ownLoss), b.images(ownLoss)), Error: newContrast(a.images(wrongAfter), b.images(wrongAfter)),
			}
			if d.Loss != nil {
				c.Differences = append(c.Differences, d)
			}
		}
	}
}

// CompareRun is one treatment. Its figures are nil where the training diverged
// before an epoch was complete.
type CompareRun struct {
	Seed            uint64     `json:"seed"`
	Loss            *Number    `json:"loss"`
	Own             *Number    `json:"loss_own_temperature"`
	Error           *Number    `json:"error"`
	ECE             *Number    `json:"ece"`
	Gain            *Number    `json:"gain"`
	GainCI95        *[2]Number `json:"gain_ci95"`
	SecondsPerEpoch float64    `json:"seconds_per_epoch"`
	PeakBytes       int64      `json:"peak_bytes"`
	ResidentBytes   int64      `json:"resident_bytes"`
	Accepted        bool       `json:"accepted"`
	Stopped         Optional   `json:"stopped"`
}

// Spread is a mean over runs with the standard deviation; see [metric.Spread].
type Spread struct {
	Mean Number `json:"mean"`
	SD   Number `json:"sd"`
	N    int    `json:"n"`
}

// NewCompareRow puts the runs of one recipe beside each other. failed says why
// one of them did not come to a report.
func NewCompareRow(recipe string, runs []*Fix, failed string) CompareRow {
	r := CompareRow{Recipe: recipe, Perturb: []string{}, Update: []string{}, Failed: Optional(failed), Unfinished: []uint64{}, Runs: []CompareRun{}, Cache: Kept{Where: keptNowhere}}
	var loss, own, wrong, ece, gain, seconds []float64
	r.runs = runs
	for _, f := range runs {
		r.Perturb, r.Update = f.Recipe.Perturb, f.Recipe.Update
		run := CompareRun{
			Seed: f.Provenance.Seed, SecondsPerEpoch: f.SecondsPerEpoch,
			PeakBytes: f.PeakBytes, ResidentBytes: f.Provenance.PeakBytes, Accepted: f.Accepted, Stopped: f.Stopped,
		}
		if a := f.After; a != nil {
			run.Loss, run.Error, run.ECE = &a.Loss, &a.Error, &a.ECE
			if a.Loss.finite() && a.Error.finite() && a.ECE.finite() {
				loss, wrong, ece = append(loss, float64(a.Loss)), append(wrong, float64(a.Error)), append(ece, float64(a.ECE))
			}
		}
		if t := f.Own; t != nil {
			run.Own = &t.Loss
			if t.Loss.finite() {
				own = append(own, float64(t.Loss))
			}
		}
		if g := f.Gain; g != nil {
			run.Gain, run.GainCI95 = &g.Loss, &g.CI95
			gain = append(gain, float64(g.Loss))
		}
		if f.SecondsPerEpoch > 0 {
			seconds = append(seconds, f.SecondsPerEpoch)
		}
		r.PeakBytes, r.ResidentBytes = max(r.PeakBytes, run.PeakBytes), max(r.ResidentBytes, run.ResidentBytes)
		r.Cache = moreOf(r.Cache, f.Cache.Kept)
		if f.Accepted {
			r.Accepted++
		}
		r.Runs = append(r.Runs, run)
	}
	if before := r.images(func(i *HoldoutImages) []float64 { return i.WrongBefore }); before != nil {
		r.ErrorChange = newContrast(r.images(wrongAfter), before[:1])
	}
	r.Loss, r.Own, r.Error, r.ECE, r.Gain, r.SecondsPerEpoch = newSpread(loss), newSpread(own), newSpread(wrong), newSpread(ece), newSpread(gain), newSpread(seconds)
	return r
}

// moreOf is the larger number of bytes, in the slower place.
func moreOf(a, b Kept) Kept {
	slower := max(slices.Index(places[:], a.Where), slices.Index(places[:], b.Where))
	return Kept{max(a.Bytes, b.Bytes), places[slower]}
}

func newSpread(x []float64) *Spread {
	s := metric.SpreadOf(x)
	if s == nil {
		return nil
	}
	return &Spread{Number(s.Mean), Number(s.SD), s.N}
}
