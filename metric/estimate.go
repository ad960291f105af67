package metric

import "math"

// Z95 is the half width of a 95 % interval in standard errors.
const Z95 = 1.959963984540054

// Estimate is a mean over examples with its uncertainty.
type Estimate struct {
	Mean float64
	SE   float64    // standard error
	CI95 [2]float64 // 95 % interval
}

// NewEstimate estimates the mean of what x is a sample of.
func NewEstimate(x []float64) Estimate { return NormalEstimate(meanAndError(x)) }

// NormalEstimate is an estimate whose error has a normal distribution.
func NormalEstimate(mean, se float64) Estimate {
	return Estimate{mean, se, [2]float64{mean - Z95*se, mean + Z95*se}}
}

// CrossFitted estimates the mean of cross-fitted gains: those of half A, which
// are the first so many, come of a choice made on half B, and the reverse. The
// halves' errors are not independent, as to first order both are the same inner
// product of the halves' gradients. So the standard error is (SE_A + SE_B)/2,
// which holds for any correlation: seA and seB are the two, each s/√n over its
// half.
func CrossFitted(gains []float64, half int) (e Estimate, seA, seB float64) {
	_, seA = meanAndError(gains[:half])
	_, seB = meanAndError(gains[half:])
	return NormalEstimate(Mean(gains), (seA+seB)/2), seA, seB
}

// HalfWidth is half the width of the 95 % interval.
func (e Estimate) HalfWidth() float64 { return Z95 * e.SE }

// IsFinite reports whether mean and standard error are.
func (e Estimate) IsFinite() bool { return IsFinite(e.Mean) && IsFinite(e.SE) }

// Mean is the mean of x; 0 if x is empty.
func Mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(max(len(x), 1))
}

// meanAndError is the mean of x with its standard error s/√n, s the sample
// standard deviation (n − 1); the error is 0 if n < 2.
func meanAndError(x []float64) (mean, se float64) {
	mean = Mean(x)
	if len(x) < 2 {
		return mean, 0
	}
	squares := 0.0
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	n := float64(len(x))
	return mean, math.Sqrt(squares / (n - 1) / n)
}

// Finite returns a pointer to x, nil if x is not finite.
func Finite(x float64) *float64 {
	if !IsFinite(x) {
		return nil
	}
	return &x
}

// IsFinite reports whether x is neither NaN nor infinite.
func IsFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
