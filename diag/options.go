package diag

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

// DefaultThreshold is the room for improvement from which a layer breaches
// MD001, as a share of the loss.
const DefaultThreshold = 0.01

// DefaultDescentSteps is the number of steps that Descent takes.
const DefaultDescentSteps = 10

// Options are the choices of a diagnosis. The zero value is a sensible one.
type Options struct {
	Direction    Direction
	DescentSteps int  // steps of Descent; 0: DefaultDescentSteps
	Calibrated   bool // take every loss of logits divided by the temperature fitted on all examples

	// Threshold is the share of the loss that a layer's transfer figure, or the
	// temperature's, must exceed to breach a rule; 0: DefaultThreshold.
	Threshold float64

	// Memory is the number of bytes that activations and gradients may take
	// together, not counting the model's own; 0: no limit. Activations that do
	// not fit lie in a temporary file, gradients that do not fit are taken in
	// several sweeps. One layer's always has to fit.
	Memory int64
	// TempDir is where the temporary file goes; empty: the system's place.
	TempDir string

	// Coverage is the share of the model's parameters that belong to layers
	// which can be measured, from 0 to 1; 0: not known.
	Coverage float64
	// PreprocessDetected says that the preprocessing was guessed from the data.
	PreprocessDetected bool

	// Progress, if not nil, is called as work proceeds. phase is what is being
	// done ("loss", "gradients" or a layer's name); done and total are in one
	// unit over the whole diagnosis and about proportional to time, so that
	// done/total can drive a bar with the remaining time. done never falls;
	// total does not change.
	Progress func(phase string, done, total int)
}
