package architecture

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unlinked = regexp.MustCompile(`[^\p{L}\p{N} _-]`) // what an anchor leaves out of its heading
)

// anchors are what links to a Markdown text can end in, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(unlinked.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return all
}

// TestLinks: every link between the documents leads to a file, and to a heading of it
// where it names one.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	documents = append(documents, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md"), filepath.Join(root, "CHANGELOG.md"))
	found := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			file, anchor, _ := strings.Cut(m[1], "#")
			to := document
			if file != "" {
				to = filepath.Join(filepath.Dir(document), filepath.FromSlash(path.Clean(file)))
			}
			switch target, err := os.ReadFile(to); {
			case anchor == "":
				if _, err := os.Stat(to); err != nil {
					t.Errorf("%s: %v", document, err)
				}
			case err != nil:
				t.Errorf("%s: %v", document, err)
			case !anchors(string(target))[anchor]:
				t.Errorf("%s: %s has no heading for #%s", document, to, anchor)
			}
		}
	}
	if found == 0 {
		t.Error("no link was found")
	}
}

func TestAnchors(t *testing.T) {
	got := anchors("# The method\ntext\n### ΔL̂: \"what\", `why` & how?\n")
	for _, want := range []string{"the-method", "δl-what-why--how"} {
		if !got[want] {
			t.Errorf("no anchor %s in %v", want, got)
		}
	}
}
