package report

import (
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// Check is the result of the command check. [NewCheck] fills it with a diagnosis.
// Figures of a diagnosis are finite or nil: a NaN is an error when it is written.
type Check struct {
	Document
	Model       Model       `json:"model"`
	Data        Data        `json:"data"`
	Metrics     Metrics     `json:"metrics"`
	Granularity string      `json:"granularity"` // what a layer is: block, module or tensor
	Direction   string      `json:"direction"`
	Calibrated  *float64    `json:"calibrated_temperature"`
	Threshold   float64     `json:"threshold"` // share of the loss
	Layers      []Layer     `json:"layers"`
	Worst       Worst       `json:"worst"`
	Coverage    float64     `json:"coverage"`
	Skipped     []Skipped   `json:"skipped"`
	Violations  []Violation `json:"violations"`
	Complete    bool        `json:"complete"`
	Provenance  Provenance  `json:"provenance"`

	FailOn diag.Level `json:"-"` // the level from which a violation fails; "" never
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
}

// Metrics are those of [diag.Metrics].
type Metrics struct {
	Loss        *float64     `json:"loss"`
	StartLoss   *float64     `json:"-"`
	Error       *float64     `json:"error"`
	ECE         *float64     `json:"ece"`
	Temperature *Temperature `json:"temperature"`
}

// Drop is by how much a loss falls, in nats: a [metric.Estimate].
type Drop struct {
	Mean float64    `json:"delta_loss"`
	SE   float64    `json:"se"`
	CI95 [2]float64 `json:"ci95"`
}

// Temperature is what one number, dividing all logits, does to the loss.
type Temperature struct {
	Value float64 `json:"value"`
	Drop
}

// Layer is what was measured of one layer; see [diag.LayerResult].
type Layer struct {
	Name               string       `json:"name"`
	Index              int          `json:"index"`
	Parameters         int          `json:"parameters"`
	WNorm              float64      `json:"w_norm"`
	GNorm              float64      `json:"g_norm"`
	Step               float64      `json:"step"`
	StepShare          *float64     `json:"step_share"`
	DeltaLoss          float64      `json:"delta_loss"`
	Kappa              *float64     `json:"kappa"`
	KappaScaled        *float64     `json:"kappa_scaled"`
	Agreement          *float64     `json:"agreement"`
	Transfer           *Transfer    `json:"transfer"`
	TransferReason     string       `json:"transfer_reason,omitempty"`
	Status             diag.Status  `json:"status"`
	Reason             string       `json:"reason,omitempty"`
	Points             [][2]float64 `json:"points"`
	ForwardEvaluations int          `json:"forward_evaluations"`
}

// Transfer is a layer's transfer figure ΔL̂; see [diag.Transfer].
type Transfer struct {
	Drop
	CorrectedLow       float64  `json:"corrected_low"`
	Kappa              *float64 `json:"kappa"`
	Steps              Steps    `json:"steps"`
	ForwardEvaluations int      `json:"forward_evaluations"`
}

// Steps are the four lengths of a transfer figure.
type Steps struct {
	A1 float64 `json:"a1"`
	A2 float64 `json:"a2"`
	B1 float64 `json:"b1"`
	B2 float64 `json:"b2"`
}

// Worst names the layers where a figure is largest; empty where no layer has a
// positive one.
type Worst struct {
	ByDeltaLoss Optional `json:"by_delta_loss"`
	ByTransfer  Optional `json:"by_transfer"`
	ByKappa     Optional `json:"by_kappa"`
}

// Violation is a rule that the model, or the diagnosis, breaches.
type Violation struct {
	Rule    string     `json:"rule"`
	Level   diag.Level `json:"level"`
	Layer   Optional   `json:"layer"` // empty if it is about the whole model
	Message string     `json:"message"`
}

// NewCheck is the result with what a diagnosis tells. Model, Data, Granularity,
// Skipped, FailOn and Provenance are for the caller to fill.
func NewCheck(d *diag.Report) *Check {
	c := &Check{
		Metrics:    Metrics{Loss: d.Metrics.Loss, StartLoss: d.Metrics.StartLoss, Error: d.Metrics.Error, ECE: d.Metrics.ECE},
		Direction:  d.Direction.String(),
		Calibrated: d.CalibrationT,
		Threshold:  d.Threshold,
		Layers:     make([]Layer, len(d.Layers)),
		Worst:      Worst{Optional(d.Worst.ByDeltaLoss), Optional(d.Worst.ByTransfer), Optional(d.Worst.ByKappa)},
		Coverage:   d.Coverage,
		Skipped:    []Skipped{},
		Violations: make([]Violation, len(d.Violations)),
		Complete:   d.Complete,
	}
	if t := d.Metrics.Temperature; t != nil {
		c.Metrics.Temperature = &Temperature{t.Value, Drop(t.Drop)}
	}
	for i, l := range d.Layers {
		c.Layers[i] = newLayer(l)
	}
	for i, v := range d.Violations {
		c.Violations[i] = Violation{v.Rule, v.Level, Optional(v.Layer), v.Message}
	}
	return c
}

func newLayer(l diag.LayerResult) Layer {
	layer := Layer{
		Name: l.Name, Index: l.Index, Parameters: l.Parameters,
		WNorm: l.WNorm, GNorm: l.GNorm, Step: l.Step, StepShare: l.StepShare,
		DeltaLoss: l.DeltaLoss, Kappa: l.Kappa, KappaScaled: l.KappaScaled, Agreement: l.Agreement,
		TransferReason: l.TransferReason, Status: l.Status, Reason: l.Reason,
		Points: list(l.Points), ForwardEvaluations: l.ForwardEvaluations,
	}
	if t := l.Transfer; t != nil {
		layer.Transfer = &Transfer{Drop(t.Gain), t.CorrectedLow, t.Kappa, Steps(t.Steps), t.ForwardEvaluations}
	}
	return layer
}

// Diagnosis is what [github.com/modeldoctor/modeldoctor/pol.Choice.Choose] looks
// at: whether it is complete and calibrated, and of each layer name, index,
// number of parameters, status, κ, and ΔL̂ with its interval. Everything else is
// zero.
func (c *Check) Diagnosis() *diag.Report {
	d := &diag.Report{Complete: c.Complete, Calibrated: c.Calibrated != nil, CalibrationT: c.Calibrated}
	for _, l := range c.Layers {
		layer := diag.LayerResult{Name: l.Name, Index: l.Index, Parameters: l.Parameters, Kappa: l.Kappa, Status: l.Status}
		if t := l.Transfer; t != nil {
			layer.Transfer = &diag.Transfer{Gain: metric.Estimate(t.Drop)}
		}
		d.Layers = append(d.Layers, layer)
	}
	return d
}

// Failed returns the violations that reach FailOn.
func (c *Check) Failed() []Violation {
	var failed []Violation
	for _, v := range c.Violations {
		if fails(c.FailOn, v.Level) {
			failed = append(failed, v)
		}
	}
	return failed
}

func fails(threshold, level diag.Level) bool {
	switch threshold {
	case diag.LevelError:
		return level == diag.LevelError
	case diag.LevelWarning:
		return level == diag.LevelError || level == diag.LevelWarning
	}
	return false
}
