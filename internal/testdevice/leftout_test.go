package testdevice

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestLeftOut: what the list names is a test that runs on every backend, once for each.
func TestLeftOut(t *testing.T) {
	seen := map[[2]string]bool{}
	for _, e := range leftOut {
		if key := [2]string{e.test, e.backend}; seen[key] {
			t.Errorf("%s is listed twice for %s", e.test, e.backend)
		} else {
			seen[key] = true
		}
		if e.backend != fake && e.backend != card || e.reason == "" {
			t.Errorf("%s: backend %q, reason %q", e.test, e.backend, e.reason)
		}
		folder, function, _ := strings.Cut(e.test, ".")
		body := functions(t, folder)[function]
		if body == nil {
			t.Errorf("there is no test %s: take it off the list", e.test)
		} else if !mentions(body, "testdevice", "Each") {
			t.Errorf("%s does not call Each: take it off the list", e.test)
		}
	}
}

// TestRunnersAreOnABackend: a test of packages diag and pol that has a network run says on
// which backend.
func TestRunnersAreOnABackend(t *testing.T) {
	found := 0
	for _, folder := range []string{"diag", "pol"} {
		for name, body := range functions(t, folder) {
			if strings.HasPrefix(name, "Benchmark") || strings.HasPrefix(name, "Example") {
				continue
			}
			ast.Inspect(body, func(n ast.Node) bool {
				options, ok := n.(*ast.CompositeLit)
				if !ok || !mentions(options.Type, "graph", "RunnerOptions") {
					return true
				}
				found++
				if !mentions(options, "on", "Device") {
					t.Errorf("%s.%s runs a network on no backend", folder, name)
				}
				return true
			})
		}
	}
	if found == 0 {
		t.Error("no runner was found")
	}
}

// functions are those of a folder's tests.
func functions(t *testing.T, folder string) map[string]*ast.BlockStmt {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", folder, "*_test.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no tests in %s: %v", folder, err)
	}
	found := map[string]*ast.BlockStmt{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				found[f.Name.Name] = f.Body
			}
		}
	}
	return found
}

// mentions reports whether x.name is in a piece of code.
func mentions(code ast.Node, x, name string) (found bool) {
	if code == nil {
		return false
	}
	ast.Inspect(code, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			of, ok := s.X.(*ast.Ident)
			found = found || ok && of.Name == x
		}
		return true
	})
	return found
}

// TestTestName takes names as the runtime has them.
func TestTestName(t *testing.T) {
	for function, want := range map[string]string{
		module + "diag_test.TestGolden":           "diag.TestGolden",
		module + "graph/op_test.TestLinear.func1": "graph/op.TestLinear",
		module + "graph.TestReadRows":             "graph.TestReadRows",
	} {
		if got, ok := testName(function); !ok || got != want {
			t.Errorf("%s is %s, %v, want %s", function, got, ok, want)
		}
	}
	if name, ok := testName(module + "nn_test.devices"); ok {
		t.Errorf("%s is a test", name)
	}
	if got := callerOfEach(); got != "internal/testdevice.TestTestName" {
		t.Errorf("called by %s", got)
	}
}
