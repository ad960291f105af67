package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

func init() {
	register(format{
		name: "junit",
		has:  has[inPipeline],
		write: func(w io.Writer, r Result, _ Style) error {
			return writeJUnit(w, r.(inPipeline).suites())
		},
	})
}

// The elements of JUnit's XML, as Jenkins, GitLab and others read it.
type (
	junitSuites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Name     string   `xml:"name,attr"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Time     string   `xml:"time,attr"`
		Suites   []junitSuite
	}
	junitSuite struct {
		XMLName    xml.Name        `xml:"testsuite"`
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		XMLName xml.Name      `xml:"testcase"`
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitProblem `xml:"failure"`
		Error   *junitProblem `xml:"error"`
		Skipped *junitProblem `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Type    string `xml:"type,attr,omitempty"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes one <testsuite> for each model.
func writeJUnit(w io.Writer, suites []suite) error {
	var all junitSuites
	seconds := 0.0
	for _, s := range suites {
		suite := s.junit()
		all.Name = "modeldoctor " + s.command
		all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+suite.Tests, all.Failures+suite.Failures, all.Errors+suite.Errors, all.Skipped+suite.Skipped
		seconds += s.provenance.Seconds
		all.Suites = append(all.Suites, suite)
	}
	all.Time = junitTime(seconds)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitTime(seconds float64) string { return fmt.Sprintf("%.3f", seconds) }

// junit is the suite with the counts of its cases.
func (s *suite) junit() junitSuite {
	suite := junitSuite{Name: xmlText(s.path), Time: junitTime(s.provenance.Seconds), Properties: []junitProperty{
		{"verdict", string(s.verdict)},
		{"summary", xmlText(strings.Join(s.summary, "; "))},
		{"exit_code", fmt.Sprint(s.exitCode)},
		{"model_sha256", s.sha256},
		{"version", xmlText(s.provenance.Version)},
	}}
	suite.Tests, suite.Failures, suite.Errors, suite.Skipped = counts(s.cases)
	for _, c := range s.cases {
		suite.Cases = append(suite.Cases, c.junit(s.path))
	}
	return suite
}

// junit is the case. What it says and is no reason for its state goes to its output.
func (c *testCase) junit(class string) junitCase {
	out := junitCase{Class: xmlText(class), Name: xmlText(c.name)}
	var lines []string
	for _, f := range c.findings {
		lines = append(lines, xmlText(fmt.Sprintf("%s %s: %s", f.rule, f.level, f.message)))
	}
	text := strings.Join(lines, "\n")
	problem := &junitProblem{Text: text}
	if len(c.findings) > 0 {
		problem.Type, problem.Message = c.findings[0].rule+"."+string(c.findings[0].level), xmlText(c.findings[0].message)
	}
	switch c.state {
	case caseFailed:
		out.Failure = problem
	case caseBroken:
		out.Error = problem
	case caseSkipped:
		out.Skipped, out.Out = &junitProblem{Message: xmlText(c.reason)}, text
	default:
		if c.reason != "" {
			lines = append(lines, xmlText(c.reason))
		}
		out.Out = strings.Join(lines, "\n")
	}
	return out
}

// xmlText writes characters that XML 1.0 has no way to hold, and bytes that are no
// characters, as Go does between quotes: \x1b. What is markup the encoder escapes.
func xmlText(text string) string {
	var out strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, text[i])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r':
			fmt.Fprintf(&out, `\x%02x`, r)
		case r == 0xfffe || r == 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
