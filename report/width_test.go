package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestWidthOfTexts: no text of any command has a line that is wider than the terminal,
// unless a single word is.
func TestWidthOfTexts(t *testing.T) {
	results := pipelineResults(t)
	for name, c := range gated() {
		results["gated: "+name] = c
	}
	results["several"], results["search"], results["search plan"] = several(), searched(t, true), searchPlan(t, true)
	results["inspect"], results["refused"], results["probe"], results["data"] = inspection(t, "inspect"), inspection(t, "refused"), probe(t), dataSets()
	for name, r := range results {
		for _, width := range []int{fewestColumns, 80, lineColumns, mostColumns} {
			var text bytes.Buffer
			if err := Write(&text, r, "text", Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(text.String()) {
				line = strings.TrimSuffix(line, "\n")
				const label = 16 // of what such a word stands behind
				long := slices.ContainsFunc(strings.Fields(line), func(word string) bool { return columns(word) > width-label })
				command := strings.Contains(line, "`") // which is not broken, so that it can be copied
				if n := columns(line); n > width && !long && !command {
					t.Errorf("%s: %d columns, want at most %d: %s", name, n, width, line)
				}
			}
		}
	}
}
