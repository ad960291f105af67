package architecture

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	document = "docs/architecture.md"
	program  = "cmd/modeldoctor"
)

// drawing is the block of the document that starts with "```imports": floors
// from the top of the house down, each with a line "# what it is", and under it
// a line "package: what it imports" for each package.
type drawing map[string]drawn

type drawn struct {
	floor   int // counted from the top
	line    int // of the document
	imports []string
}

func parseDrawing(document string) (drawing, error) {
	_, block, ok := strings.Cut(document, "\n```imports\n")
	if !ok {
		return nil, fmt.Errorf("no block ```imports")
	}
	before := len(document) - len(block)
	block, _, ok = strings.Cut(block, "\n```\n")
	if !ok {
		return nil, fmt.Errorf("the block ```imports has no end")
	}
	d, floor := drawing{}, 0
	for i, text := range strings.Split(block, "\n") {
		line := 1 + strings.Count(document[:before], "\n") + i
		name, imports, isPackage := strings.Cut(text, ":")
		switch {
		case text == "":
		case strings.HasPrefix(text, "# "):
			floor++
		case !isPackage || floor == 0:
			return nil, fmt.Errorf("line %d: %q is neither a floor nor a package on one", line, text)
		case d[name].line > 0:
			return nil, fmt.Errorf("line %d: %s stands on line %d, too", line, name, d[name].line)
		default:
			d[name] = drawn{floor, line, strings.Fields(imports)}
		}
	}
	return d, nil
}

// imported is what each package imports of the module, and of the standard
// library the package testing, with the place where it does so first. Imports of
// test files do not count.
type imported map[string]map[string]string

// compare says where the code and the drawing differ, and which imports do not
// run down a floor.
func compare(d drawing, code imported) (differences []string) {
	say := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(code)) {
		isNow := line(name, code[name])
		p, ok := d[name]
		if !ok {
			say("%s: package %s is not drawn. Its line: %s", document, name, isNow)
			continue
		}
		for _, to := range slices.Sorted(maps.Keys(code[name])) {
			at := code[name][to]
			switch q, ok := d[to]; {
			case to == "testing":
				if p.floor >= d[program].floor {
					say("%s: %s is part of the program and imports testing: help for tests stands above %s", at, name, program)
				}
			case !slices.Contains(p.imports, to):
				say("%s: %s imports %s, which %s:%d does not draw. The line as it is now: %s", at, name, to, document, p.line, isNow)
			case ok && q.floor <= p.floor:
				say("%s: %s imports %s, which does not stand on a lower floor of %s", at, name, to, document)
			}
		}
		for _, to := range p.imports {
			if code[name][to] == "" {
				say("%s:%d: %s does not import %s. The line as it is now: %s", document, p.line, name, to, isNow)
			}
		}
		if !slices.IsSorted(p.imports) {
			say("%s:%d: not in alphabetical order. The line: %s", document, p.line, isNow)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if code[name] == nil {
			say("%s:%d: there is no package %s", document, d[name].line, name)
		}
	}
	return differences
}

// line is what the drawing has to say of a package.
func line(name string, imports map[string]string) string {
	text := name + ":"
	for _, to := range slices.Sorted(maps.Keys(imports)) {
		if to != "testing" {
			text += " " + to
		}
	}
	return text
}

// TestImports compares the drawing with the code.
func TestImports(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseDrawing(string(text))
	if err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	for _, difference := range compare(d, importsOf(sources(t), modulePath(t))) {
		t.Error(difference)
	}
}

func importsOf(all []*source, module string) imported {
	code := imported{}
	for _, s := range all {
		if s.test {
			continue
		}
		if code[s.folder()] == nil {
			code[s.folder()] = map[string]string{}
		}
		for _, spec := range s.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				panic(err) // the parser has accepted it
			}
			to, ours := strings.CutPrefix(path, module+"/")
			if (ours || path == "testing") && code[s.folder()][to] == "" {
				code[s.folder()][to] = s.at(spec.Pos())
			}
		}
	}
	return code
}

func modulePath(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("go.mod names no module")
	}
	return string(m[1])
}

// TestCompare: every way in which code can leave the drawing is found and named.
func TestCompare(t *testing.T) {
	d, err := parseDrawing("# Title\n```imports\n# help for tests\nfixture: b\n\n# program\ncmd/modeldoctor: a b\n\n# top\na: b\n\n# ground\nb:\nc:\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	as := func(change func(imported)) imported {
		code := imported{
			"fixture":         {"b": "fixture/f.go:3", "testing": "fixture/f.go:4"},
			"cmd/modeldoctor": {"a": "cmd/modeldoctor/m.go:3", "b": "cmd/modeldoctor/m.go:4"},
			"a":               {"b": "a/a.go:3"},
			"b":               {},
			"c":               {},
		}
		change(code)
		return code
	}
	for name, c := range map[string]struct {
		change func(imported)
		want   []string
	}{
		"as drawn":              {func(imported) {}, nil},
		"an arrow too many":     {func(code imported) { code["a"]["c"] = "a/x.go:7" }, []string{"a/x.go:7: a imports c, which docs/architecture.md:10 does not draw. The line as it is now: a: b c"}},
		"an arrow too few":      {func(code imported) { delete(code["a"], "b") }, []string{"docs/architecture.md:10: a does not import b. The line as it is now: a:"}},
		"a package too many":    {func(code imported) { code["e"] = map[string]string{"b": "e/e.go:3"} }, []string{"docs/architecture.md: package e is not drawn. Its line: e: b"}},
		"a package too few":     {func(code imported) { delete(code, "c") }, []string{"docs/architecture.md:14: there is no package c"}},
		"testing in a program":  {func(code imported) { code["b"]["testing"] = "b/b.go:5" }, []string{"b/b.go:5: b is part of the program and imports testing: help for tests stands above cmd/modeldoctor"}},
		"a helper in a program": {func(code imported) { code["a"]["fixture"] = "a/a.go:4" }, []string{"a/a.go:4: a imports fixture, which docs/architecture.md:10 does not draw. The line as it is now: a: b fixture"}},
	} {
		if got := compare(d, as(c.change)); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
	// What is drawn and imported, but upwards or along a floor.
	for _, to := range []string{"fixture", "a", "c"} {
		code := as(func(code imported) { code["b"][to] = "b/b.go:9" })
		up := maps.Clone(d)
		up["b"] = drawn{d["b"].floor, d["b"].line, []string{to}}
		want := fmt.Sprintf("b/b.go:9: b imports %s, which does not stand on a lower floor of docs/architecture.md", to)
		if got := compare(up, code); !slices.Equal(got, []string{want}) {
			t.Errorf("b imports %s: %q", to, got)
		}
	}
}

func TestParseDrawing(t *testing.T) {
	for name, text := range map[string]string{
		"no block":         "# Title\n",
		"no end":           "\n```imports\n# floor\na:\n",
		"no floor":         "\n```imports\na:\n```\n",
		"no package":       "\n```imports\n# floor\na\n```\n",
		"a package twice":  "\n```imports\n# floor\na:\na:\n```\n",
		"another language": "\n```go\n# floor\na:\n```\n",
	} {
		if d, err := parseDrawing(text); err == nil {
			t.Errorf("%s: read as %v", name, d)
		}
	}
}
