package architecture

import (
	"go/ast"
	"strings"
	"testing"
)

// TestGeneratorsAreTested: what go generate writes is compared with what is
// there, by a test called TestUpToDate beside the generator or by the very test
// that writes it.
func TestGeneratorsAreTested(t *testing.T) {
	tests := map[string]bool{} // folder and function
	for _, s := range sources(t) {
		for _, declaration := range s.syntax.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && s.test {
				tests[s.folder()+" "+f.Name.Name] = true
			}
		}
	}
	found := 0
	for _, s := range sources(t) {
		for _, group := range s.syntax.Comments {
			for _, c := range group.List {
				command, ok := strings.CutPrefix(c.Text, "//go:generate ")
				if !ok {
					continue
				}
				found++
				test := "a command that this test does not know"
				switch words := strings.Fields(command); {
				case strings.HasPrefix(command, "go run ./"):
					test = s.folder() + strings.TrimPrefix(words[2], ".") + " TestUpToDate"
				case strings.HasPrefix(command, "go test -run ") && strings.HasSuffix(command, " . -update"):
					test = s.folder() + " " + words[3]
				}
				if !tests[test] {
					t.Errorf("%s: no test that %q changes nothing: %s", s.at(c.Pos()), command, test)
				}
			}
		}
	}
	if found == 0 {
		t.Error("no go:generate line was found")
	}
}
