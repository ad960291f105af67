package dataset

import (
	"cmp"
	"fmt"
	"image"
	"io/fs"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/internal/stratify"
)

// A Set is a sequence of labelled images, the same at every call. Its methods
// may be called from several goroutines at once.
type Set interface {
	// Name is what the set is called in a report, for example "test[:1000]".
	Name() string
	// Len is the number of examples.
	Len() int
	// Label is the class of example i, at least 0 and, where there are class
	// names, less than their number.
	Label(i int) int
	// Image decodes example i. The caller owns the image. An error names the
	// file, if the example has one of its own.
	Image(i int) (image.Image, error)
	// Classes is the list of class names by label, nil when they are unnamed.
	// The caller must not change it.
	Classes() []string
}

// A Source is a data set with its splits. Its methods may be called from
// several goroutines at once.
type Source interface {
	// Name is what the data set is called in a report.
	Name() string
	// Splits lists the names that Split takes, in canonical spelling.
	Splits() []string
	// Split reads a split. The name may be spelled in any of the usual ways
	// (see [CanonicalSplit]).
	Split(name string) (Set, error)
}

// An Error is something wrong with data or files that the user gave.
type Error struct {
	Path string // the file, folder or expression at fault; may be empty
	Msg  string // what is wrong: what was found and what was expected
	Hint string // what to do about it; may be empty
	Err  error  // the cause; may be nil
}

