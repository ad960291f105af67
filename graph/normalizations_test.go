package graph

import (
	"regexp"
	"slices"
	"testing"
)

// TestNormalizations: the scales and shifts of all normalisations, which the
// fixtures' names tell, too, and no other weight.
func TestNormalizations(t *testing.T) {
	isNorm := regexp.MustCompile(`(^|[._])(norm\d?|ln(_\d)?|layernorm(_before|_after)?)\.(weight|bias)$`)
	for _, name := range fixtureModels {
		n := openFixture(t, name, Options{})
		var want []string
		for _, l := range n.Layers(ByTensor) {
			if isNorm.MatchString(l.Name) {
				want = append(want, l.Name)
			}
		}
		if got := layerNames(n.Normalizations()); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
