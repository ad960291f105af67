package dataset

import (
	"cmp"
	"slices"
)

// The quarters that [Quarters] deals. A = A1 ∪ A2 and B = B1 ∪ B2.
const (
	A1 = iota
	B1
	A2
	B2
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

// Quarters deals examples like cards: ordered by class, they go in turn to
// [A1], [B1], [A2], [B2], A1, … It returns the quarter of each example. The
// quarters differ in size by at most one and are stratified whatever the number
// of classes.
func Quarters(labels []int) []int {
	quarter := make([]int, len(labels))
	for position, i := range byClass(labels) {
		quarter[i] = position % 4
	}
	return quarter
}

// Halves deals examples, ordered by class, in turn to two halves, and returns
// the indices of each in data order. The first half is A of [Quarters], the
// second B.
func Halves(labels []int) (first, second []int) {
	for i, q := range Quarters(labels) {
		if q == A1 || q == A2 {
			first = append(first, i)
		} else {
			second = append(second, i)
		}
	}
	return first, second
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
