package report

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// Check is the result of the command check. [NewCheck] fills it with a diagnosis.
// Figures of a diagnosis are finite or nil: a NaN is an error when it is written.
type Check struct {
	Document
	Model       Model    `json:"model"`
	Data        Data     `json:"data"`
	Plan        *Plan    `json:"plan,omitempty"` // nil where all layers were to be searched, and no budget set how many images
	Metrics     Metrics  `json:"metrics"`
	Granularity string   `json:"granularity"` // what a layer is: block, module or tensor
	Direction   string   `json:"direction"`
	Calibration string   `json:"calibration"`            // where the temperature comes from; see [diag.Calibration]
	Calibrated  *float64 `json:"calibrated_temperature"` // that losses are taken at; nil where logits are taken as they are
	Threshold   float64  `json:"threshold"`              // share of the loss
	Limit       *float64 `json:"threshold_nats"`         // the same in nats; nil if the loss is not known
	// TemperatureLimit is what the temperature's share is compared with, in nats.
	TemperatureLimit *float64      `json:"temperature_threshold_nats"`
	Tests            int           `json:"tests"` // layers of the model that intervals are corrected for
	Layers           []Layer       `json:"layers"`
	Worst            Worst         `json:"worst"`
	Coverage         float64       `json:"coverage"` // share of the parameters that lie in layers that were measured
	Skipped          []Skipped     `json:"skipped"`
	Violations       []Violation   `json:"violations"`
	Rules            []RuleSetting `json:"rules"`        // that were changed
	Suppressions     []Suppression `json:"suppressions"` // breaches that are accepted
	Baseline         *Baseline     `json:"baseline"`     // nil where nothing was compared with
	Verdict          Verdict       `json:"verdict"`
	Reason           string        `json:"verdict_reason,omitempty"` // why the images support no verdict
	Images           *int          `json:"images_needed"`            // that would decide an UNDECIDED; nil where that cannot be said
	Undecided        []Undecided   `json:"undecided"`
	FailOn           string        `json:"fail_on"`      // lowest level of a violation that fails: error, warning or never
	FailOnNew        bool          `json:"fail_on_new"`  // only what the baseline has not, or less of, fails
	OnUndecided      string        `json:"on_undecided"` // what UNDECIDED does unless FailOn is never: pass, warn or fail
	ExitCode         int           `json:"exit_code"`
	Complete         bool          `json:"complete"`
	Provenance       Provenance    `json:"provenance"`
}

// Verdict is the verdict about a model: that of [diag.ModelVerdict], but that a
// violation at the level of FailOn fails, and that an incomplete report has none.
type Verdict string

// The verdicts.
const (
	Pass       = Verdict(diag.Pass)
	Fail       = Verdict(diag.Fail)
	Unclear    = Verdict(diag.Unclear)
	Incomplete = Verdict("INCOMPLETE")
)

// Undecided is a layer whose gain may lie on either side of the threshold.
type Undecided struct {
	Layer  string `json:"layer"`
	Images *int   `json:"images_needed"` // about how many would decide it; nil where that cannot be said
}

// Data describes the images that were used.
type Data struct {
	Name string `json:"name"`
	Val  string `json:"val"` // the split and slice, such as test[:1000]
	ValN int    `json:"val_n"`
	// SHA256 is a digest, in hexadecimal, of the examples as the model sees them,
	// labels included. It is empty where not all of them were read.
	SHA256     string     `json:"sha256,omitempty"`
	Preprocess Preprocess `json:"preprocess"`
	Train      string     `json:"train,omitempty"` // the training images that were looked at; empty if none were
	TrainN     int        `json:"train_n,omitempty"`
	Skipped    int        `json:"skipped_images,omitempty"` // images that cannot be read and were left out
	// AssumedOrder says that nothing names the model's outputs, and that folders were
	// taken for them in the order of their sorted names.
	AssumedOrder bool `json:"assumed_order,omitempty"`
}

