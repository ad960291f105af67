package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// writtenIn is a result in a format.
func writtenIn(t *testing.T, r Result, format string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, r, format, Style{}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// verdictOf is what a result says of itself in JSON; a plan has no verdict.
func verdictOf(t *testing.T, r Result) (verdict Verdict, exitCode int) {
	t.Helper()
	var document struct {
		Verdict  Verdict `json:"verdict"`
		ExitCode int     `json:"exit_code"`
	}
	if err := json.Unmarshal(writtenIn(t, r, "json"), &document); err != nil {
		t.Fatal(err)
	}
	if _, plan := r.(*FixPlan); plan {
		document.Verdict = Planned
	}
	return document.Verdict, document.ExitCode
}

// junitDocument is XML of JUnit as another program reads it.
type junitDocument struct {
	junitCounts
	Suites []struct {
		junitCounts
		Name       string          `xml:"name,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []struct {
			Name    string        `xml:"name,attr"`
			Failure *junitProblem `xml:"failure"`
			Error   *junitProblem `xml:"error"`
			Skipped *junitProblem `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type junitCounts struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
}

func (c *junitCounts) add(d junitCounts) {
	c.Tests, c.Failures, c.Errors, c.Skipped = c.Tests+d.Tests, c.Failures+d.Failures, c.Errors+d.Errors, c.Skipped+d.Skipped
}

// TestJUnit: the counts are those of the children, there is nothing that XML cannot
// hold, and no verdict that is bad is green.
func TestJUnit(t *testing.T) {
	for name, result := range pipelineResults(t) {
		text := writtenIn(t, result, "junit")
		if !utf8.Valid(text) {
			t.Errorf("%s: no UTF-8", name)
		}
		for _, r := range string(text) {
			if r < ' ' && r != '\n' || r == 0xfffe {
				t.Errorf("%s: %q is written", name, r)
			}
		}
		var document junitDocument
		if err := xml.Unmarshal(text, &document); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var all junitCounts
		for _, s := range document.Suites {
			var sum junitCounts
			names := map[string]bool{}
			for _, c := range s.Cases {
				one := junitCounts{Tests: 1}
				if c.Failure != nil {
					one.Failures++
				}
				if c.Error != nil {
					one.Errors++
				}
				if c.Skipped != nil {
					one.Skipped++
				}
				if one.Failures+one.Errors+one.Skipped > 1 {
					t.Errorf("%s: %s has several outcomes", name, c.Name)
				}
				if names[c.Name] {
					t.Errorf("%s: there are two cases %s", name, c.Name)
				}
				names[c.Name] = true
				sum.add(one)
			}
			if sum != s.junitCounts {
				t.Errorf("%s: suite %s counts %+v, its cases are %+v", name, s.Name, s.junitCounts, sum)
			}
			all.add(sum)
		}
		if all != document.junitCounts {
			t.Errorf("%s: all count %+v, the suites %+v", name, document.junitCounts, all)
		}
		verdict, exitCode := verdictOf(t, result)
		bad := exitCode != 0 || verdict == Fail // which --fail-on never lets pass
		if red := all.Failures+all.Errors > 0; red != bad {
			t.Errorf("%s: verdict %s and exit code %d, but %d failures and %d errors", name, verdict, exitCode, all.Failures, all.Errors)
		}
		for _, s := range document.Suites {
			for _, want := range []junitProperty{{"verdict", string(verdict)}, {"exit_code", fmt.Sprint(exitCode)}} {
				if !slices.Contains(s.Properties, want) {
					t.Errorf("%s: the property %v is missing in %v", name, want, s.Properties)
				}
			}
		}
	}
}

// TestCaseStates: a breach is a failure, a layer that cannot be measured an error, and
// what is undecided or was left out is skipped.
func TestCaseStates(t *testing.T) {
	for _, c := range []struct {
		check *Check
		name  string
		want  state
	}{
		{sample(), "layer head", caseFailed}, {sample(), "layer blocks.1", caseBroken}, {sample(), "layer blocks.0", caseSkipped},
		{sample(), "layer neck", caseSkipped}, {sample(), "layer a.layer.with.a.long.name", caseSkipped}, {sample(), "layer embed", casePassed},
		{sample(), "MD002 one temperature recovers loss", caseFailed}, {sample(), "MD004 much of the model is not examined", casePassed},
		{undecided(), "layer embed", caseSkipped}, {undecided(), "the images decide", caseSkipped}, {late(), "the images decide", caseBroken},
		{warned(), "layer head", caseSkipped}, {warned(), "MD009 the preprocessing was guessed", casePassed}, {unknown(), "MD002 one temperature recovers loss", caseSkipped},
	} {
		cases := c.check.suites()[0].cases
		i := slices.IndexFunc(cases, func(t testCase) bool { return t.name == c.name })
		if i < 0 {
			t.Errorf("there is no case %q", c.name)
			continue
		}
		if got := cases[i]; got.state != c.want || got.state == caseSkipped && got.reason == "" {
			t.Errorf("%s: state %d, want %d; reason %q", c.name, got.state, c.want, got.reason)
		}
	}
}

// TestXMLText: what XML cannot hold is written so that it can be read.
func TestXMLText(t *testing.T) {
	for text, want := range map[string]string{"a\x00\x1b\tb\n": `a\x00\x1b` + "\tb\n", "\xff層\ufffe\ufffd": `\xff層\ufffe` + "\ufffd", "]]>": "]]>"} {
		if got := xmlText(text); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}

// unescapeWorkflow reads what GitHub's runner makes of escaped text.
var unescapeWorkflow = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")

// TestWorkflowCommands: each line is a command whose title and message are read back as
// they were, and of each level there are no more than GitHub shows.
func TestWorkflowCommands(t *testing.T) {
	for name, result := range pipelineResults(t) {
		perLevel, said := map[string]int{}, map[string]bool{}
		for line := range strings.Lines(string(writtenIn(t, result, "github"))) {
			head, message, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "::"), "::")
			level, properties, two := strings.Cut(head, " ")
			if !ok || !two || strings.ContainsAny(line, "\r\x1b\x00") {
				t.Fatalf("%s: %q is no command", name, line)
			}
			perLevel[level]++
			title := ""
			for property := range strings.SplitSeq(properties, ",") {
				key, value, _ := strings.Cut(property, "=")
				if strings.Contains(value, ":") || key != "title" && key != "file" {
					t.Errorf("%s: the property %q in %s", name, property, line)
				}
				if key == "title" {
					title = unescapeWorkflow.Replace(value)
				}
			}
			said[title+"\x00"+unescapeWorkflow.Replace(message)] = true
		}
		for level, n := range perLevel {
			if n > maxAnnotations || !slices.Contains([]string{"error", "warning", "notice"}, level) {
				t.Errorf("%s: %d of level %s", name, n, level)
			}
		}
		for _, s := range result.(inPipeline).suites() {
			findings := s.findings()
			for _, f := range findings[:min(len(findings), maxAnnotations-2)] {
				title := "modeldoctor " + s.command + ": " + f.rule
				if f.layer != "" {
					title += " " + f.layer
				}
				if want := shown(title) + "\x00" + shown(f.message); !said[want] {
					t.Errorf("%s: %q is not said", name, want)
				}
			}
		}
	}
	text := string(writtenIn(t, hostileCheck(), "github"))
	if want := fmt.Sprintf("::error title=modeldoctor::and %d more, which the report lists\n", len(hostileNames)-9); !strings.Contains(text, want) {
		t.Errorf("%q is missing in\n%s", want, text)
	}
}

// shown is text without what would control a terminal, but for the ends of lines.
func shown(text string) string {
	parts := strings.Split(text, "\n")
	for i, part := range parts {
		inner := strings.Split(part, "\r")
		for j := range inner {
			inner[j] = printable(inner[j])
		}
		parts[i] = strings.Join(inner, "\r")
	}
	return strings.Join(parts, "\n")
}

// TestSummary: a summary is cut at a line, in time, and says so.
func TestSummary(t *testing.T) {
	for _, limit := range []int{SummaryLimit, 2000, 400, 10} {
		c := sample()
		for len(c.Layers) < 20_000 {
			c.Layers = append(c.Layers, c.Layers[0])
		}
		var out bytes.Buffer
		if err := WriteSummary(&out, c, limit); err != nil {
			t.Fatal(err)
		}
		if out.Len() > limit || limit > 200 && (out.Len() < limit-1000 || !strings.Contains(out.String(), "The rest is cut")) {
			t.Errorf("limit %d: %d bytes, which end %q", limit, out.Len(), out.String()[max(0, out.Len()-300):])
		}
	}
	var out bytes.Buffer
	if err := WriteSummary(&out, sample(), SummaryLimit); err != nil || strings.Contains(out.String(), "is cut") || !strings.HasPrefix(out.String(), "### modeldoctor check: FAIL vit.onnx\n\n") {
		t.Errorf("error %v, wrote %s", err, &out)
	}
}

// TestMarkdownTables: every row of a table has as many cells as its titles, whatever
// names hold.
func TestMarkdownTables(t *testing.T) {
	for name, result := range pipelineResults(t) {
		cells := 0
		for line := range strings.Lines(string(writtenIn(t, result, "markdown"))) {
			if !strings.HasPrefix(line, "|") {
				cells = 0
				continue
			}
			n := strings.Count(strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\|`, ""), "|")
			if cells > 0 && n != cells {
				t.Errorf("%s: %d bars, want %d: %s", name, n, cells, line)
			}
			cells = n
		}
	}
}

// TestVerdictInEveryFormat: the verdict is the same in all of them.
func TestVerdictInEveryFormat(t *testing.T) {
	for name, result := range pipelineResults(t) {
		verdict, _ := verdictOf(t, result)
		for _, format := range Formats(result) {
			if format == "json" && verdict == Planned {
				continue // it has none
			}
			if !bytes.Contains(writtenIn(t, result, format), []byte(verdict)) {
				t.Errorf("%s: %s lacks the verdict %s", name, format, verdict)
			}
		}
	}
}

//go:generate go test -run TestRulesPage . -update

// TestRulesPage: docs/rules.md, to which SARIF links, says what `explain` says.
func TestRulesPage(t *testing.T) {
	var page bytes.Buffer
	page.WriteString("# Rules\n\nWhat a report can find, by the ID that it has in JSON, SARIF and the annotations of a pipeline. `modeldoctor explain MD001` prints\nthe same about a rule of `check`. The tests write this page: `go test ./report -run TestRulesPage -update`.\n")
	for _, command := range []string{"check", "fix", "compare", "verify"} {
		fmt.Fprintf(&page, "\nRules of `%s`:\n", command)
		for _, r := range pipelineRules(command) {
			fmt.Fprintf(&page, "[%s](%s)\n", r.id, r.helpURI()[len(rulesPage):])
		}
	}
	seen := map[string]bool{}
	for _, command := range []string{"check", "fix", "compare", "verify"} {
		for _, r := range pipelineRules(command) {
			if !seen[r.id] {
				fmt.Fprintf(&page, "\n## %s\n\n%s (usually: %s)\n\n%s\n", r.id, r.title, r.level, r.help())
			}
			seen[r.id] = true
		}
	}
	path := filepath.Join("..", "docs", "rules.md")
	if *update {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, page.Bytes()) {
		t.Errorf("%v: docs/rules.md is not what the rules say: run go test ./report -update if this is meant", err)
	}
}
