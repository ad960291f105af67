package report

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// readGolden reads the JSON document of a golden file into a result.
func readGolden(t *testing.T, name string, into Result) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

// inspection is that of a small model with a shared weight, or of one that cannot
// be run. The command line's tests compare what they make of these models with
// the same files.
func inspection(t *testing.T, name string) *Inspect {
	in := &Inspect{}
	readGolden(t, name, in)
	return in
}

// probe is what could have been computed of the small model.
func probe(t *testing.T) *Probe {
	p := &Probe{Labels: []int{1, 0}}
	readGolden(t, "probe", p)
	return p
}
