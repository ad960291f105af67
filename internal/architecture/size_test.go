package architecture

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The bounds that docs/architecture.md states.
const (
	mostLines   = 450
	mostMethods = 12 // of a type outside the folder graph
)

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > mostLines && !ast.IsGenerated(s.syntax) {
			t.Errorf("%s has %d lines, more than %d: divide it by what it does", s.path, s.lines, mostLines)
		}
	}
}

func TestTypesAreSmall(t *testing.T) {
	methods := map[string]int{} // by folder.Type
	for _, s := range sources(t) {
		for _, declaration := range s.syntax.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv != nil {
				methods[s.folder()+"."+receiver(f.Recv.List[0].Type)]++
			}
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if i, ok := spec.Type.(*ast.InterfaceType); ok {
					methods[s.folder()+"."+spec.Name.Name] += i.Methods.NumFields()
				}
			}
			return true
		})
	}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		inGraph := strings.HasPrefix(name, "graph.") || strings.HasPrefix(name, "graph/")
		if count := methods[name]; count > mostMethods && !inGraph {
			t.Errorf("%s has %d methods, more than %d: it is more than one thing", name, count, mostMethods)
		}
	}
}

// receiver is the name of a method's type: T of T, *T and T[P].
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
