package diag

import "github.com/modeldoctor/modeldoctor/nn"

// Direction is the path along which a layer is moved.
type Direction int

const (
	// Line is the negative gradient, scaled to length 1.
	Line Direction = iota
	// Balanced moves every tensor of the layer against its gradient by the same
	// share of the tensor's norm.
	Balanced
	// Descent takes several full-batch steps of gradient descent within the
	// layer, each with a line search. Its transfer figure is that of Line.
	Descent
)

// String returns the direction's name as a user spells it: line, balanced or
// descent.
func (d Direction) String() string {
	switch d {
	case Balanced:
		return "balanced"
	case Descent:
		return "descent"
	}
	return "line"
}

// Calibration says where the temperature comes from that losses are taken at.
type Calibration string

const (
	Fitted   Calibration = "fit"   // it fits all examples best
	Raw      Calibration = "none"  // there is none: logits are taken as they are
	Given    Calibration = "given" // Options.Temperature
	Unfitted Calibration = "unfit" // no temperature is best, so logits are taken as they are
)

// DefaultThreshold is the gain that verdicts are about, as a share of the loss.
const DefaultThreshold = 0.01

// DefaultRegression is the increase of a gain from which it counts as a
// regression, as a share of the loss: more than rounding on another machine.
const DefaultRegression = 0.001

// DefaultDescentSteps is the number of steps that Descent takes.
const DefaultDescentSteps = 10

// Options are the choices of a diagnosis. The zero value is a sensible one.
type Options struct {
	Direction    Direction
	DescentSteps int // steps of Descent; 0: DefaultDescentSteps

	// Temperature is what logits are divided by wherever a loss is taken, but for
	// Metrics.Loss; 1 takes them as they are. 0: the temperature that fits all
	// examples best.
	Temperature float64

	// Threshold is the share of the loss, at that temperature, which verdicts are
	// about; 0: DefaultThreshold.
	Threshold float64

	// Rules change levels and thresholds, by the rule's ID.
	Rules map[string]RuleSetting
	// Suppressions are breaches that are accepted, with a reason.
	Suppressions []Suppression
	// Prior, if not nil, is an earlier diagnosis to compare with.
	Prior *Prior
	// PerExample says that the gains of single examples are to be reported.
	PerExample bool

	// Tests is the number of layers of the whole model that can be measured, which
	// intervals are corrected for where only some are given; 0: those given.
	Tests int

	// Race, if not nil, says how many layers are searched where not all are.
	Race *Race

	// Training, if not nil, are examples of the training set, about as many as
	// there are others, on which it is told whether a layer is over-fitted or
	// under-trained.
	Training nn.Examples

	// Memory is the number of bytes that activations and gradients may take
	// together, not counting the model's own; 0: no limit. Activations that do
	// not fit lie in a temporary file, gradients that do not fit are taken in
	// several sweeps. One layer's always has to fit.
	Memory int64
	// HostMemory is, for a model whose device has memory of its own, the number of
	// bytes of the host's that activations may take which do not fit there, before
	// they lie in a file; 0: none.
	HostMemory int64
	// TempDir is where the temporary file goes; empty: the system's place.
	TempDir string

	// Coverage is the share of the model's parameters that belong to layers
	// which can be measured, from 0 to 1; 0: not known.
	Coverage float64
	// DrawnFrom is the number of examples that those given were drawn from by class,
	// so that their class shares are those of that many; 0: they were not.
	DrawnFrom int
	// PreprocessDetected says that the preprocessing was guessed from the data.
	PreprocessDetected bool

	// Progress, if not nil, is called as work proceeds. phase is what is being
	// done ("loss", "gradients", "ranking" or a layer's name), with its number among the
	// phases in front ("3/14 blocks.0"); done and total are in one
	// unit over the whole diagnosis and about proportional to time, so that
	// done/total can drive a bar with the remaining time. done never falls;
	// total does not change, but once in a race, when the layers are chosen.
	Progress func(phase string, done, total int)
}
