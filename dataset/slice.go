package dataset

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/internal/stratify"
)

// A Slice is a part of a split, for example test[1000:3000].
type Slice struct {
	Split    string // canonical name of the split
	from, to bound
	expr     string
}

// A bound is one end of a slice.
type bound struct {
	given   bool
	value   int
	percent bool
}

// ParseSlice reads a split, or a part of one, in the form known from Hugging
// Face's datasets:
//
//	test              all of the split
//	test[:1000]       the first 1000 examples
//	test[1000:3000]   examples 1000 to 2999
//	test[-500:]       the last 500
//	test[10%:20%]     from 10 % to 20 % of its length, to the nearest example
//
// Unlike there, a bound beyond the split is an error (see [Slice.Range]), and the
// examples of a split that is sorted by class are counted in an order in which the
// classes are spread evenly (see [Slice.Apply]).
func ParseSlice(expr string) (Slice, error) {
	fail := func(position int, format string, args ...any) (Slice, error) {
		return Slice{}, &Error{
			Path: fmt.Sprintf("%q", expr),
			Msg:  fmt.Sprintf("position %d: ", position) + fmt.Sprintf(format, args...),
			Hint: "write a split's name, or a part of one: test, test[:1000], test[1000:3000], test[-500:], test[10%:20%]",
		}
	}
	name, rest, bracketed := strings.Cut(expr, "[")
	if name == "" || strings.TrimSpace(name) != name {
		return fail(0, "expected the name of a split")
	}
	if i := strings.IndexAny(name, "]:%"); i >= 0 {
		return fail(i, "unexpected %q in the name of a split", name[i])
	}
	s := Slice{Split: CanonicalSplit(name), expr: expr}
	if !bracketed {
		return s, nil
	}
	open := len(name) + 1
	inside, ok := strings.CutSuffix(rest, "]")
	if !ok {
		return fail(len(expr), "expected ]")
	}
	from, to, ok := strings.Cut(inside, ":")
	if !ok {
		return fail(open, "expected a range, for example [:1000]")
	}
	for _, part := range []struct {
		text     string
		position int
		bound    *bound
	}{{from, open, &s.from}, {to, open + len(from) + 1, &s.to}} {
		if part.text == "" {
			continue
		}
		digits, percent := strings.CutSuffix(part.text, "%")
		v, err := strconv.Atoi(digits)
		if err != nil || strings.HasPrefix(digits, "+") {
			return fail(part.position, "expected a whole number or a percentage, found %q", part.text)
		}
		if percent && (v < -100 || v > 100) {
			return fail(part.position, "%s is not between -100%% and 100%%", part.text)
		}
		*part.bound = bound{given: true, value: v, percent: percent}
	}
	return s, nil
}

// String returns the expression that was parsed.
func (s Slice) String() string { return s.expr }

// Range returns the half-open range of examples [from, to) that s takes from a
// split of n examples. A range that is empty or that reaches beyond the split
// is an error.
func (s Slice) Range(n int) (from, to int, err error) {
	from, okFrom := s.from.resolve(n, 0)
	to, okTo := s.to.resolve(n, n)
	var msg string
	switch {
	case !okFrom || !okTo:
		msg = fmt.Sprintf("reaches beyond the split %s, which has %d examples", s.Split, n)
	case from >= to:
		msg = fmt.Sprintf("empty: examples %d to %d of the %d in split %s", from, to, n, s.Split)
	default:
		return from, to, nil
	}
	return 0, 0, &Error{Path: s.expr, Msg: msg, Hint: fmt.Sprintf("choose a range between 0 and %d", n)}
}

// resolve returns the bound as an index into a split of n examples, and whether
// it lies within.
func (b bound) resolve(n, otherwise int) (index int, ok bool) {
	if !b.given {
		return otherwise, true
	}
	index = b.value
	if b.percent {
		// Rounded half to even, as Python's round does.
		index = int(math.RoundToEven(float64(b.value) * float64(n) / 100))
	}
	if b.value < 0 {
		index += n
	}
	return index, index >= 0 && index <= n
}

// Apply reads the part of src that s names. Where the split is sorted by class, as
// folders are, every part has the classes in about the shares of the whole; parts
// that do not overlap as ranges share no example.
func (s Slice) Apply(src Source) (Set, error) {
	set, err := src.Split(s.Split)
	if err != nil {
		return nil, err
	}
	from, to, err := s.Range(set.Len())
	if err != nil {
		return nil, err
	}
	if !s.from.given && !s.to.given {
		return set, nil
	}
	order, spread := sliceOrder(Labels(set))
	chosen := order[from:to]
	slices.Sort(chosen)
	if spread {
		return byClass(set, s.expr, chosen), nil
	}
	return Subset(set, s.expr, chosen), nil
}

// sliceOrder is the order in which examples are counted for slices: that of the
// data, unless these are sorted by class, as folders are. A slice of them would
// hold the first few classes only; there the classes are spread evenly.
func sliceOrder(labels []int) (order []int, spread bool) {
	if len(labels) > 0 && slices.IsSorted(labels) && labels[0] != labels[len(labels)-1] {
		return stratify.Spread(labels), true
	}
	order = make([]int, len(labels))
	for i := range order {
		order[i] = i
	}
	return order, false
}

// Disjoint returns an error if two of the slices share an example of src.
func Disjoint(src Source, parts ...Slice) error {
	for i, a := range parts {
		for _, b := range parts[:i] {
			if a.Split != b.Split {
				continue
			}
			set, err := src.Split(a.Split)
			if err != nil {
				return err
			}
			aFrom, aTo, err := a.Range(set.Len())
			if err != nil {
				return err
			}
			bFrom, bTo, err := b.Range(set.Len())
			if err != nil {
				return err
			}
			if from, to := max(aFrom, bFrom), min(aTo, bTo); from < to {
				return &Error{
					Path: b.expr + " and " + a.expr,
					Msg:  fmt.Sprintf("share examples %d to %d of split %s", from, to-1, a.Split),
					Hint: "what one is diagnosed, trained and accepted on must be disjoint",
				}
			}
		}
	}
	return nil
}
