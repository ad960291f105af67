package pol

import (
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Result is the outcome of a treatment. Losses are in nats per example.
type Result struct {
	Goal   Goal
	Epochs []Epoch
	Best   int // the epoch that was kept, counted from 1; 0: none
	// Stopped says why the training ended before its last epoch; empty if it did
	// not. What was best until then is kept.
	Stopped string

	// Before and After are the figures of the hold-out set; Gain is the paired
	// drop of its loss and ErrorDrop that of its error. After, Gain and ErrorDrop
	// are absent where the training diverged before an epoch was complete.
	Holdout   int // its number of examples
	Before    metric.Figures
	After     *metric.Figures
	Gain      *metric.Estimate
	ErrorDrop *metric.Estimate
	// Mended are the hold-out examples whose answer has become right, Spoiled those
	// where it has become wrong.
	Mended, Spoiled int
	// Temperature is what dividing the logits by one number does, without any
	// other treatment; nil where none can be fitted.
	Temperature *Temperature
	// Beyond is the paired drop of the hold-out loss from what it is with the
	// temperature alone; nil where one of the two is missing, or the temperature is
	// the treatment.
	Beyond *metric.Estimate

	// Own is what a temperature that fits the treated model on V does to it: the loss
	// that the treatment leaves to be compared with others', whatever they have done to
	// the scale of the logits. Its drop is from Before. nil without a treated model.
	Own *Temperature
	// OwnBeyond is the paired drop of the hold-out loss from what it is with the
	// temperature alone to that with Own: what the treatment does to the loss that no
	// number could have done, before or afterwards. nil where one of the two is missing.
	OwnBeyond *metric.Estimate
	// Images are the figures of each hold-out image.
	Images Images

	// TrainedAt is the temperature that logits were divided by in the training, and
	// that is folded into Weights; 1: none.
	TrainedAt float64
	// Refitted is a temperature that was fitted after the training and is folded into
	// Weights, too; nil: none.
	Refitted *float64

	Pace    *Pace // of the learning rate; nil where it was given
	Trained int   // scalars that were updated
	Steps   int   // steps made, rejected ones included
	Scans   Scans // of the recipes that search
	Cache   Cache
	// Weights are the new values of the weights that changed, as the file will
	// give them back.
	Weights map[int][]float32
}

// Epoch is one pass over the training examples.
type Epoch struct {
	Number   int // from 1
	Steps    int
	Rejected int // steps whose perturbation found no range, so that nothing was updated
	// TrainLoss is the mean over accepted steps of the update's loss, at the
	// displaced weights and before the update; nil if no step was accepted.
	TrainLoss  *float64
	Validation metric.Figures // after the epoch; its ECE is that of undivided logits
	Rate       float64        // learning rate at its end, before the schedule
	Duration   time.Duration  // of the steps, without the evaluation
	Scanning   time.Duration  // of these, the scans along the perturbation's gradient
	// Evaluations is the number of losses that the scans computed.
	Evaluations int
}

// Scans says what the perturbations by Search cost.
type Scans struct {
	Evaluations int     // losses of a perturbation's batch, besides that of the gradient
	Share       float64 // of the time of all steps, 0 to 1
}

// Cache describes the activations that were kept.
type Cache struct {
	Neck  int      // below every weight that was changed or perturbed
	Bytes int64    // of the training and validation sets; 0: nothing was kept
	Place nn.Place // the slowest that some of it lay in
}

// Images are figures of each hold-out image, in data order; those after the treatment
// are nil without a treated model. Wrong is 1 where the answer is, and 0 otherwise.
type Images struct {
	Before, After []float64 // losses
	Temperature   []float64 // losses with the temperature alone; nil where none fits
	Own           []float64 // losses with the treated model's own temperature
	WrongBefore   []float64
	WrongAfter    []float64
}

// Temperature is what one number, fitted on V, does to the hold-out loss.
type Temperature struct {
	Value float64
	Loss  float64         // hold-out loss of logits/Value
	Drop  metric.Estimate // paired drop of the loss
}

// SecondsPerEpoch is the mean time of an epoch's steps; 0 without epochs.
func (r *Result) SecondsPerEpoch() float64 {
	if len(r.Epochs) == 0 {
		return 0
	}
	var sum time.Duration
	for _, e := range r.Epochs {
		sum += e.Duration
	}
	return sum.Seconds() / float64(len(r.Epochs))
}
