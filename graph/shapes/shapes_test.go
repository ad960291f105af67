package shapes

import (
	"slices"
	"testing"
)

func TestBroadcast(t *testing.T) {
	for _, test := range []struct {
		in   [][]int
		want []int // nil: refused
	}{
		{[][]int{{2, 3}, {3}}, []int{2, 3}},
		{[][]int{{2, 1}, {1, 3}, {}}, []int{2, 3}},
		{[][]int{{0}, {1}}, []int{0}},
		{[][]int{{2, 3}, {2}}, nil},
	} {
		got, err := Broadcast(test.in...)
		if (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("%v broadcast to %v (%v), want %v", test.in, got, err, test.want)
		}
	}
}

func TestAxes(t *testing.T) {
	for _, test := range []struct {
		axes []int64
		rank int
		want []int // nil: refused
	}{
		{[]int64{-1, 0}, 3, []int{0, 2}},
		{[]int64{1, -2}, 3, nil},
		{[]int64{3}, 3, nil},
		{[]int64{-4}, 3, nil},
	} {
		got, err := Axes(test.axes, test.rank)
		if (err != nil) != (test.want == nil) || !slices.Equal(got, test.want) {
			t.Errorf("axes %v of rank %d are %v (%v), want %v", test.axes, test.rank, got, err, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		shape []int
		ok    bool
	}{
		{nil, true},
		{[]int{0, 5}, true},
		{[]int{1 << 20, 1 << 20}, true},
		{[]int{1 << 20, 1 << 20, 2}, false},
		{[]int{0, 1 << 40, 2}, false}, // no product of some sizes may overflow
		{[]int{-1}, false},
		{make([]int, MaxRank+1), false},
	} {
		if err := Check(test.shape); (err == nil) != test.ok {
			t.Errorf("shape %v: %v", test.shape, err)
		}
	}
}

func TestSizes(t *testing.T) {
	if got, err := Sizes([]int64{0, 7}); err != nil || !slices.Equal(got, []int{0, 7}) {
		t.Errorf("sizes %v (%v)", got, err)
	}
	for _, v := range []int64{-1, 1 << 31} {
		if got, err := Sizes([]int64{v}); err == nil {
			t.Errorf("size %d was accepted as %v", v, got)
		}
	}
}

func TestRowMajor(t *testing.T) {
	if got := RowMajor([]int{2, 3, 4}); !slices.Equal(got, []int{12, 4, 1}) {
		t.Errorf("strides %v", got)
	}
	if outer, inner := Around([]int{2, 3, 4, 5}, 1); outer != 2 || inner != 20 {
		t.Errorf("%d elements before and %d after", outer, inner)
	}
}
