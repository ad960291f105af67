package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
)

// TestWorstSet: the layers of the worst set are marked whatever the sign of their
// figures, and the text says what the mark means.
func TestWorstSet(t *testing.T) {
	for name, c := range map[string]struct {
		worst diag.Worst
		want  string
		marks int // in the table
	}{
		"one":             {diag.Worst{ByTransfer: "head", Set: []string{"head"}}, "◀ worst", 0},
		"several":         {diag.Worst{ByTransfer: "head", Set: []string{"head", "embed"}}, "◀ which of these is the worst cannot be said (paired differences, 95 %): head, embed", 2},
		"none above 0":    {diag.Worst{Set: []string{"embed"}}, "◀ the largest ΔL̂; none is above 0", 1},
		"many, all noise": {diag.Worst{Set: []string{"embed", "neck"}}, "◀ no ΔL̂ is above 0; which of these is the largest cannot be said (paired differences, 95 %): embed, neck", 2},
	} {
		d := diagnosis()
		d.Worst = c.worst
		var text bytes.Buffer
		if err := Write(&text, checkOf(d), "text", Style{Width: 200}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), c.want) {
			t.Errorf("%s: %q is not in\n%s", name, c.want, text.String())
		}
		marks := 0
		for line := range strings.Lines(text.String()) {
			if strings.HasSuffix(line, " ◀\n") {
				marks++
			}
		}
		if marks != c.marks {
			t.Errorf("%s: %d layers are marked, want %d:\n%s", name, marks, c.marks, text.String())
		}
	}
}