// Metrics are those of [diag.Metrics].
type Metrics struct {
	Loss        *float64     `json:"loss"`
	LossSE      *float64     `json:"loss_se"`          // standard error
	Losses      []float32    `json:"losses,omitempty"` // of each image, in data order, where they were asked for
	Calibrated  *float64     `json:"calibrated_loss"`  // at the temperature that layers are measured at; nil where there is none
	Error       *float64     `json:"error"`
	Right       []bool       `json:"right,omitempty"` // of each image, like the losses: whether the answer is
	ECE         *float64     `json:"ece"`
	Temperature *Temperature `json:"temperature"`
	// Reliability is how often answers are right that are given with a confidence, of
	// the logits as they came, and with them at the temperature of Calibrated; empty
	// where they are not known.
	Reliability           []metric.ReliabilityBin `json:"reliability"`
	CalibratedReliability []metric.ReliabilityBin `json:"calibrated_reliability"`
}

// Drop is by how much a loss falls, in nats: a [metric.Estimate].
type Drop struct {
	Mean float64    `json:"delta_loss"`
	SE   float64    `json:"se"`
	CI95 [2]float64 `json:"ci95"`
}

// Temperature is what one number, dividing all logits, does to the loss.
type Temperature struct {
	Value  *float64 `json:"value"`  // nil where the loss falls beyond the range that is searched
	Beyond *float64 `json:"beyond"` // then the end of that range
	Drop
	Decision
}

// Decision is on which side of the threshold a gain lies; see [diag.Decision].
type Decision struct {
	Verdict diag.Verdict `json:"verdict,omitempty"`
	Images  *int         `json:"images_needed,omitempty"`
}

// Layer is what was measured of one layer; see [diag.LayerResult].
type Layer struct {
	Name           string    `json:"name"`
	Index          int       `json:"index"`
	Parameters     int       `json:"parameters"`
	WNorm          float64   `json:"w_norm"`
	GNorm          float64   `json:"g_norm"`
	Step           float64   `json:"step"`
	StepShare      *float64  `json:"step_share"`
	DeltaLoss      float64   `json:"delta_loss"`
	Kappa          *float64  `json:"kappa"`
	KappaScaled    *float64  `json:"kappa_scaled"`
	Agreement      *float64  `json:"agreement"`
	Transfer       *Transfer `json:"transfer"`
	TransferReason string    `json:"transfer_reason,omitempty"`
	Raw            *Transfer `json:"raw_transfer,omitempty"` // of the logits as they came, beside the figure at a temperature; nil where it was not asked for
	Decision
	// Forecast is what ΔL̂ was expected to be, by which layers were chosen to be searched.
	Forecast           *float64     `json:"forecast_delta_loss,omitempty"`
	Train              *Train       `json:"train,omitempty"`
	Status             diag.Status  `json:"status"`
	Reason             string       `json:"reason,omitempty"`
	Points             [][2]float64 `json:"points"`
	ForwardEvaluations int          `json:"forward_evaluations"`
	StartEvaluations   int          `json:"start_evaluations,omitempty"`
}

// Transfer is a layer's transfer figure ΔL̂; see [diag.Transfer]. Where no length
// is above 0 Reason says so, and there are no errors.
type Transfer struct {
	Mean         float64     `json:"delta_loss"`
	PerThousand  *float64    `json:"delta_loss_per_1000_parameters"`
	SE           *float64    `json:"se"`
	SEA          *float64    `json:"se_a"`
	SEB          *float64    `json:"se_b"`
	CI95         *[2]float64 `json:"ci95"`
	Reason       string      `json:"reason,omitempty"`
	CorrectedLow *float64    `json:"corrected_low"`
	Kappa        *float64    `json:"kappa"`
	Steps        Steps       `json:"steps"`
	Capped       Capped      `json:"capped"`
	Gains        []float32   `json:"gains,omitempty"` // of each image, in data order, where they were asked for

	ForwardEvaluations int `json:"forward_evaluations"`
}

