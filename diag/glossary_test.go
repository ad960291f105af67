package diag

import (
	"slices"
	"strings"
	"testing"
)

// TestTermsAreExplained: every term is found by each of its names, in upper and
// lower case, and no name means two things.
func TestTermsAreExplained(t *testing.T) {
	terms := Terms()
	if !slices.IsSortedFunc(terms, func(a, b Term) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("terms are not in order of their names")
	}
	names := map[string]string{}
	for _, r := range Rules() {
		names[strings.ToLower(r.ID)] = r.ID
	}
	for _, term := range terms {
		if term.Title == "" || term.Meaning == "" || term.Misleads == "" || term.Remedy == "" {
			t.Errorf("%s is not fully explained", term.Name)
		}
		for _, name := range append([]string{term.Name}, term.Others...) {
			if other, ok := names[strings.ToLower(name)]; ok {
				t.Errorf("%q means %s and %s", name, other, term.Name)
			}
			names[strings.ToLower(name)] = term.Name
			for _, spelled := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
				if found, ok := ExplainTerm(spelled); !ok || found.Name != term.Name {
					t.Errorf("%q explains %q, want %q", spelled, found.Name, term.Name)
				}
			}
		}
	}
	for _, want := range []string{"kappa", "transfer", "agreement", "undecided", "temperature", "worst", "over-fitted", "under-trained", "recoverable loss", "in-sample ΔL", "training loss", "calibration error", string(Over), string(Under), string(Pass), string(Fail), string(Unclear)} {
		if _, ok := ExplainTerm(want); !ok {
			t.Errorf("a report says %q, which is not explained", want)
		}
	}
	if _, ok := ExplainTerm("nonsense"); ok {
		t.Error("an unknown term is explained")
	}
}