// Error returns the path, the message and the cause, on one line, without the
// hint.
func (e *Error) Error() string {
	var parts []string
	for _, part := range []string{e.Path, e.Msg} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	switch err := e.Err.(type) {
	case nil:
	case *fs.PathError: // which would name the path again
		parts = append(parts, err.Err.Error())
	default:
		parts = append(parts, err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The canonical names of splits. A source may have others.
const (
	Train      = "train"
	Validation = "validation"
	Test       = "test"
	Holdout    = "holdout" // kept back for acceptance where a source provides it
	All        = "all"     // the only split of a source that is not divided
)

// splitWords are the words by which a split is known.
var splitWords = map[string]string{
	"train": Train, "training": Train, "trn": Train,
	"val": Validation, "valid": Validation, "validation": Validation, "validate": Validation, "eval": Validation, "dev": Validation,
	"test": Test, "testing": Test, "tst": Test,
}

// CanonicalSplit returns the canonical spelling of a split's name: "val",
// "valid", "dev" and "eval" mean validation, "training" train, "testing" test.
// Words that say that it is a set of images do not count: "training_set",
// "seg_test", "test-images". Other names are returned as they are.
func CanonicalSplit(name string) string {
	lower := strings.ToLower(name)
	for _, ending := range []string{"set", "data"} { // trainset
		if word, ok := strings.CutSuffix(lower, ending); ok && splitWords[word] != "" {
			return splitWords[word]
		}
	}
	found := ""
	for word := range strings.FieldsFuncSeq(lower, func(r rune) bool { return r == '_' || r == '-' || r == ' ' || r == '.' }) {
		split := splitWords[word]
		switch {
		case split == "" && slices.Contains([]string{"set", "data", "dataset", "images", "image", "imgs", "img", "seg", "split"}, word):
		case split == "" || found != "":
			return name
		default:
			found = split
		}
	}
	return cmp.Or(found, name)
}

// UnknownSplit is the error of a source that has no split of the given name.
func UnknownSplit(s Source, name string) error {
	return &Error{
		Path: s.Name(),
		Msg:  fmt.Sprintf("no split %q", name),
		Hint: "its splits are " + strings.Join(s.Splits(), ", "),
	}
}

// SplitIndex is the place of a split among those of a source, by any of its names.
func SplitIndex(s Source, name string) (int, error) {
	i := slices.Index(s.Splits(), CanonicalSplit(name))
	if i < 0 {
		return 0, UnknownSplit(s, name)
	}
	return i, nil
}

// Labels returns the labels of all examples, in data order.
func Labels(s Set) []int {
	labels := make([]int, s.Len())
	for i := range labels {
		labels[i] = s.Label(i)
	}
	return labels
}

// ClassCount is the number of classes that a set's labels are of: that of its
// names, else what its form says, else one more than the largest label.
func ClassCount(s Set) int {
	if classes := s.Classes(); classes != nil {
		return len(classes)
	}
	if s, ok := innermost(s).(interface{ ClassCount() int }); ok {
		return s.ClassCount()
	}
	most := -1
	for i := range s.Len() {
		most = max(most, s.Label(i))
	}
	return most + 1
}

// OfFolders reports whether a set's classes are folders, which are numbered in the
// order of their sorted names because nothing else says how.
func OfFolders(s Set) bool {
	_, ok := innermost(s).(*folderSet)
	return ok
}

// CheckLabels returns an error unless s has examples and each label is one of a
// model's outputs.
func CheckLabels(s Set, outputs int) error {
	if s.Len() == 0 {
		return &Error{Path: s.Name(), Msg: "no examples", Hint: "choose a part that is not empty"}
	}
	for i := range s.Len() {
		if l := s.Label(i); l < 0 || l >= outputs {
			return &Error{
				Path: s.Name(),
				Msg:  fmt.Sprintf("example %d has label %d: the model has %d outputs, 0 to %d", i, l, outputs, outputs-1),
				Hint: "use data with the classes that the model was trained on, or give the names of its outputs with --labels FILE",
			}
		}
	}
	return nil
}

// Where says where example i of s comes from, for an error: its file, or the
// set's name and the index.
func Where(s Set, i int) string {
	if s, ok := s.(interface{ where(i int) string }); ok {
		return s.where(i)
	}
	return fmt.Sprintf("%s, example %d", s.Name(), i)
}

// subset is some examples of a set, in an order of its own.
type subset struct {
	Set
	name    string
	index   []int
	byClass bool // the classes have their shares of Set
}

// Subset returns the examples of s with the given indices, in that order, under
// the given name. It keeps indices.
func Subset(s Set, name string, indices []int) Set {
	for _, i := range indices {
		if i < 0 || i >= s.Len() {
			panic(fmt.Sprintf("dataset: index %d of a set of %d", i, s.Len()))
		}
	}
	return &subset{Set: s, name: name, index: indices}
}

func (s *subset) Name() string                     { return s.name }
func (s *subset) Len() int                         { return len(s.index) }
func (s *subset) Label(i int) int                  { return s.Set.Label(s.index[i]) }
func (s *subset) Image(i int) (image.Image, error) { return s.Set.Image(s.index[i]) }
func (s *subset) where(i int) string               { return Where(s.Set, s.index[i]) }

// byClass returns the examples of s with the given indices, which were chosen such
// that the classes keep their shares.
func byClass(s Set, name string, indices []int) Set {
	drawn := Subset(s, name, indices).(*subset)
	drawn.byClass = true
	return drawn
}

// DrawnFrom is the number of examples whose class shares s has: those of the set
// that it was drawn from by class, as [Sample] and [Divide] do, and slices of a
// split that is sorted by class; else its own.
func DrawnFrom(s Set) int {
	for {
		switch outer := s.(type) {
		case *subset:
			if !outer.byClass {
				return outer.Len()
			}
			s = outer.Set
		case *relabelled:
			s = outer.Set
		default:
			return s.Len()
		}
	}
}

// innermost is the set that subsets and relabelled sets are of.
func innermost(s Set) Set {
	for {
		switch outer := s.(type) {
		case *subset:
			s = outer.Set
		case *relabelled:
			s = outer.Set
		default:
			return s
		}
	}
}

// Sample returns n of a set's examples, evenly spaced in order of class, under a
// name of its own; all of them if there are no more.
func Sample(s Set, name string, n int) Set {
	return byClass(s, name, stratify.Sample(Labels(s), n))
}

// relabelled is a set whose labels have been mapped to a model's outputs.
type relabelled struct {
	Set
	classes []string
	perm    []int
}

// Relabel returns s with label l replaced by perm[l], as found by
// [MatchClasses], and with the given class names.
func Relabel(s Set, perm []int, classes []string) Set {
	return &relabelled{Set: s, classes: classes, perm: perm}
}

func (s *relabelled) Label(i int) int    { return s.perm[s.Set.Label(i)] }
func (s *relabelled) Classes() []string  { return s.classes }
func (s *relabelled) where(i int) string { return Where(s.Set, i) }

// Divide chooses what a diagnosis uses when the user names no splits. A source
// with a hold-out split gives its validation and hold-out splits; otherwise the
// test split, or else the validation split, or else the only one there is, is
// divided into two halves in which the classes have the same shares.
func Divide(src Source) (validation, holdout Set, err error) {
	switch splits := DividedSplits(src); len(splits) {
	case 2:
		if validation, err = src.Split(splits[0]); err != nil {
			return nil, nil, err
		}
		if holdout, err = src.Split(splits[1]); err != nil {
			return nil, nil, err
		}
		return validation, holdout, nil
	case 1:
		s, err := src.Split(splits[0])
		if err != nil {
			return nil, nil, err
		}
		halves := stratify.Folds(Labels(s), 2)
		return byClass(s, splits[0]+" (first half)", halves[0]), byClass(s, splits[0]+" (second half)", halves[1]), nil
	}
	return nil, nil, &Error{
		Path: src.Name(),
		Msg:  "no split to diagnose on: found " + strings.Join(src.Splits(), ", "),
		Hint: "name the parts: --val 'train[:1000]' --holdout 'train[1000:3000]'; images that the model was trained on make any layer look healthy",
	}
}

// DividedSplits returns the splits that [Divide] takes: validation and hold-out,
// or the one that is divided into halves, or none.
func DividedSplits(src Source) []string {
	splits := src.Splits()
	if slices.Contains(splits, Holdout) && slices.Contains(splits, Validation) {
		return []string{Validation, Holdout}
	}
	for _, name := range []string{Test, Validation, All} {
		if slices.Contains(splits, name) {
			return []string{name}
		}
	}
	return nil
}
