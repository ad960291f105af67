package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const troubles = "docs/troubleshooting.md"

var (
	// quotedMessage is a message as the document quotes it; … stands for what varies.
	quotedMessage = regexp.MustCompile("\\*\\*`([^`]+)`\\*\\*")
	verb          = regexp.MustCompile(`%[-+# 0]*(\[\d+\])?[\d.*]*(\[\d+\])?[a-zA-Z]`)
)

// variable takes the place of what is put into a message.
const variable = "…"

// wording is what an expression of constants and sums says, with … for what varies.
func wording(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			s, err := strconv.Unquote(e.Value)
			if err != nil {
				panic(err) // the parser has accepted it
			}
			return strings.ReplaceAll(verb.ReplaceAllString(strings.ReplaceAll(s, "%%", "\x00"), variable), "\x00", "%")
		}
	case *ast.BinaryExpr:
		if e.Op == token.ADD {
			return wording(e.X) + wording(e.Y)
		}
	case *ast.ParenExpr:
		return wording(e.X)
	}
	return variable
}

// wordings are the strings of the program's code, those of sums whole.
func wordings(all []*source) (list []string) {
	for _, s := range all {
		if s.test {
			continue
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			if t := wording(e); t != variable {
				list = append(list, t)
			}
			return true
		})
	}
	return list
}

// unknownMessages are those that a document quotes and no string of the code holds.
func unknownMessages(document string, known []string) (unknown []string, quoted int) {
	whole := strings.Join(known, "\n")
	for _, m := range quotedMessage.FindAllStringSubmatch(document, -1) {
		quoted++
		if !strings.Contains(whole, m[1]) {
			unknown = append(unknown, m[1])
		}
	}
	return unknown, quoted
}

// TestMessages: the messages that people look up are those that the program gives.
func TestMessages(t *testing.T) {
	document, err := os.ReadFile(filepath.Join(root, troubles))
	if err != nil {
		t.Fatal(err)
	}
	unknown, quoted := unknownMessages(string(document), wordings(sources(t)))
	for _, message := range unknown {
		t.Errorf("%s: no code says %q", troubles, message)
	}
	if quoted == 0 {
		t.Errorf("%s quotes no message", troubles)
	}
	for _, m := range quotedMessage.FindAllStringSubmatch(string(document), -1) {
		if len(strings.ReplaceAll(m[1], variable, "")) < 12 {
			t.Errorf("%s: %q is too short to be looked up", troubles, m[1])
		}
	}
}

// TestWordings: messages are found across verbs and sums, and only those that are
// there.
func TestWordings(t *testing.T) {
	syntax, err := parser.ParseFile(token.NewFileSet(), "p.go", `package p
var a = f("--%s is given %[1]q without " + name + ": 1 %%", ("x" + "y"), 3)
`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	code := wordings([]*source{{syntax: syntax}})
	for message, known := range map[string]bool{
		"--… is given … without …: 1 %": true, "given … without": true, "xy": true,
		"--holdout is given": false, "3": false,
	} {
		unknown, quoted := unknownMessages("**`"+message+"`** and `more`", code)
		if quoted != 1 || (len(unknown) == 0) != known {
			t.Errorf("%q: %d quoted, unknown %q", message, quoted, unknown)
		}
	}
}
