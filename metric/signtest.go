package metric

import "math"

// SignTest is the probability that a fair coin comes up as one side at least wins times
// in wins + losses tosses: the one-sided p-value of the exact test of McNemar, Note on
// the Sampling Error of the Difference Between Correlated Proportions or Percentages,
// Psychometrika 12 (1947), for so many pairs that changed for the better and the worse.
// It holds for any number of pairs, where the normal distribution calls 4 of 4
// significant at 2.5 %, which are 6 %.
func SignTest(wins, losses int) float64 {
	n := float64(wins + losses)
	lgamma := func(x float64) float64 {
		v, _ := math.Lgamma(x)
		return v
	}
	p := 0.0
	for k := float64(wins); k <= n; k++ {
		p += math.Exp(lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1) - n*math.Ln2)
	}
	return min(p, 1)
}
