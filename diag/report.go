package diag

import "github.com/modeldoctor/modeldoctor/metric"

// A Report is the outcome of a diagnosis: plain data without NaN or infinity.
// Losses and their differences are in nats per example. Numbers that may be
// absent are pointers, nil when they are.
type Report struct {
	Metrics    Metrics
	Layers     []LayerResult // in the order in which the layers were given
	Worst      Worst
	Verdict    ModelVerdict
	Violations []Violation // by rule, then layer
	// Changes are the differences from Options.Prior, of the layers and then of the
	// temperature; nil without it.
	Changes []Change
	// Suppressions are those of the options, with what they waive.
	Suppressions []Suppression
	Complete     bool        // false if the time limit came first
	Race         *RaceResult // nil where all layers were to be searched

	N           int         // number of examples
	Training    int         // number of training examples; 0 if none were given
	Classes     int         // number of the model's classes
	Direction   Direction   // the path along which layers were moved
	Calibration Calibration // where the temperature comes from
	Temperature float64     // that losses are taken at: logits are divided by it
	Threshold   float64     // share of Metrics.StartLoss that a layer's verdict is about
	Limit       *float64    // the same in nats; nil if the loss is not finite
	// TemperatureLimit is what the temperature's share is compared with, in nats; nil
	// where Limit is.
	TemperatureLimit *float64
	Tests            int     // number of layers that intervals are corrected for
	Coverage         float64 // as in Options
}

// Metrics describe the checkpoint as it came.
type Metrics struct {
	Loss        *float64     // mean cross-entropy, not calibrated; nil if it is not finite
	LossSE      *float64     // its standard error; nil where Loss is
	Losses      []float32    // of each example, in data order; nil unless asked for
	StartLoss   *float64     // at Report.Temperature: what every layer's search starts from
	Error       *float64     // share of examples whose largest logit is not the label's
	Right       []bool       // of each example, in data order, whether it is; nil unless asked for
	ECE         *float64     // expected calibration error of the logits as they came, 0 to 1
	Temperature *Temperature // nil where it cannot be fitted

	// Reliability is how often the answers are right that are given with a
	// confidence; Calibrated is the same with the logits at Report.Temperature.
	Reliability, Calibrated []metric.ReliabilityBin
}

// allRight reports whether every answer is right. Then a loss can only fall by more
// confidence, which is no reason to fail a model.
func (r *Report) allRight() bool { return r.Metrics.Error != nil && *r.Metrics.Error == 0 }

// Temperature is what one number, dividing all logits, does to the loss.
type Temperature struct {
	// Value is the best temperature on all examples; nil where it lies at an end
	// of the range that is searched, which Beyond is: then the loss falls without
	// end as the temperature falls or rises, and no number is best.
	Value  *float64
	Beyond float64
	// Drop is the drop in loss when each half is given the temperature that is
	// best on the other, averaged over all examples.
	Drop     metric.Estimate
	Decision // on Drop
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
// skipped all numbers but Index, Parameters and WNorm are zero or absent; of a layer that
// has lost a race GNorm, Agreement and Forecast are known, too.
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
	Decision                 // on Transfer.Gain

	// Forecast is what ΔL̂ was expected to be, by which layers were chosen; nil where
	// none were, or there was nothing to search.
	Forecast *float64

	Training *Training // nil without training examples, or where nothing moved

	Status Status
	Reason string // what stands behind a status other than ok, or qualifies it

	// Points are the evaluated [t, loss] and that of the step, which may be interpolated,
	// ascending in t, from t = 0. t is in
	// the unit of Step with Line; a share of every tensor's norm with Balanced;
	// with Descent it is the distance from the checkpoint after each step, in
	// the order taken.
	Points [][2]float64
	// ForwardEvaluations is the number of times that the loss of all examples
	// was computed to find Step, not counting the transfer figure.
	ForwardEvaluations int
	// StartEvaluations is the number of times that the loss of the first examples alone, a
	// quarter or a half of them, was computed to find where that search begins.
	StartEvaluations int
}

// Transfer is ΔL̂: what moving a layer does to the loss of examples that chose
// neither the direction nor the length. Lengths are in the unit of
// LayerResult.Points: shares of the norm with Balanced.
type Transfer struct {
	// Gain is ΔL̂, the mean drop in loss over all examples; negative if moving the
	// layer harms. Its standard error is the mean of SEA and SEB.
	Gain     metric.Estimate
	SEA, SEB float64 // standard errors of the mean gain of half A and of half B
	// Reason is why the gain has no interval: no length is above 0. Then the gain
	// is 0 and so are all errors.
	Reason string
	// CorrectedLow is the lower end of the interval that holds for all layers of
	// the model at once (Bonferroni).
	CorrectedLow float64
	// Gains are those of each example, in data order; nil unless asked for.
	Gains []float32
	// Kappa is ΔL̂ over the mean of the four squared lengths; nil unless ΔL̂ > 0.
	Kappa *float64
	Steps Steps
	// ForwardEvaluations is the number of times that the loss of a fold, a quarter
	// of the examples, was computed.
	ForwardEvaluations int
}

// Steps are the four lengths of a transfer figure, by the fold that chose the
// length. The direction is the gradient of the other half.
type Steps struct{ A1, A2, B1, B2 Length }

// A Length is how far a fold of the examples asks to go.
type Length struct {
	T      float64
	Capped bool // the fold asks for more than T, the in-sample step, which bounds all lengths
}

// Training is what moving a layer by its in-sample step does to the loss of the
// training examples.
type Training struct {
	LossBefore, LossAfter float64
	Change                metric.Estimate // LossAfter − LossBefore, paired
	Slope                 float64         // derivative of the training loss along the move at its start, per unit of Points' t
	Cosine                *float64        // between the gradients of V and of the training examples; nil if either is zero
	Finding               Finding
}

// Finding tells why a layer's loss can be recovered.
type Finding string

const (
	// OverFitted: moving the layer lowers the loss of unseen examples and raises
	// that of training examples, both significantly.
	OverFitted Finding = "over-fitted"
	// UnderTrained: it lowers both, significantly.
	UnderTrained Finding = "under-trained"
)

// Worst names the layers where a figure is largest; the three names are empty
// where no layer has a positive one.
type Worst struct {
	ByDeltaLoss string // in-sample ΔL
	ByTransfer  string // ΔL̂
	ByKappa     string // κ
	// Set is the layer with the largest ΔL̂, whatever its sign, and every layer
	// whose ΔL̂ does not differ from its significantly, by paired differences of the
	// examples' gains; largest first. It is empty only where no layer has a ΔL̂.
	Set []string
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
	// Suppressed is why it counts for no verdict; empty where it does.
	Suppressed string
	Since      Since // empty without an earlier diagnosis to compare with
}
