package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// documented compares what the last command has printed with the block of a document
// that begins with the same line.
func documented(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: documented FILE")
	}
	document := ts.ReadFile(filepath.Join(ts.Getenv("FIXTURES"), "..", args[0]))
	if difference := sessionDifference(document, ts.ReadFile("stdout")); difference != "" {
		ts.Fatalf("%s shows another session: %s", args[0], difference)
	}
}

var (
	// measured on a machine, at a time
	volatile = regexp.MustCompile(`(\d+ min )?\d+(\.\d+)?(e-\d+)? (s|MB)\b|\d+ % of it scans|( of \d+ +)\d+(\.\d+)?`)
	number   = regexp.MustCompile(`\d[\d,]*(\.\d+)?`)
	bar      = regexp.MustCompile(`[├─┤┼┆● ]+`)
	// where a line goes on, which depends on how long a time is
	wrapped = regexp.MustCompile(`\n {6,}`)
)

// sessionDifference says in which line a session differs from the block of a document
// that begins as it does, and is empty if it does not: outside of times, memory and
// bars the words are the same, and numbers to within 2 % or one unit of their last
// digit, as processors round differently.
func sessionDifference(document, session string) string {
	lines := unwrapped(session)
	shown := strings.Split(document, "\n")
	at := slices.IndexFunc(shown, func(line string) bool {
		return strings.HasPrefix(line, "    ") && strings.HasPrefix(lines[0], line[4:])
	})
	if at < 0 {
		return "no block begins with " + lines[0]
	}
	var block strings.Builder
	for _, line := range shown[at:] {
		block.WriteString(strings.TrimPrefix(line, "    ") + "\n")
	}
	there := unwrapped(block.String())
	for i, line := range lines {
		if i == len(there) || !alike(there[i], line) {
			return strconv.Quote(there[min(i, len(there)-1)]) + " where the program prints " + strconv.Quote(line)
		}
	}
	return ""
}

// unwrapped are the lines of a text, each with those that it goes on in.
func unwrapped(text string) []string {
	return strings.Split(wrapped.ReplaceAllString(strings.TrimSpace(text), "   "), "\n")
}

func alike(a, b string) bool {
	a, b = volatile.ReplaceAllString(a, "$5~"), volatile.ReplaceAllString(b, "$5~")
	a, b = bar.ReplaceAllString(a, " "), bar.ReplaceAllString(b, " ")
	if number.ReplaceAllString(a, "#") != number.ReplaceAllString(b, "#") {
		return false
	}
	there, here := number.FindAllString(a, -1), number.FindAllString(b, -1)
	for i := range here {
		x, err1 := strconv.ParseFloat(strings.ReplaceAll(there[i], ",", ""), 64)
		y, err2 := strconv.ParseFloat(strings.ReplaceAll(here[i], ",", ""), 64)
		_, decimals, _ := strings.Cut(here[i], ".")
		if err1 != nil || err2 != nil || math.Abs(x-y) > max(0.02*math.Abs(y), 1.01*math.Pow(10, -float64(len(decimals)))) {
			return false
		}
	}
	return true
}

func TestSessionDifference(t *testing.T) {
	document := "Text\n\n    FAIL  MD002\n\n    head  0.053 ± 0.030  ├─●──┤  9.9 k\n    1  3.314  0 of 15   14.5\n    done   5.6 s\n\nMore text"
	for session, same := range map[string]bool{
		"FAIL  MD002\n\nhead  0.053 ± 0.030  ├─●──┤  9.9 k\n1  3.314  0 of 15   14.5\ndone   5.6 s\n":     true,
		"FAIL  MD002\n\nhead  0.054 ± 0.030  ├──●─┤  9.9 k\n1  3.315  0 of 15   104.5\ndone   77 s\n":     true,
		"FAIL  MD002\n\nhead  0.056 ± 0.030  ├─●──┤  9.9 k\n":                                             false,
		"FAIL  MD002\n\ntail  0.053 ± 0.030  ├─●──┤  9.9 k\n":                                             false,
		"FAIL  MD002\n\nhead  0.053 ± 0.030  ├─●──┤  9.9 k\n1  3.314  2 of 15   14.5\n":                   false,
		"FAIL  MD002\n\nhead  0.053 ± 0.030  ├─●──┤  9.9 k\n1  3.314  0 of 15   14.5\ndone   5.6 s\nhint": false,
		"PASS\n": false,
	} {
		if difference := sessionDifference(document, session); (difference == "") != same {
			t.Errorf("%q: %q", session, difference)
		}
	}
}

// TestQuickStartIsRun: quickstart.txtar runs every command of the README's quick
// start.
func TestQuickStartIsRun(t *testing.T) {
	text := documents(t)["README.md"]
	_, text, found := strings.Cut(text, "\n## Quick start\n")
	text, _, ends := strings.Cut(text, "\n## ")
	script, err := os.ReadFile(filepath.Join("testdata", "quickstart.txtar"))
	if err != nil || !found || !ends {
		t.Fatalf("no quick start (%t, %t, %v)", found, ends, err)
	}
	run := 0
	for _, m := range mentions("README.md", text) {
		if !m.whole {
			continue
		}
		run++
		_, args, _ := strings.Cut(m.line, "modeldoctor ")
		if ok, err := regexp.Match(`(?m)^exits \d+ `+regexp.QuoteMeta(args)+`$`, script); !ok || err != nil {
			t.Errorf("%s: quickstart.txtar does not run %s", m.at, args)
		}
	}
	if run == 0 {
		t.Error("the quick start has no commands")
	}
}