// Train is what a layer's in-sample move does to the training images; see
// [diag.Training].
type Train struct {
	LossBefore float64      `json:"loss_before"`
	LossAfter  float64      `json:"loss_after"`
	SE         float64      `json:"se"` // of the difference
	Slope      float64      `json:"slope"`
	Cosine     *float64     `json:"cosine"`
	Finding    diag.Finding `json:"finding,omitempty"`
}

// Steps are the four lengths of a transfer figure.
type Steps struct {
	A1 float64 `json:"a1"`
	A2 float64 `json:"a2"`
	B1 float64 `json:"b1"`
	B2 float64 `json:"b2"`
}

// Capped says which of the four lengths are those of the in-sample step, which
// bounds them.
type Capped struct {
	A1 bool `json:"a1"`
	A2 bool `json:"a2"`
	B1 bool `json:"b1"`
	B2 bool `json:"b2"`
}

// Worst names the layers where a figure is largest; empty where no layer has a
// positive one. Set is the layer with the largest ΔL̂, whatever its sign, and those
// that cannot be told from it by ΔL̂.
type Worst struct {
	ByDeltaLoss Optional `json:"by_delta_loss"`
	ByTransfer  Optional `json:"by_transfer"`
	ByKappa     Optional `json:"by_kappa"`
	Set         []string `json:"set"`
}

// SetModel enters the model, once, of which the layers that have figures are
// analysed. A diagnosis tells which share of the parameters could be measured.
func SetModel(c *Check, m Model) {
	c.Model = m
	for _, l := range c.Layers {
		if l.measured() {
			c.Model.Analysed += l.Parameters
		}
	}
	c.Coverage *= float64(c.Model.Analysed) / float64(max(m.Parameters, 1))
}

// SetRaw enters what a diagnosis of the same layers with the logits as they came tells.
func SetRaw(c *Check, raw *diag.Report) {
	for i := range c.Layers {
		for _, l := range raw.Layers {
			if l.Name == c.Layers[i].Name && l.Transfer != nil {
				c.Layers[i].Raw = newTransfer(l.Transfer, l.Parameters)
			}
		}
	}
}

// hasRaw reports whether some layer has a figure of the logits as they came.
func hasRaw(c *Check) bool {
	return slices.ContainsFunc(c.Layers, func(l Layer) bool { return l.Raw != nil })
}

// NewCheck is the result with what a diagnosis tells. Data, Granularity, Skipped, Rules
// and Provenance are for the caller to fill, and [SetModel] and [Check.Judge] to
// call.
func NewCheck(d *diag.Report) *Check {
	c := &Check{
		Metrics:          Metrics{Loss: d.Metrics.Loss, LossSE: d.Metrics.LossSE, Losses: d.Metrics.Losses, Right: d.Metrics.Right, Error: d.Metrics.Error, ECE: d.Metrics.ECE, Reliability: list(d.Metrics.Reliability), CalibratedReliability: []metric.ReliabilityBin{}},
		Direction:        d.Direction.String(),
		Calibration:      string(d.Calibration),
		Threshold:        d.Threshold,
		Limit:            d.Limit,
		TemperatureLimit: d.TemperatureLimit,
		Tests:            d.Tests,
		Layers:           make([]Layer, len(d.Layers)),
		Worst:            Worst{Optional(d.Worst.ByDeltaLoss), Optional(d.Worst.ByTransfer), Optional(d.Worst.ByKappa), list(d.Worst.Set)},
		Coverage:         d.Coverage,
		Skipped:          []Skipped{},
		Rules:            []RuleSetting{},
		Suppressions:     make([]Suppression, len(d.Suppressions)),
		Violations:       make([]Violation, len(d.Violations)),
		Verdict:          Verdict(d.Verdict.Outcome),
		Reason:           d.Verdict.Reason,
		Images:           d.Verdict.ImagesNeeded,
		Undecided:        []Undecided{},
		Complete:         d.Complete,
	}
	if d.Calibration == diag.Fitted || d.Calibration == diag.Given {
		c.Calibrated, c.Metrics.Calibrated, c.Metrics.CalibratedReliability = &d.Temperature, d.Metrics.StartLoss, list(d.Metrics.Calibrated)
	}
	if t := d.Metrics.Temperature; t != nil {
		c.Metrics.Temperature = &Temperature{Value: t.Value, Drop: Drop(t.Drop), Decision: decision(t.Decision)}
		if t.Value == nil {
			c.Metrics.Temperature.Beyond = &t.Beyond
		}
	}
	for i, l := range d.Layers {
		c.Layers[i] = newLayer(l)
		if l.Verdict == diag.Undecided {
			c.Undecided = append(c.Undecided, Undecided{l.Name, l.ImagesNeeded})
		}
	}
	for i, v := range d.Violations {
		c.Violations[i] = Violation{v.Rule, v.Level, Optional(v.Layer), v.Message, v.Suppressed, v.Since}
	}
	for i, s := range d.Suppressions {
		c.Suppressions[i] = newSuppression(s)
	}
	return c
}

