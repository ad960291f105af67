package diag

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/glossary.md")

//go:generate go test -run TestUpToDate . -update

// TestUpToDate: docs/glossary.md is what the program says of its words.
func TestUpToDate(t *testing.T) {
	path, want := filepath.Join("..", "docs", "glossary.md"), glossary()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what Terms says: run go test ./diag -run TestUpToDate -update", path)
	}
}

// glossary has a section for each term.
func glossary() string {
	var b strings.Builder
	b.WriteString(`# Glossary

This file is generated: go test ./diag -run TestUpToDate -update. ` + "`modeldoctor explain kappa`" + ` prints the same.

The words and figures of the reports, in alphabetical order. How the figures come about is told in
[method.md](method.md), what is made of them in [rules.md](rules.md).
`)
	for _, term := range Terms() {
		title := capital(term.Title) + "."
		if len(term.Others) > 0 {
			title += " Also: " + strings.Join(term.Others, ", ") + "."
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s\n\n*When it misleads.* %s\n\n*What to do next.* %s\n", term.Name, title, term.Meaning, term.Misleads, term.Remedy)
	}
	return b.String()
}

// capital begins a sentence with a title. A symbol in front stays as it is.
func capital(title string) string {
	if title[0] >= 'a' && title[0] <= 'z' {
		return strings.ToUpper(title[:1]) + title[1:]
	}
	return title
}
