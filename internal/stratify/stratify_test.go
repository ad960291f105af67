package stratify

import (
	"slices"
	"testing"
)

func TestFolds(t *testing.T) {
	labels := []int{1, 0, 1, 2, 0, 1, 0, 1, 2}
	// By class: 1 4 6 | 0 2 5 7 | 3 8.
	for k, want := range map[int][][]int{
		4: {{1, 2, 8}, {4, 5}, {6, 7}, {0, 3}},
		2: {{1, 2, 6, 7, 8}, {0, 3, 4, 5}},
		1: {{0, 1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		if got := Folds(labels, k); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%d folds: %v, want %v", k, got, want)
		}
	}
	if got := Folds(labels[:2], 4); !slices.EqualFunc(got, [][]int{{1}, {0}, nil, nil}, slices.Equal) {
		t.Errorf("four folds of two examples: %v", got)
	}
}

func TestSample(t *testing.T) {
	labels := []int{1, 0, 1, 2, 0, 1, 0, 1, 2}
	for n, want := range map[int][]int{
		0:  {},
		3:  {0, 1, 7},    // positions 0, 3, 6
		4:  {1, 2, 6, 7}, // positions 0, 2, 4, 6
		9:  {0, 1, 2, 3, 4, 5, 6, 7, 8},
		99: {0, 1, 2, 3, 4, 5, 6, 7, 8},
	} {
		if got := Sample(labels, n); !slices.Equal(got, want) {
			t.Errorf("Sample(%d) = %v, want %v", n, got, want)
		}
	}
}

func TestSpread(t *testing.T) {
	labels := []int{0, 0, 0, 0, 1, 1, 2}
	// At 1/8, 3/8, 5/8, 7/8 | 1/4, 3/4 | 1/2.
	if got, want := Spread(labels), []int{0, 4, 1, 6, 2, 5, 3}; !slices.Equal(got, want) {
		t.Errorf("Spread = %v, want %v", got, want)
	}
	if got := Spread(nil); len(got) != 0 {
		t.Errorf("Spread of nothing: %v", got)
	}
}
