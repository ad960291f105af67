package metric

// Figures describe a classifier on a set of examples.
type Figures struct {
	Loss  float64 // mean cross-entropy in nats
	Error float64 // share of examples whose largest logit is not the label's
	ECE   float64 // expected calibration error, 0 to 1
}

// Figures returns the figures of logits in data order, whose losses are known.
func (s Logits) Figures(losses []float64) Figures {
	n := s.Len()
	confidence, correct := make([]float64, n), make([]bool, n)
	wrong := 0
	for i, label := range s.Labels {
		var class int
		class, confidence[i] = Predict(s.Row(i), 1)
		if correct[i] = class == label; !correct[i] {
			wrong++
		}
	}
	return Figures{
		Loss:  Mean(losses),
		Error: float64(wrong) / float64(max(n, 1)),
		ECE:   ExpectedCalibrationError(confidence, correct),
	}
}

// PairedDrop estimates by how much a loss falls: the mean over examples of
// before − after, with its standard error and 95 % interval.
func PairedDrop(before, after []float64) Estimate { return NewEstimate(Differences(before, after)) }

// Differences are a − b, example by example.
func Differences(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range out {
		out[i] = a[i] - b[i]
	}
	return out
}
