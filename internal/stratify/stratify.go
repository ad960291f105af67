// Package stratify divides labelled examples, and thins them out, so that the
// classes keep their shares. Nothing is left to chance: examples are ordered by
// class, data order within a class, and taken in turn.
package stratify

import (
	"cmp"
	"slices"
)

// byClass returns the indices of labels ordered by class, data order within a
// class.
func byClass(labels []int) []int {
	order := make([]int, len(labels))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(labels[a], labels[b]) })
	return order
}

// Folds deals examples like cards, ordered by class, to k folds in turn, and
// returns the indices of each fold in data order. The folds differ in size by at
// most one and are stratified whatever the number of classes. If k divides m,
// fold i of k is the folds i, i+k, i+2k, … of m.
func Folds(labels []int, k int) [][]int {
	folds := make([][]int, k)
	for position, i := range byClass(labels) {
		folds[position%k] = append(folds[position%k], i)
	}
	for _, fold := range folds {
		slices.Sort(fold)
	}
	return folds
}

// Sample returns the indices, in data order, of n examples evenly spaced in the
// order by class: those at positions ⌊k·N/n⌋ of N. All are returned if n ≥ N.
func Sample(labels []int, n int) []int {
	total := len(labels)
	n = max(0, min(n, total))
	order := byClass(labels)
	chosen := make([]int, n)
	for k := range chosen {
		chosen[k] = order[k*total/n]
	}
	slices.Sort(chosen)
	return chosen
}

// Spread returns the indices of all examples in an order whose beginning, and any
// other part, has the classes in about their shares: example j of the n of its
// class, in data order, comes at (j + ½)/n of the way.
func Spread(labels []int) []int {
	order := byClass(labels)
	at := make([]float64, len(labels))
	for first := 0; first < len(order); {
		last := first
		for last < len(order) && labels[order[last]] == labels[order[first]] {
			last++
		}
		for j := first; j < last; j++ {
			at[order[j]] = (float64(j-first) + 0.5) / float64(last-first)
		}
		first = last
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	return order
}
