package diag

import "github.com/modeldoctor/modeldoctor/internal/stratify"

// The four stratified folds that the examples are divided into for
// cross-fitting. Half A is A1 and A2, half B is B1 and B2.
const (
	foldA1 = iota
	foldB1
	foldA2
	foldB2
	foldCount
)

// perFold is a linear combination of the folds: a gradient is one of the folds'
// summed gradients, a loss one of their summed losses.
type perFold [foldCount]float64

func (a perFold) scale(c float64) perFold {
	for fold := range a {
		a[fold] *= c
	}
	return a
}

// folds are the examples in the order A1, A2, B1, B2, so that each fold and each
// half is one range of positions. Within a fold examples are in data order.
type folds struct {
	order  []int // example at each position
	labels []int // label at each position
	bounds [foldCount][2]int
}

// newFolds divides examples with the given labels.
func newFolds(labels []int) *folds {
	f := &folds{order: make([]int, 0, len(labels)), labels: make([]int, 0, len(labels))}
	divided := stratify.Folds(labels, foldCount)
	for _, fold := range []int{foldA1, foldA2, foldB1, foldB2} {
		lo := len(f.order)
		for _, i := range divided[fold] {
			f.order = append(f.order, i)
			f.labels = append(f.labels, labels[i])
		}
		f.bounds[fold] = [2]int{lo, len(f.order)}
	}
	return f
}

// n is the number of examples.
func (f *folds) n() int { return len(f.order) }

// size is the number of examples of a fold.
func (f *folds) size(fold int) int { return f.bounds[fold][1] - f.bounds[fold][0] }

// middle is the first position of half B.
func (f *folds) middle() int { return f.bounds[foldB1][0] }

// mean is the combination that makes the mean over the examples of some folds
// out of their sums.
func (f *folds) mean(of ...int) perFold {
	n := 0
	for _, fold := range of {
		n += f.size(fold)
	}
	var share perFold
	for _, fold := range of {
		share[fold] = 1 / float64(max(n, 1))
	}
	return share
}

// everything is the mean over all examples.
func (f *folds) everything() perFold { return f.mean(foldA1, foldA2, foldB1, foldB2) }

// combine is the combination of the folds' sums of losses, which are given by
// position.
func (f *folds) combine(share perFold, losses []float64) float64 {
	sum := 0.0
	for fold, c := range share {
		if c == 0 {
			continue
		}
		for _, loss := range losses[f.bounds[fold][0]:f.bounds[fold][1]] {
			sum += c * loss
		}
	}
	return sum
}
