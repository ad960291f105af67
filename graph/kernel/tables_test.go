package kernel

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// The table of each variant has the same entries: a kernel that one lacks would be called all the
// same, and the machine that runs the tests compiles the tables of its own architecture only.
func TestTablesHaveTheSameKernels(t *testing.T) {
	tables := map[string][]string{}
	for _, file := range []string{"vector_amd64.go", "vector_arm64.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			v := g.Specs[0].(*ast.ValueSpec)
			var names []string
			ast.Inspect(v, func(n ast.Node) bool {
				if kv, ok := n.(*ast.KeyValueExpr); ok {
					names = append(names, kv.Key.(*ast.Ident).Name)
				}
				return true
			})
			slices.Sort(names)
			tables[v.Names[0].Name] = names
		}
	}
	for name, got := range tables {
		if want := tables["vectorsAVX512"]; len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s has %v, vectorsAVX512 %v", name, got, want)
		}
	}
	if len(tables) != 3 {
		t.Errorf("%d tables, want those of AVX2, AVX-512 and NEON", len(tables))
	}
}
