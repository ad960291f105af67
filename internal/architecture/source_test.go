package architecture

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// root is the repository, seen from here.
const root = "../.."

// source is one Go file of the module, whatever system it is for.
type source struct {
	path   string // from the root, with slashes
	lines  int
	test   bool
	syntax *ast.File
	fset   *token.FileSet
}

// folder is the file's package as the document names it.
func (s *source) folder() string {
	return strings.TrimSuffix(s.path[:strings.LastIndex(s.path, "/")+1], "/")
}

// at is the file and line of a position.
func (s *source) at(pos token.Pos) string {
	return s.path + ":" + strconv.Itoa(s.fset.Position(pos).Line)
}

// sources parses every Go file of the module.
func sources(t *testing.T) []*source {
	t.Helper()
	all, err := parseAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var parseAll = sync.OnceValues(func() (all []*source, err error) {
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		syntax, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		path, err = filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all = append(all, &source{filepath.ToSlash(path), bytes.Count(text, []byte("\n")), strings.HasSuffix(name, "_test.go"), syntax, fset})
		return nil
	})
	return all, err
})
