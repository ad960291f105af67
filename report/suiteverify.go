package report

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/diag"
)

// suites has a case for the files as such, one for each layer whose weights
// differ, and one for each kind of thing that can.
func (v *Verify) suites() []suite {
	s := suite{
		command: "verify", path: v.B.Path, sha256: v.B.SHA256, verdict: v.Verdict,
		summary: v.summary(), exitCode: v.ExitCode, provenance: v.Provenance,
	}
	add := func(name, layer string, differs bool, message string) {
		t := testCase{name: name}
		if differs {
			t.state = caseFailed
			t.findings = []finding{{rule: ruleDifferent, level: diag.LevelWarning, layer: layer, message: message}}
		}
		s.cases = append(s.cases, t)
	}
	add("files", "", !v.Same, fmt.Sprintf("%s and %s differ %s", v.A.Path, v.B.Path, bytesDiffer(v)))
	for _, l := range v.Layers {
		message := "‖Δw‖ " + norm(l.DeltaNorm) + " over " + plural(l.Tensors, "tensor")
		if l.Relative != nil {
			message += ", " + share(*l.Relative) + " of ‖w‖"
		}
		add("layer "+l.Name, l.Name, true, message)
	}
	for _, k := range v.kinds() {
		add(k.name, "", len(k.differences) > 0, k.name+": "+k.text())
	}
	return []suite{s}
}

// kindOfDifference is what two files can differ in, and in what they do, described.
type kindOfDifference struct {
	name        string
	differences []string
}

// kinds are all that there are.
func (v *Verify) kinds() []kindOfDifference {
	return []kindOfDifference{
		{"tensors", texts(v.Tensors, TensorChange.text)},
		{"nodes", texts(v.Nodes, NodeChange.text)},
		{"metadata", texts(v.Metadata, EntryChange.text)},
		{"other fields", v.Fields},
		{"data files", differing(v.DataFiles)},
	}
}

// texts describes things that differ.
func texts[T any](things []T, text func(T) string) []string {
	list := make([]string, len(things))
	for i, thing := range things {
		list[i] = text(thing)
	}
	return list
}

// differing describes the data files that are not the same.
func differing(files []DataFileChange) []string {
	var list []string
	for _, f := range files {
		if !f.Same {
			list = append(list, f.text())
		}
	}
	return list
}

// text describes the first few differences, and says how many more there are.
func (k kindOfDifference) text() string {
	short := make([]string, len(k.differences))
	for i, text := range k.differences {
		short[i] = shortened(printable(text), maxDifference)
	}
	return listed(short)
}
