package driver

import (
	"bytes"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What compiles with the tag gpu must compile without, and the other way round.
func TestStubDeclaresTheSame(t *testing.T) {
	with, without := exported(t, true), exported(t, false)
	if len(with) == 0 {
		t.Skip("not in the package's folder")
	}
	for _, d := range slices.Sorted(maps.Keys(with)) {
		if !without[d] {
			t.Errorf("with the tag only: %s", d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(without)) {
		if !with[d] {
			t.Errorf("without the tag only: %s", d)
		}
	}
}

// exported returns the functions, methods and types that the files of a build have for others.
func exported(t *testing.T, gpu bool) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, name := range files {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") || !inBuild(t, file, gpu) {
			continue
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() {
					d.Body, d.Doc = nil, nil
					var text bytes.Buffer
					if err := printer.Fprint(&text, fset, d); err != nil {
						t.Fatal(err)
					}
					found[text.String()] = true
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() {
						found["type "+s.Name.Name] = true
					}
				}
			}
		}
	}
	return found
}

func inBuild(t *testing.T, file *ast.File, gpu bool) bool {
	t.Helper()
	for _, group := range file.Comments {
		for _, c := range group.List {
			if constraint.IsGoBuild(c.Text) {
				expression, err := constraint.Parse(c.Text)
				if err != nil {
					t.Fatal(err)
				}
				return expression.Eval(func(tag string) bool { return gpu })
			}
		}
	}
	return true
}