func newLayer(l diag.LayerResult) Layer {
	layer := Layer{
		Name: l.Name, Index: l.Index, Parameters: l.Parameters,
		WNorm: l.WNorm, GNorm: l.GNorm, Step: l.Step, StepShare: l.StepShare,
		DeltaLoss: l.DeltaLoss, Kappa: l.Kappa, KappaScaled: l.KappaScaled, Agreement: l.Agreement,
		TransferReason: l.TransferReason, Decision: decision(l.Decision), Status: l.Status, Reason: l.Reason, Forecast: l.Forecast,
		Points: list(l.Points), ForwardEvaluations: l.ForwardEvaluations, StartEvaluations: l.StartEvaluations,
	}
	if t := l.Transfer; t != nil {
		layer.Transfer = newTransfer(t, l.Parameters)
	}
	if t := l.Training; t != nil {
		layer.Train = &Train{t.LossBefore, t.LossAfter, t.Change.SE, t.Slope, t.Cosine, t.Finding}
	}
	return layer
}

func decision(d diag.Decision) Decision { return Decision{d.Verdict, d.ImagesNeeded} }

func newTransfer(t *diag.Transfer, parameters int) *Transfer {
	steps := t.Steps
	view := &Transfer{
		Mean: t.Gain.Mean, PerThousand: metric.Finite(1000 * t.Gain.Mean / float64(parameters)), Kappa: t.Kappa, Reason: t.Reason,
		Steps:              Steps{steps.A1.T, steps.A2.T, steps.B1.T, steps.B2.T},
		Capped:             Capped{steps.A1.Capped, steps.A2.Capped, steps.B1.Capped, steps.B2.Capped},
		Gains:              t.Gains,
		ForwardEvaluations: t.ForwardEvaluations,
	}
	if t.Reason == "" {
		view.SE, view.SEA, view.SEB = &t.Gain.SE, &t.SEA, &t.SEB
		view.CI95, view.CorrectedLow = &t.Gain.CI95, &t.CorrectedLow
	}
	return view
}

// Diagnosis is what [github.com/modeldoctor/modeldoctor/pol.Choice.Choose] looks
// at: whether it is complete, and of each layer name, index, number of
// parameters, status, κ, and ΔL̂ with its intervals. Everything else is zero.
func (c *Check) Diagnosis() *diag.Report {
	d := &diag.Report{Complete: c.Complete, N: c.Data.ValN}
	for _, l := range c.Layers {
		layer := diag.LayerResult{Name: l.Name, Index: l.Index, Parameters: l.Parameters, Kappa: l.Kappa, Status: l.Status}
		if t := l.Transfer; t != nil {
			layer.Transfer = &diag.Transfer{Gain: metric.Estimate{Mean: t.Mean}, Reason: t.Reason}
			if t.Reason == "" {
				layer.Transfer.Gain = metric.Estimate{Mean: t.Mean, SE: *t.SE, CI95: *t.CI95}
				layer.Transfer.CorrectedLow = *t.CorrectedLow
			}
		}
		d.Layers = append(d.Layers, layer)
	}
	return d
}
