package diag

import "github.com/modeldoctor/modeldoctor/metric"

// A Report is the outcome of a diagnosis: plain data without NaN or infinity.
// Losses and their differences are in nats per example. Numbers that may be
// absent are pointers, nil when they are.
type Report struct {
	Metrics    Metrics
	Layers     []LayerResult // in the order in which the layers were given
	Worst      Worst
	Violations []Violation // by rule, then layer
	Complete   bool        // false if the time limit came first

	N            int       // number of examples
	Classes      int       // number of the model's classes
	Direction    Direction // the path along which layers were moved
	Calibrated   bool      // losses are of logits divided by CalibrationT
	CalibrationT *float64  // temperature fitted on all examples; nil if not calibrated
	Threshold    float64   // share of Metrics.StartLoss that is worth a violation
	Coverage     float64   // as in Options
}

// Metrics describe the checkpoint as it came.
type Metrics struct {
	Loss        *float64     // mean cross-entropy, not calibrated; nil if it is not finite
	StartLoss   *float64     // what every layer's search starts from: Loss, or its calibrated value
	Error       *float64     // share of examples whose largest logit is not the label's
	ECE         *float64     // expected calibration error of the logits as they came, 0 to 1
	Temperature *Temperature // nil where it cannot be fitted
}

// Temperature is what one number, dividing all logits, does to the loss.
type Temperature struct {
	Value float64 // the best temperature on all examples
	// Drop is the drop in loss when each half is given the temperature that is
	// best on the other, averaged over all examples.
	Drop metric.Estimate
}

// Status says how the measurement of a layer ended.
type Status string

const (
	StatusOK       Status = "ok"       // measured
	StatusFlat     Status = "flat"     // the gradient is zero or no step lowers the loss: ΔL = 0, κ absent
	StatusDiverged Status = "diverged" // loss or gradient is not finite
	StatusSkipped  Status = "skipped"  // not measured; Reason says why
)

// LayerResult is what was measured of one layer. With status diverged or
// skipped all numbers but Index, Parameters and WNorm are zero or absent.
type LayerResult struct {
	Name       string
	Index      int     // Layer.Index
	Parameters int     // number of scalars
	WNorm      float64 // ‖w‖, Euclidean over the layer
	GNorm      float64 // ‖∂L/∂w‖

	// Step is ‖Δw‖, the distance from the checkpoint to the minimiser along the
	// path, in the unit of the weights.
	Step float64
	// StepShare is ‖Δw‖/‖w‖; nil if ‖w‖ = 0.
	StepShare *float64
	// DeltaLoss is ΔL, the loss that moving the layer by Step takes off, on the
	// examples that chose the direction and the step: an optimistic figure.
	DeltaLoss float64
	// Kappa is κ = ΔL/‖Δw‖²; nil if nothing moved.
	Kappa *float64
	// KappaScaled is κ·‖w‖², which no rescaling of the layer's weights changes.
	KappaScaled *float64

	// Agreement is the cosine between the gradients of the two halves of the
	// examples: near 0 the gradient is noise. nil if either is zero.
	Agreement *float64

	Transfer       *Transfer // nil where there is none
	TransferReason string    // why Transfer is nil

	Status Status
	Reason string // what stands behind a status other than ok, or qualifies it

	// Points are the evaluated [t, loss], ascending in t, from t = 0. t is in
	// the unit of Step with Line; a share of every tensor's norm with Balanced;
	// with Descent it is the distance from the checkpoint after each step, in
	// the order taken.
	Points [][2]float64
	// ForwardEvaluations is the number of times that the loss of all examples
	// was computed to find Step, not counting the transfer figure.
	ForwardEvaluations int
}

// Transfer is ΔL̂: what moving a layer does to the loss of examples that chose
// neither the direction nor the length. Lengths are in the unit of
// LayerResult.Points: shares of the norm with Balanced.
type Transfer struct {
	// Gain is ΔL̂, the mean drop in loss over all examples; negative if moving the
	// layer harms.
	Gain metric.Estimate
	// CorrectedLow is the lower end of the interval that holds for all measured
	// layers at once (Bonferroni).
	CorrectedLow float64
	// Kappa is ΔL̂ over the mean of the four squared lengths; nil unless ΔL̂ > 0.
	Kappa *float64
	Steps Steps
	// ForwardEvaluations is the number of times that the loss of a fold, a quarter
	// of the examples, was computed.
	ForwardEvaluations int
}

// Steps are the four lengths of a transfer figure, by the fold that chose the
// length. The direction is the gradient of the other half.
type Steps struct{ A1, A2, B1, B2 float64 }

// Worst names the layers where a figure is largest; empty where no layer has a
// positive one.
type Worst struct {
	ByDeltaLoss string // in-sample ΔL
	ByTransfer  string // ΔL̂
	ByKappa     string // κ
}

// Level is how much a violation matters.
type Level string

const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelInfo    Level = "info"
)

// A Violation is a rule that the model, or the diagnosis, breaches.
type Violation struct {
	Rule    string // ID of a Rule
	Level   Level
	Layer   string // empty if it is about the whole model
	Message string // one line, with the figures
}
