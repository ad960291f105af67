package report

import (
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// Errored is the verdict of a command that has come to none.
const Errored = Verdict(errorWord)

// Failure is what a command leaves in its files where it has come to no report, in place of
// what an earlier one has left there.
type Failure struct {
	Document
	Command  string   `json:"command"`
	Inputs   []string `json:"inputs"`  // what it was to look at, as it was given
	Verdict  Verdict  `json:"verdict"` // Errored
	Error    string   `json:"error"`
	Hint     Optional `json:"hint"`
	ExitCode int      `json:"exit_code"`
	Complete bool     `json:"complete"` // never
	Version  string   `json:"version"`
}

// text says why there is no report.
func (f *Failure) text(p *printer) {
	p.verdict(ansiRed, errorWord, printable(f.Error))
	if f.Hint != "" {
		p.hint(printable(string(f.Hint)))
	}
}

// markdown says the same.
func (f *Failure) markdown(p *printer) {
	p.printf("**%s** %s\n", errorWord, escaped(f.Error))
	if f.Hint != "" {
		p.printf("\n- hint: %s\n", escaped(string(f.Hint)))
	}
}

// page says the same.
func (f *Failure) page() *page {
	p := &page{
		Title: "modeldoctor " + f.Command, Verdict: errorWord, Tone: toneBad, Basis: []string{printable(f.Error)},
		Origin: []fact{{"version", []string{printable(f.Version)}}},
	}
	if len(f.Inputs) > 0 {
		p.Facts = append(p.Facts, fact{"of", []string{printable(strings.Join(f.Inputs, ", "))}})
	}
	if f.Hint != "" {
		p.Facts = append(p.Facts, fact{"hint", []string{printable(string(f.Hint))}})
	}
	return p
}

// suites are one of each input, with one case, which is broken.
func (f *Failure) suites() []suite {
	inputs := f.Inputs
	if len(inputs) == 0 {
		inputs = []string{""}
	}
	var all []suite
	for _, input := range inputs {
		all = append(all, suite{
			command: f.Command, path: input, verdict: Errored, summary: []string{f.Error}, exitCode: f.ExitCode,
			provenance: Provenance{Version: f.Version}, failure: f.Error,
			cases: []testCase{{name: "the command comes to a report", state: caseBroken, findings: []finding{{rule: ruleNoReport, level: diag.LevelError, message: f.Error}}}},
		})
	}
	return all
}
