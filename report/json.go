package report

import (
	"encoding/json"
	"io"

	"github.com/modeldoctor/modeldoctor/diag"
)

// writeJSON writes v indented, with a newline at the end. HTML characters are
// left alone: names hold < and > at times.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type jsonCheck struct {
	SchemaVersion int             `json:"schema_version"`
	Model         jsonModel       `json:"model"`
	Data          jsonData        `json:"data"`
	Metrics       jsonMetrics     `json:"metrics"`
	Granularity   string          `json:"granularity"`
	Direction     string          `json:"direction"`
	Calibrated    *float64        `json:"calibrated_temperature"`
	Threshold     float64         `json:"threshold"`
	Layers        []jsonLayer     `json:"layers"`
	Worst         jsonWorst       `json:"worst"`
	Coverage      float64         `json:"coverage"`
	Skipped       []jsonSkipped   `json:"skipped"`
	Violations    []jsonViolation `json:"violations"`
	Complete      bool            `json:"complete"`
	Provenance    jsonProvenance  `json:"provenance"`
}

type jsonModel struct {
	Path           string `json:"path"`
	SHA256         string `json:"sha256,omitempty"` // inspect does not read that far
	Producer       string `json:"producer"`
	Opset          int64  `json:"opset"`
	IRVersion      int64  `json:"ir_version"`
	Parameters     int    `json:"parameters"`
	Analysed       int    `json:"analysed,omitempty"`
	Classes        int    `json:"classes"`
	Family         string `json:"family"`
	SoftmaxRemoved bool   `json:"softmax_removed"`
	FixedBatch     int    `json:"fixed_batch"`
}

type jsonData struct {
	Name       string         `json:"name"`
	Val        string         `json:"val"`
	ValN       int            `json:"val_n"`
	SHA256     string         `json:"sha256,omitempty"` // only if all was read
	Preprocess jsonPreprocess `json:"preprocess"`
}

type jsonPreprocess struct {
	Name   string     `json:"name"`
	Source string     `json:"source"`
	Mean   [3]float64 `json:"mean"`
	Std    [3]float64 `json:"std"`
	Size   [2]int     `json:"size"`
}

type jsonMetrics struct {
	Loss        *float64         `json:"loss"`
	Error       *float64         `json:"error"`
	ECE         *float64         `json:"ece"`
	Temperature *jsonTemperature `json:"temperature"`
}

type jsonTemperature struct {
	Value     float64    `json:"value"`
	DeltaLoss float64    `json:"delta_loss"`
	SE        float64    `json:"se"`
	CI95      [2]float64 `json:"ci95"`
}

type jsonLayer struct {
	Name               string        `json:"name"`
	Index              int           `json:"index"`
	Parameters         int           `json:"parameters"`
	WNorm              float64       `json:"w_norm"`
	GNorm              float64       `json:"g_norm"`
	Step               float64       `json:"step"`
	StepShare          *float64      `json:"step_share"`
	DeltaLoss          float64       `json:"delta_loss"`
	Kappa              *float64      `json:"kappa"`
	KappaScaled        *float64      `json:"kappa_scaled"`
	Agreement          *float64      `json:"agreement"`
	Transfer           *jsonTransfer `json:"transfer"`
	TransferReason     string        `json:"transfer_reason,omitempty"`
	Status             string        `json:"status"`
	Reason             string        `json:"reason,omitempty"`
	Points             [][2]float64  `json:"points"`
	ForwardEvaluations int           `json:"forward_evaluations"`
}

type jsonTransfer struct {
	DeltaLoss          float64    `json:"delta_loss"`
	SE                 float64    `json:"se"`
	CI95               [2]float64 `json:"ci95"`
	CorrectedLow       float64    `json:"corrected_low"`
	Kappa              *float64   `json:"kappa"`
	Steps              jsonSteps  `json:"steps"`
	ForwardEvaluations int        `json:"forward_evaluations"`
}

