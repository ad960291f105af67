package metric

import "math"

// Spread is a mean over repeats of an experiment with the standard deviation of
// one (n − 1), 0 for a single one.
type Spread struct {
	Mean, SD float64
	N        int
}

// SpreadOf returns the spread of some repeats; nil for none.
func SpreadOf(x []float64) *Spread {
	if len(x) == 0 {
		return nil
	}
	mean, se := meanAndError(x)
	return &Spread{Mean: mean, SD: se * math.Sqrt(float64(len(x))), N: len(x)}
}

// Lowest returns the index of the lowest finite value, the first of equal ones;
// -1 where there is none.
func Lowest(x []float64) int {
	lowest := -1
	for i, v := range x {
		if IsFinite(v) && (lowest < 0 || v < x[lowest]) {
			lowest = i
		}
	}
	return lowest
}
