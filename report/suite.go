package report

import (
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
)

// inPipeline is a result that can be told to what runs it: one suite for each
// model. From these come SARIF, JUnit's XML and GitHub's workflow commands.
type inPipeline interface{ suites() []suite }

// suite is all that a command has looked at in one model.
type suite struct {
	command    string
	path       string // of the model file, as it was given
	sha256     string
	verdict    Verdict
	summary    []string // the verdict's figures
	exitCode   int
	provenance Provenance
	cases      []testCase
	gone       []Violation // of the baseline, and found no longer
	failure    string      // why the command has come to no report; empty where it has
}

// testCase is one thing that was looked at: a layer, a rule, a recipe.
type testCase struct {
	name     string
	state    state
	reason   string    // why it is neither good nor bad; of one that passed, what else is to be said
	findings []finding // what is to be said of it, most important first
}

// state is what became of a testCase. Where a verdict is bad some case has failed
// or is broken.
type state int

const (
	casePassed  state = iota
	caseFailed        // a rule is breached
	caseBroken        // it could not be computed
	caseSkipped       // it is undecided, or was not measured
)

// finding is something that a reader is to be told.
type finding struct {
	rule    string // ID of one of pipelineRules
	level   diag.Level
	layer   string // "" if it is about the whole model
	message string
	weight  float64 // findings of a level are in falling order of it

	// settled says that it counts for nothing: it is suppressed, or known where only
	// what is new fails.
	settled    bool
	suppressed string     // why it is suppressed; empty where it is not
	since      diag.Since // whether the baseline has it; empty without one
}

// alarm is the level at which a reader is told: what is settled only informs.
func (f *finding) alarm() diag.Level {
	if f.settled {
		return diag.LevelInfo
	}
	return f.level
}

// findings are those of all cases, the most alarming ones first, and of a level those
// of the largest weight.
func (s *suite) findings() []finding {
	var all []finding
	for _, c := range s.cases {
		all = append(all, c.findings...)
	}
	slices.SortStableFunc(all, func(a, b finding) int {
		if a.alarm() != b.alarm() {
			return severity(a.alarm()) - severity(b.alarm())
		}
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	return all
}

// counts are how many of some cases there are in each state.
func counts(cases []testCase) (all, failures, errors, skips int) {
	for _, c := range cases {
		switch c.state {
		case caseFailed:
			failures++
		case caseBroken:
			errors++
		case caseSkipped:
			skips++
		}
	}
	return len(cases), failures, errors, skips
}