type jsonSteps struct {
	A1 float64 `json:"a1"`
	A2 float64 `json:"a2"`
	B1 float64 `json:"b1"`
	B2 float64 `json:"b2"`
}

// jsonWorst holds null where no layer has a positive figure.
type jsonWorst struct {
	ByDeltaLoss *string `json:"by_delta_loss"`
	ByTransfer  *string `json:"by_transfer"`
	ByKappa     *string `json:"by_kappa"`
}

type jsonSkipped struct {
	Name     string `json:"name"`
	Elements int    `json:"elements"`
	Reason   string `json:"reason"`
}

type jsonViolation struct {
	Rule    string  `json:"rule"`
	Level   string  `json:"level"`
	Layer   *string `json:"layer"`
	Message string  `json:"message"`
}

type jsonProvenance struct {
	Version   string   `json:"version"`
	Command   []string `json:"command"`
	Seed      uint64   `json:"seed"`
	Device    string   `json:"device"`
	Threads   int      `json:"threads"`
	Seconds   float64  `json:"seconds"`
	PeakBytes int64    `json:"peak_bytes"`
}

// CheckJSON writes a diagnosis as one JSON document. Numbers that do not exist
// are null; there is never a NaN or an infinity.
func CheckJSON(w io.Writer, c *Check) error {
	d := c.Diagnosis
	out := jsonCheck{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(c.Model),
		Data:          jsonData{c.Data.Name, c.Data.Val, c.Data.ValN, c.Data.SHA256, jsonPreprocess(c.Data.Preprocess)},
		Metrics:       jsonMetrics{d.Metrics.Loss, d.Metrics.Error, d.Metrics.ECE, nil},
		Granularity:   c.Granularity,
		Direction:     d.Direction.String(),
		Calibrated:    d.CalibrationT,
		Threshold:     d.Threshold,
		Layers:        make([]jsonLayer, len(d.Layers)),
		Worst:         jsonWorst{optional(d.Worst.ByDeltaLoss), optional(d.Worst.ByTransfer), optional(d.Worst.ByKappa)},
		Coverage:      d.Coverage,
		Skipped:       make([]jsonSkipped, len(c.Skipped)),
		Violations:    make([]jsonViolation, len(d.Violations)),
		Complete:      d.Complete,
		Provenance:    jsonProvenance(c.Provenance),
	}
	if t := d.Metrics.Temperature; t != nil {
		out.Metrics.Temperature = &jsonTemperature{t.Value, t.Drop.Mean, t.Drop.SE, t.Drop.CI95}
	}
	for i, l := range d.Layers {
		out.Layers[i] = jsonLayerOf(l)
	}
	for i, s := range c.Skipped {
		out.Skipped[i] = jsonSkipped{s.Name, s.Elements, s.Reason}
	}
	for i, v := range d.Violations {
		out.Violations[i] = jsonViolation{v.Rule, string(v.Level), optional(v.Layer), v.Message}
	}
	return writeJSON(w, out)
}

func jsonLayerOf(l diag.LayerResult) jsonLayer {
	out := jsonLayer{
		Name: l.Name, Index: l.Index, Parameters: l.Parameters,
		WNorm: l.WNorm, GNorm: l.GNorm, Step: l.Step, StepShare: l.StepShare,
		DeltaLoss: l.DeltaLoss, Kappa: l.Kappa, KappaScaled: l.KappaScaled, Agreement: l.Agreement,
		TransferReason: l.TransferReason, Status: string(l.Status), Reason: l.Reason,
		Points: l.Points, ForwardEvaluations: l.ForwardEvaluations,
	}
	if out.Points == nil {
		out.Points = [][2]float64{}
	}
	if t := l.Transfer; t != nil {
		out.Transfer = &jsonTransfer{t.Gain.Mean, t.Gain.SE, t.Gain.CI95, t.CorrectedLow, t.Kappa, jsonSteps(t.Steps), t.ForwardEvaluations}
	}
	return out
}

// optional turns an empty string into null.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
