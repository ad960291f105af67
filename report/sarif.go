package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

func init() {
	register(format{
		name: "sarif",
		has:  has[inPipeline],
		write: func(w io.Writer, r Result, _ Style) error {
			return writeJSON(w, sarifLog(r.(inPipeline).suites()))
		},
	})
}

// sarifSchema is where the standard of version 2.1.0 has its schema.
const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// sarifLog is a log in the Static Analysis Results Interchange Format 2.1.0, of
// OASIS: all rules, one run, and a result for each finding.
func sarifLog(suites []suite) *sarif.Report {
	var rules []pipelineRule
	if len(suites) > 0 {
		rules = pipelineRules(suites[0].command)
	}
	driver := sarif.NewToolComponent().WithName("modeldoctor").WithInformationURI(projectPage)
	for _, r := range rules {
		driver.AddRule(r.sarif())
	}
	run := sarif.NewRun().WithTool(sarif.NewTool().WithDriver(driver))
	seen := map[string]int{}
	exitCode := 0
	var gone []map[string]string
	for i, s := range suites {
		if s.provenance.Version != "" {
			driver.WithVersion(s.provenance.Version)
		}
		exitCode = max(exitCode, s.exitCode)
		model := sarif.NewArtifact().WithLocation(sarif.NewArtifactLocation().WithURI(fileURI(s.path)))
		if s.sha256 != "" {
			model.Hashes = map[string]string{"sha-256": s.sha256}
		}
		run.AddArtifact(model)
		for _, v := range s.gone {
			gone = append(gone, map[string]string{"ruleId": v.Rule, "layer": string(v.Layer), "uri": fileURI(s.path), "message": v.Message})
		}
		for _, f := range s.findings() {
			rule := slices.IndexFunc(rules, func(r pipelineRule) bool { return r.id == f.rule })
			run.AddResult(f.sarif(rule, fileURI(s.path), i, seen))
		}
	}
	if gone != nil {
		// As results, with the baseline state absent, GitHub would take them for open
		// findings: it reads neither that state nor a result's kind.
		run.WithProperties(sarif.NewPropertyBag().Add("absent", gone))
	}
	run.AddInvocation(invocation(suites, exitCode))
	return &sarif.Report{Schema: sarifSchema, Version: "2.1.0", Runs: []*sarif.Run{run}}
}

// invocation says how the command was called and ended. A command that has come to a
// verdict was executed successfully, whatever that is.
func invocation(suites []suite, exitCode int) *sarif.Invocation {
	var verdicts []string
	for _, s := range suites {
		verdicts = append(verdicts, printable(string(s.verdict)+": "+strings.Join(s.summary, "; ")))
	}
	i := sarif.NewInvocation().WithExecutionSuccessful(exitCode <= 1).WithExitCode(exitCode).WithExitCodeDescription(strings.Join(verdicts, "\n"))
	if len(suites) > 0 {
		if command := suites[0].provenance.Command; len(command) > 1 {
			i.WithArguments(command[1:])
		}
	}
	for _, s := range suites {
		if s.failure != "" {
			i.AddToolExecutionNotification(sarif.NewNotification().WithLevel("error").WithMessage(sarif.NewTextMessage(sarifText(s.failure))))
			break
		}
	}
	return i
}

// sarif describes the rule.
func (r *pipelineRule) sarif() *sarif.ReportingDescriptor {
	text := func(s string) *sarif.MultiformatMessageString {
		return sarif.NewMultiformatMessageString().WithText(strings.ReplaceAll(s, "**", "")).WithMarkdown(s)
	}
	return sarif.NewReportingDescriptor().WithID(r.id).WithHelpURI(r.helpURI()).
		WithShortDescription(sarif.NewMultiformatMessageString().WithText(r.title)).
		WithFullDescription(text(r.meaning)).WithHelp(text(r.help())).
		WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(sarifLevel(r.level)))
}

// sarif is the finding as a result about the model of that URI, which is the
// artifact of that index. seen counts the results by rule and layer.
func (f *finding) sarif(rule int, uri string, artifact int, seen map[string]int) *sarif.Result {
	location := sarif.NewLocation().WithPhysicalLocation(sarif.NewPhysicalLocation().
		WithArtifactLocation(sarif.NewArtifactLocation().WithURI(uri).WithIndex(artifact)).
		WithRegion(sarif.NewRegion().WithStartLine(1).WithStartColumn(1))) // GitHub shows no result without a line
	text := f.message
	if f.layer != "" {
		location.AddLogicalLocation(sarif.NewLogicalLocation().WithName(f.layer).WithFullyQualifiedName(f.layer).WithKind("module"))
		text = f.layer + ": " + text
	}
	// GitHub tells results of one file apart by the fingerprint of this name only, which
	// is otherwise the hash of a line, and the number of its occurrence.
	hash := sha256.Sum256([]byte(f.rule + "\x00" + f.layer))
	short := hex.EncodeToString(hash[:8])
	seen[uri+"\x00"+short]++
	result := sarif.NewRuleResult(f.rule).WithRuleIndex(rule).WithLevel(sarifLevel(f.alarm())).
		WithMessage(sarif.NewTextMessage(sarifText(text))).WithLocations([]*sarif.Location{location})
	if state := baselineStates[f.since]; state != "" {
		result.WithBaselineState(state)
	}
	if f.suppressed != "" { // by the configuration, not in what was examined
		result.WithSuppressions([]*sarif.Suppression{sarif.NewSuppression().WithKind("external").WithStatus("accepted").WithJustification(f.suppressed)})
	}
	result.PartialFingerprints = map[string]string{"primaryLocationLineHash": fmt.Sprintf("%s:%d", short, seen[uri+"\x00"+short])}
	return result
}

// baselineStates are what SARIF calls the state of a result beside a baseline. What is
// unproven is none of the baseline's results.
var baselineStates = map[diag.Since]string{diag.New: "new", diag.Unproven: "new", diag.Worse: "updated", diag.Known: "unchanged"}

// sarifLevel is what SARIF calls a level.
func sarifLevel(l diag.Level) string {
	if l == diag.LevelInfo {
		return "note"
	}
	return string(l)
}

// sarifText writes text so that none of it is taken for a placeholder ({0}) or a link
// ([text](target)), which SARIF has in its messages.
func sarifText(text string) string {
	return strings.NewReplacer("{", "{{", "}", "}}", "](", "] (").Replace(printable(text))
}

// fileURI is the URI of a file: relative where its path is.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	u := url.URL{Path: path}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
		if !strings.HasPrefix(path, "/") { // C:/model.onnx
			u.Path = "/" + path
		}
	}
	return u.String()
}
