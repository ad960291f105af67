package dataset

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// OutputNames are the names of a model's outputs in their order. An output may
// have several, such as a WordNet id and words; the first is the one to show.
type OutputNames [][]string

// Single are outputs with one name each.
func Single(names []string) OutputNames {
	outputs := make(OutputNames, len(names))
	for i, name := range names {
		outputs[i] = []string{name}
	}
	return outputs
}

// Shown are the names to show, one of each output.
func (o OutputNames) Shown() []string {
	shown := make([]string, len(o))
	for i, names := range o {
		shown[i] = names[0]
	}
	return shown
}

// A form of a name is what of it counts in a comparison.
type form func(name string) string

// forms are tried in turn. File systems decompose accents, so that the Unicode
// form is the first thing not to count; only then do case, spaces, underscores
// and hyphens.
var forms = []form{
	func(name string) string { return name },
	norm.NFC.String,
	fold,
}

// fold returns what of a class name counts in the end: letters in one case,
// without spaces, underscores and hyphens.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '_' || r == '-' {
			return -1
		}
		return r
	}, cases.Fold().String(norm.NFKC.String(name)))
}

// MatchClasses finds for each class of the data the model's output of the same
// name: perm[label] is an index into model. An exact match decides. What has none
// is compared without regard to Unicode form, then also without case, spaces,
// underscores and hyphens, each only where one class of the data and one output
// of the model have that name. Last, the parts of a name between commas ("tench,
// Tinca tinca") are names, too. The data may lack classes of the model. Names that
// match no output, or several, are an error, which lists up to five of them.
func MatchClasses(model OutputNames, data []string) (perm []int, err error) {
	m := matching{perm: make([]int, len(data)), several: make([]bool, len(data))}
	for label := range m.perm {
		m.perm[label] = -1
	}
	for _, names := range []OutputNames{model, model.parts()} {
		for _, form := range forms {
			m.match(names, data, form)
		}
	}
	if inPlace(model, data) {
		// ImageNet has two classes called "crane": where all names are the
		// model's in its order, the place decides.
		for label := range m.perm {
			m.perm[label] = label
		}
	}
	if err := m.check(model, data); err != nil {
		return nil, err
	}
	return m.perm, nil
}

// parts are the names between commas, the whole ones included.
func (o OutputNames) parts() OutputNames {
	outputs := make(OutputNames, len(o))
	for i, names := range o {
		outputs[i] = append(outputs[i], names...)
		for _, name := range names {
			for part := range strings.SplitSeq(name, ",") {
				if part = strings.TrimSpace(part); part != "" {
					outputs[i] = append(outputs[i], part)
				}
			}
		}
	}
	return outputs
}

// inPlace reports whether the data's names are those of the outputs, in order.
func inPlace(model OutputNames, data []string) bool {
	if len(model) != len(data) {
		return false
	}
	for i, names := range model {
		if names[0] != data[i] {
			return false
		}
	}
	return true
}

// matching is which outputs the classes of the data have been found to be.
type matching struct {
	perm    []int  // by label; -1: not found yet
	several []bool // whether more than one was found
}

// match gives the classes that have no output yet those of the same name in one
// form.
func (m *matching) match(model OutputNames, data []string, form form) {
	outputs := map[string][]int{}
	for i, names := range model {
		seen := map[string]bool{}
		for _, name := range names {
			if key := form(name); !seen[key] {
				seen[key] = true
				outputs[key] = append(outputs[key], i)
			}
		}
	}
	classes := map[string]int{}
	for _, name := range data {
		classes[form(name)]++
	}
	for label, name := range data {
		if m.perm[label] >= 0 || m.several[label] {
			continue
		}
		key := form(name)
		switch found := outputs[key]; {
		case len(found) == 1 && classes[key] == 1:
			m.perm[label] = found[0]
		case len(found) > 0:
			m.several[label] = true
		}
	}
}

// check returns what stands in the way of a use of the matching.
func (m *matching) check(model OutputNames, data []string) error {
	var unmatched, ambiguous []string
	taken := map[int]string{}
	for label, name := range data {
		output := m.perm[label]
		switch other, twice := taken[output]; {
		case output < 0 && m.several[label]:
			ambiguous = append(ambiguous, strconv.Quote(name))
		case output < 0:
			unmatched = append(unmatched, strconv.Quote(name))
		case twice:
			return &Error{
				Msg:  fmt.Sprintf("classes %q and %q of the data are the same output of the model, %q", other, name, model[output][0]),
				Hint: "rename or merge the class folders",
			}
		default:
			taken[output] = name
		}
	}
	for _, problem := range []struct {
		names []string
		what  string
	}{{unmatched, "match none"}, {ambiguous, "match several, or one that another class matches too,"}} {
		if n := len(problem.names); n > 0 {
			list := strings.Join(problem.names[:min(n, 5)], ", ")
			if n > 5 {
				list += ", …"
			}
			return &Error{
				Msg:  fmt.Sprintf("%d of the data's %d class names %s of the model's %d: %s", n, len(data), problem.what, len(model), list),
				Hint: "name the model's outputs as the data do, in order, one per line: --labels FILE",
			}
		}
	}
	return nil
}

// Numerals returns the numbers that class names are, and false unless all are
// whole numbers, no two the same.
func Numerals(names []string) ([]int, bool) {
	numbers := make([]int, len(names))
	seen := map[int]bool{}
	for i, name := range names {
		if strings.Trim(name, "0123456789") != "" {
			return nil, false
		}
		n, err := strconv.Atoi(name)
		if err != nil || seen[n] {
			return nil, false
		}
		numbers[i], seen[n] = n, true
	}
	return numbers, len(names) > 0
}
