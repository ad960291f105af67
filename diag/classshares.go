package diag

// classCounts is the number of examples of each class.
func classCounts(labels []int, classes int) []int {
	counts := make([]int, classes)
	for _, l := range labels {
		counts[l]++
	}
	return counts
}

// spreadOf is by how much the classes that have examples differ in their number:
// at most 1 where as many as possible were drawn of each.
func spreadOf(counts []int) int {
	fewest, most := 0, 0
	for _, n := range counts {
		if n > 0 && (fewest == 0 || n < fewest) {
			fewest = n
		}
		most = max(most, n)
	}
	return most - fewest
}

// priorGain is the loss in nats per example that is expected to fall on n
// examples, drawn at random, if a model's class prior is fitted to their counts of
// so many classes, and on no other example. Twice the log likelihood ratio of n
// draws is about a chi-square of classes − 1 degrees of freedom (Wilks, 1938), the
// number of which is its mean.
func priorGain(classes, n int) float64 { return float64(classes-1) / float64(2*n) }

// classShares applies the rule about class shares that are a matter of chance. Both
// halves of the examples have them, so that what fitting them gains passes from one
// to the other, and no interval allows for it.
func (v *violations) classShares(r *Report, b *Checkpoint, opt Options) {
	from := max(opt.DrawnFrom, r.N)
	gain := priorGain(b.Present, from)
	if r.N < MinTransferExamples || r.Limit == nil || b.Spread < 2 || gain <= minPriorGain**r.Limit {
		return
	}
	level := LevelInfo
	if gain >= warnPriorGain**r.Limit {
		level = LevelWarning
	}
	v.add(RuleClassShares, level, "",
		"how many images each class has was left to chance: fitting these numbers takes about %.2g nats, %.2g times the threshold, off the loss of these images (%d/(2·%d)) and of no others; recoverable loss may be that much too high",
		gain, gain / *r.Limit, b.Present-1, from)
}
