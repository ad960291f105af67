package pol

import "github.com/modeldoctor/modeldoctor/metric"

// MinHoldout is the smallest number of hold-out examples that can decide. Below it
// the normal distribution accepts 3.4 to 4.5 % of treatments that do nothing, in
// place of 2.5 %, and more where differences are skewed.
const MinHoldout = 500

// oneSided is how often a treatment that does nothing may look like one that helps.
const oneSided = 0.025

// Objection is a condition of acceptance that a treatment does not meet.
type Objection string

// The objections, each on the hold-out set and by paired differences of its
// examples. A bound is that of a one-sided interval of 97.5 %.
const (
	NoTreatedModel       Objection = "no-treated-model"       // the training diverged before an epoch was complete, or a loss is not finite
	TooFewImages         Objection = "too-few-images"         // fewer than MinHoldout
	NoSpread             Objection = "no-spread"              // the loss of every image changes by the same
	NoTemperature        Objection = "no-temperature"         // nothing is done but divide by a temperature at an end of what is searched
	LossNotLower         Objection = "loss-not-lower"         // the lower bound of the loss's drop is not above 0
	NotBeyondTemperature Objection = "not-beyond-temperature" // nor is that from the loss with the temperature alone
	ErrorHigher          Objection = "error-higher"           // the upper bound of the error's drop is below 0
	ErrorNotLower        Objection = "error-not-lower"        // so many more answers mended than spoiled may be chance
	LossHigher           Objection = "loss-higher"            // the upper bound of the loss's drop is below 0, as the models are or with the best temperature for each
)

// Objections lists what speaks against a treatment; nothing where it is accepted.
func (r *Result) Objections() []Objection {
	if r.Gain == nil || r.ErrorDrop == nil || !r.Gain.IsFinite() {
		return []Objection{NoTreatedModel}
	}
	var all []Objection
	object := func(o Objection, holds bool) {
		if holds {
			all = append(all, o)
		}
	}
	object(TooFewImages, r.Holdout < MinHoldout)
	if r.Goal == LowerError {
		object(ErrorNotLower, metric.SignTest(r.Mended, r.Spoiled) > oneSided)
		object(LossHigher, higher(*r.Gain) || r.OwnBeyond != nil && higher(*r.OwnBeyond))
		return all
	}
	object(NoSpread, r.Gain.SE == 0)
	object(NoTemperature, r.Beyond == nil && r.Temperature != nil && r.Temperature.Value == r.TrainedAt && !isBest(r.TrainedAt))
	object(LossNotLower, !lower(*r.Gain))
	object(NotBeyondTemperature, r.Beyond != nil && !lower(*r.Beyond))
	object(ErrorHigher, higher(*r.ErrorDrop))
	return all
}

// Accepted reports whether nothing speaks against the treatment. For [LowerLoss] the
// hold-out loss is significantly lower than the original's and than with the
// temperature alone, and the error is not significantly higher. For [LowerError] the
// error is significantly lower, and the loss not significantly higher, neither as the
// models are nor with the temperature that fits each best.
func (r *Result) Accepted() bool { return len(r.Objections()) == 0 }

// TemperatureAccepted reports whether the temperature alone would be accepted. It
// leaves the error as it is, which is not what [LowerError] asks for, and has to be one
// that is best.
func (r *Result) TemperatureAccepted() bool {
	t := r.Temperature
	return t != nil && r.Goal == LowerLoss && isBest(t.Value) && r.Holdout >= MinHoldout && t.Drop.IsFinite() && t.Drop.SE > 0 && lower(t.Drop)
}

// isBest reports whether a fitted temperature lies within what is searched. At an
// end the loss falls on beyond it, because every answer is right or all are useless.
func isBest(temperature float64) bool {
	return temperature > metric.MinTemperature && temperature < metric.MaxTemperature
}

// lower reports whether a drop is significantly above 0. Each end of the interval
// of 95 % is a one-sided bound of 97.5 %.
func lower(drop metric.Estimate) bool { return drop.CI95[0] > 0 }

// higher reports whether it is significantly below 0.
func higher(drop metric.Estimate) bool { return drop.CI95[1] < 0 }
