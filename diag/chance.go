package diag

import "gonum.org/v1/gonum/mathext"

// chanceLevel is the probability below which a share of right answers counts as
// better than chance: three standard errors of a normal distribution, one-sided.
const chanceLevel = 0.00135

// chance is the share of right answers to be expected from predictions that are
// independent of the labels, and the number of classes that have examples. The
// share is Σ_c (share of predictions of c)·(share of labels c), as in Cohen's
// κ, so that answering with the commonest class is no skill; it is at least
// 1/classes. Where only one class has examples it is 1/classes, as nothing
// better can be said.
func chance(predicted, labels []int, classes int) (share float64, present int) {
	examples, answers := classCounts(labels, classes), classCounts(predicted, classes)
	n := float64(len(predicted))
	for c := range classes {
		share += float64(examples[c]) / n * float64(answers[c]) / n
		if examples[c] > 0 {
			present++
		}
	}
	if floor := 1 / float64(classes); present < 2 || share < floor {
		share = floor
	}
	return share, present
}

// beatsChance reports whether so many right answers out of n are too many for
// guesses that are right with the given probability: whether the binomial
// probability of as many or more is below chanceLevel.
func beatsChance(hits, n int, probability float64) bool {
	if hits == 0 || probability >= 1 {
		return false
	}
	return mathext.RegIncBeta(float64(hits), float64(n-hits+1), probability) < chanceLevel
}
