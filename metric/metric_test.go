package metric

import (
	"math"
	"slices"
	"testing"
)

// near fails unless got is within a share of scale of want.
func near(t *testing.T, what string, got, want, share, scale float64) {
	t.Helper()
	if !(math.Abs(got-want) <= share*math.Abs(scale)) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func TestExpectedCalibrationError(t *testing.T) {
	// 17 examples: two bins of two and 13 of one. Sorted by confidence they are
	// given here; only the ties at 0.1 and 0.2 depend on data order.
	confidence := []float64{0.1, 0.1, 0.1, 0.2}
	correct := []bool{true, false, true, false}
	want := math.Abs(1-0.2) + math.Abs(1-0.3) // bins {0.1, 0.1} and {0.1, 0.2}
	for i := range 13 {
		confidence = append(confidence, 0.5+0.01*float64(i))
		correct = append(correct, i%2 == 0)
		if i%2 == 0 {
			want += 1 - confidence[4+i]
		} else {
			want += confidence[4+i]
		}
	}
	near(t, "ECE", ExpectedCalibrationError(confidence, correct), want/17, 1e-15, 1)
	// In another order, in which ties stay as they are, the figure is the same.
	slices.Reverse(confidence[4:])
	slices.Reverse(correct[4:])
	near(t, "ECE", ExpectedCalibrationError(confidence, correct), want/17, 1e-15, 1)
	// The order of the ties decides which of them share a bin.
	correct[1], correct[2] = correct[2], correct[1]
	near(t, "ECE", ExpectedCalibrationError(confidence, correct), (want-0.8-0.7+1.8+0.3)/17, 1e-15, 1)
	// Fewer examples than bins: each is alone.
	near(t, "ECE", ExpectedCalibrationError([]float64{0.9, 0.6}, []bool{true, false}), (0.1+0.6)/2, 1e-15, 1)
}

// TestReliability: the bins are those of the calibration error.
func TestReliability(t *testing.T) {
	confidence := []float64{0.9, 0.1, 0.8, 0.3}
	correct := []bool{true, false, false, true}
	for range 10 {
		confidence, correct = append(confidence, confidence[:4]...), append(correct, correct[:4]...)
	}
	bins := Reliability(confidence, correct)
	sum, examples := 0.0, 0
	for i, b := range bins {
		sum += float64(b.Examples) * math.Abs(b.Accuracy-b.Confidence)
		examples += b.Examples
		if i > 0 && b.Confidence < bins[i-1].Confidence {
			t.Errorf("bin %d has a lower confidence than the one before", i)
		}
	}
	if examples != len(confidence) {
		t.Errorf("%d of %d examples are in bins", examples, len(confidence))
	}
	near(t, "mean gap", sum/float64(examples), ExpectedCalibrationError(confidence, correct), 1e-15, 1)
	if bins := Reliability(confidence[:2], correct[:2]); len(bins) != 2 || bins[0] != (ReliabilityBin{1, 0.1, 0}) || bins[1] != (ReliabilityBin{1, 0.9, 1}) {
		t.Errorf("two examples: %v", bins)
	}
	if Reliability(nil, nil) != nil {
		t.Error("bins of nothing")
	}
}

func TestPredict(t *testing.T) {
	// A temperature of 2 takes the same answer with the confidence of half the logits.
	if class, confidence := Predict([]float32{0, 2, 4}, 0.5); class != 2 || confidence != 1/(1+math.Exp(-1)+math.Exp(-2)) {
		t.Errorf("class %d with confidence %v", class, confidence)
	}
	class, confidence := Predict([]float32{0, 2, 2}, 1)
	want := math.Exp(2) / (1 + 2*math.Exp(2))
	if class != 1 {
		t.Errorf("class %d: a tie must go to the lowest", class)
	}
	near(t, "confidence", confidence, want, 1e-15, 1)
}

func TestFitTemperature(t *testing.T) {
	// With two classes, logits (z, 0) and a share p of labels 0, the best
	// temperature makes the confidence p: T = z/ln(p/(1−p)).
	const z = 6
	set := Logits{Classes: 2}
	for i := range 100 {
		set.Values = append(set.Values, z, 0)
		label := 0
		if i%4 == 0 {
			label = 1
		}
		set.Labels = append(set.Labels, label)
	}
	got, ok := set.FitTemperature()
	if !ok {
		t.Fatal("no temperature")
	}
	want := z / math.Log(3)
	near(t, "T", got, want, 1e-9, want)

	// Shifting all logits of an example changes nothing.
	for i := range set.Values {
		set.Values[i] += float32(i/2) * 100
	}
	got, _ = set.FitTemperature()
	near(t, "T of shifted logits", got, want, 1e-9, want)

	tests := []struct {
		name   string
		logits []float32
		labels []int
		want   float64
		ok     bool
	}{
		{"all right", []float32{3, 0, 0, 3}, []int{0, 1}, MinTemperature, true},
		{"all wrong", []float32{3, 0, 0, 3}, []int{1, 0}, MaxTemperature, true},
		{"no preference", []float32{1, 1, 2, 2}, []int{0, 1}, 1, true},
		{"a masked class", []float32{z, 0, z, 0, z, 0, z, float32(math.Inf(-1))}, []int{0, 0, 1, 0}, z / math.Log(2), true},
		{"not finite", []float32{float32(math.NaN()), 0}, []int{0}, 0, false},
	}
	for _, test := range tests {
		got, ok := Logits{Classes: 2, Values: test.logits, Labels: test.labels}.FitTemperature()
		if ok != test.ok || math.Abs(got-test.want) > 0.01*test.want {
			t.Errorf("%s: T = %v, %v, want %v, %v", test.name, got, ok, test.want, test.ok)
		}
	}
}

// TestCrossFitted: the standard error is the mean of the halves'.
func TestCrossFitted(t *testing.T) {
	got, seA, seB := CrossFitted([]float64{1, 3, 1, 3, 5, 5, 5}, 4)
	// A has the mean 2 and the variance 4/3, B no spread.
	wantA := math.Sqrt(4.0 / 3 / 4)
	if math.Abs(seA-wantA) > 1e-15 || seB != 0 || math.Abs(got.SE-wantA/2) > 1e-15 || math.Abs(got.Mean-23.0/7) > 1e-15 {
		t.Errorf("%+v, %v and %v", got, seA, seB)
	}
	if half := got.CI95[1] - got.Mean; math.Abs(half-Z95*got.SE) > 1e-15 {
		t.Errorf("the interval is %v wide to either side", half)
	}
}
