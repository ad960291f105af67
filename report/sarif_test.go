package report

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// sarifDocument is what the tests look at of a log in SARIF.
type sarifDocument struct {
	Runs []struct {
		Tool struct {
			Driver struct {
				Rules []struct{ ID, HelpURI string }
			}
		}
		Invocations []struct {
			ExitCode            int
			ExecutionSuccessful bool
		}
		Properties struct {
			Absent []struct{ RuleID, Layer string }
		}
		Artifacts []struct {
			Location struct{ URI string }
		}
		Results []struct {
			RuleID              string
			RuleIndex           int
			Level               string
			Message             struct{ Text string }
			PartialFingerprints map[string]string
			BaselineState       string
			Suppressions        []struct{ Kind, Status, Justification string }
			Locations           []struct {
				PhysicalLocation struct {
					ArtifactLocation struct {
						URI   string
						Index int
					}
				}
				LogicalLocations []struct{ FullyQualifiedName string }
			}
		}
	}
}

// TestSARIF: what is written satisfies the schema of the standard, and its parts refer
// to each other as they should.
func TestSARIF(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("testdata", "sarif", "sarif-schema-2.1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	results := pipelineResults(t)
	for name, c := range gated() {
		results["gated: "+name] = c
	}
	for name, result := range results {
		text := writtenIn(t, result, "sarif")
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var log sarifDocument
		if err := json.Unmarshal(text, &log); err != nil {
			t.Fatal(err)
		}
		run := log.Runs[0]
		_, exitCode := verdictOf(t, result)
		if i := run.Invocations[0]; i.ExitCode != exitCode || i.ExecutionSuccessful != (exitCode <= 1) {
			t.Errorf("%s: the invocation says %+v, want exit code %d", name, i, exitCode)
		}
		var findings []finding
		for _, s := range result.(inPipeline).suites() {
			findings = append(findings, s.findings()...)
		}
		if len(run.Results) != len(findings) {
			t.Fatalf("%s: %d results, want %d", name, len(run.Results), len(findings))
		}
		fingerprints := map[string]bool{}
		for i, r := range run.Results {
			f := findings[i]
			if r.RuleID != f.rule || run.Tool.Driver.Rules[r.RuleIndex].ID != f.rule {
				t.Errorf("%s: result %d is of rule %s, index %d, want %s", name, i, r.RuleID, r.RuleIndex, f.rule)
			}
			at := r.Locations[0]
			if a := at.PhysicalLocation.ArtifactLocation; run.Artifacts[a.Index].Location.URI != a.URI {
				t.Errorf("%s: result %d lies in %s, which is not artifact %d", name, i, a.URI, a.Index)
			}
			switch {
			case f.layer == "" && len(at.LogicalLocations) > 0:
				t.Errorf("%s: result %d has a layer, want none", name, i)
			case f.layer != "" && at.LogicalLocations[0].FullyQualifiedName != string([]rune(f.layer)):
				t.Errorf("%s: result %d is of layer %q, want %q", name, i, at.LogicalLocations[0].FullyQualifiedName, f.layer)
			}
			print := r.PartialFingerprints["primaryLocationLineHash"]
			if of := at.PhysicalLocation.ArtifactLocation.URI + print; print == "" || fingerprints[of] {
				t.Errorf("%s: the fingerprint %q is missing or is another result's", name, print)
			} else {
				fingerprints[of] = true
			}
		}
	}
}

// TestFingerprints: a layer's breach is told again by the same fingerprint, whatever its
// figures and the other breaches are.
func TestFingerprints(t *testing.T) {
	print := func(c *Check, layer string) string {
		var log sarifDocument
		if err := json.Unmarshal(writtenIn(t, c, "sarif"), &log); err != nil {
			t.Fatal(err)
		}
		for _, r := range log.Runs[0].Results {
			if l := r.Locations[0].LogicalLocations; len(l) > 0 && l[0].FullyQualifiedName == layer && r.RuleID == "MD001" {
				return r.PartialFingerprints["primaryLocationLineHash"]
			}
		}
		t.Fatalf("no result of %s", layer)
		return ""
	}
	first := sample()
	second := sample()
	second.Violations = second.Violations[1:]
	second.Violations[0].Message = "other figures"
	if a, b := print(first, "head"), print(second, "head"); a != b {
		t.Errorf("fingerprints %s and %s", a, b)
	}
}

// TestBaselineStates: each result says whether the baseline has it, or none does; what is
// known or suppressed alarms nobody, and what is gone is no result.
func TestBaselineStates(t *testing.T) {
	read := func(c *Check) (log sarifDocument) {
		if err := json.Unmarshal(writtenIn(t, c, "sarif"), &log); err != nil {
			t.Fatal(err)
		}
		return log
	}
	for name, c := range map[string]struct {
		since                diag.Since
		failOnNew            bool
		state, level, others string
	}{
		"new": {diag.New, true, "new", "error", "note"}, "worse": {diag.Worse, true, "updated", "error", "note"}, "known": {diag.Known, true, "unchanged", "note", "note"},
		"unproven": {diag.Unproven, true, "new", "note", "note"}, "known, and fails": {diag.Known, false, "unchanged", "error", ""},
	} {
		check := gated()["new"]
		check.Violations[0].Since = c.since
		check.Baseline.Gone = []Violation{{Rule: diag.RuleOverFitted, Level: diag.LevelWarning, Layer: "head", Message: "it was"}}
		check.Judge(Gate{FailOn: "error", FailOnNew: c.failOnNew, OnUndecided: UndecidedWarn})
		run := read(check).Runs[0]
		for _, r := range run.Results {
			state, level := "unchanged", c.others
			if first := check.Violations[0]; r.RuleID == first.Rule && r.Message.Text == sarifText(string(first.Layer)+": "+standing(first)+first.Message) {
				state, level = c.state, c.level
			}
			if r.BaselineState != state || level != "" && r.Level != level {
				t.Errorf("%s: %s is %s, %s, want %s, %s: %s", name, r.RuleID, r.BaselineState, r.Level, state, level, r.Message.Text)
			}
		}
		if gone := run.Properties.Absent; len(gone) != 1 || gone[0].RuleID != diag.RuleOverFitted || gone[0].Layer != "head" {
			t.Errorf("%s: absent are %v", name, gone)
		}
	}
	for _, r := range read(sample()).Runs[0].Results {
		if r.BaselineState != "" || r.Suppressions != nil {
			t.Errorf("without a baseline or a suppression a result has %+v", r)
		}
	}
	suppressed := read(gated()["suppressed"]).Runs[0].Results[0]
	if s := suppressed.Suppressions; len(s) != 1 || s[0].Kind != "external" || s[0].Status != "accepted" || s[0].Justification != "it is known" || suppressed.Level != "note" {
		t.Errorf("a suppressed result is %+v", suppressed)
	}
}

// TestGone: what an earlier report had is gone where it was looked for again, and not
// found.
func TestGone(t *testing.T) {
	before := sample()
	names := func(now *Check) (names []string) {
		for _, v := range gone(now, before) {
			names = append(names, v.Rule+" "+string(v.Layer))
		}
		return names
	}
	if got := names(sample()); got != nil {
		t.Errorf("%v are gone from the same report", got)
	}
	now := sample()
	var found []Violation
	for _, v := range now.Violations {
		if v.Rule != diag.RuleRecoverableLoss && v.Rule != diag.RuleTemperature {
			found = append(found, v)
		}
	}
	now.Violations = found
	all := names(now)
	if !slices.Contains(all, "MD001 head") || !slices.Contains(all, "MD002 ") {
		t.Errorf("gone are %v, want MD001 of head and MD002 among them", all)
	}
	now.Complete = false // the temperature may not have been looked at
	now.Layers = slices.DeleteFunc(now.Layers, func(l Layer) bool { return l.Name == "head" })
	if got := names(now); slices.Contains(got, "MD001 head") || slices.Contains(got, "MD002 ") {
		t.Errorf("gone are %v, of which head and the temperature were not looked at", got)
	}
}

// TestSettledAnnotations: nothing that is known or suppressed is red or yellow.
func TestSettledAnnotations(t *testing.T) {
	for name, c := range gated() {
		for _, v := range c.Violations {
			for line := range strings.Lines(string(writtenIn(t, c, "github"))) {
				if strings.Contains(line, workflowData(v.Message)) && settled(c, v) != strings.HasPrefix(line, "::notice") && v.Level != diag.LevelInfo {
					t.Errorf("%s: settled %v: %s", name, settled(c, v), line)
				}
			}
		}
	}
}
