package report

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
)

// hostileNames hold what has a meaning in some format, or in a terminal.
var hostileNames = []string{
	`"double" 'single'`, `<b>&amp;</b>`, "two\nlines\r\nand\ttabs", "a|b", "🩺 層", "]]>", "::error::done", "{0} and {x}", "[text](https://example.org)",
	"100%,: %0A", "\x1b[31m\x00\x07\u202e", "bytes \xff\xfe \ufffe", "`code` *bold* _it_ ~~no~~ # $x$", " -->", "",
}

const hostilePath = "models/a: \"b\", <c>|%0A\n]]>🩺.onnx"

// hostileCheck has a layer of each hostile name, all of them over the threshold or not
// measured.
func hostileCheck() *Check {
	d := diagnosis()
	over, notMeasured := d.Layers[len(d.Layers)-1], d.Layers[3]
	d.Layers, d.Violations = nil, nil
	for i, name := range hostileNames {
		layer, violation := over, diag.Violation{Rule: diag.RuleRecoverableLoss, Level: diag.LevelError, Message: "moving this layer takes off 0.2 nats"}
		if i%5 == 4 {
			layer, violation = notMeasured, diag.Violation{Rule: diag.RuleNotMeasured, Level: diag.LevelError, Message: "not measured: the loss is not finite"}
		}
		layer.Name, layer.Index, violation.Layer = name, i, name
		layer.Training = nil
		d.Layers, d.Violations = append(d.Layers, layer), append(d.Violations, violation)
	}
	d.Worst = diag.Worst{ByTransfer: hostileNames[0], Set: hostileNames[:2]}
	c := checkOf(d)
	c.Model.Path, c.Data.Name = hostilePath, hostileNames[1]
	return c
}

// hostileFix is refused, and forced says that it is written all the same.
func hostileFix(t *testing.T, forced bool) *Fix {
	f := refused(t)
	f.Model.Path, f.Data.Name = hostilePath, hostileNames[2]
	f.plan.perturb, f.plan.update = namedLayers(hostileNames[0]), namedLayers(hostileNames[2])
	if f.Forced = forced; forced {
		f.Output = NewOutput(hostilePath, f.Model.SHA256, 12, hostileNames[3], []onnx.DataFile{{Location: hostileNames[5], Path: hostileNames[5], Size: 7}})
	}
	return f.report()
}

// hostileCompare has a recipe of each hostile name that failed with one, and one that
// ran.
func hostileCompare(t *testing.T) *Compare {
	c := comparisonOnce(t)
	c.Model.Path, c.Rows = hostilePath, c.Rows[:1]
	c.Rows[0].Update = hostileNames[:2]
	for _, name := range hostileNames {
		c.Rows = append(c.Rows, NewCompareRow(name, nil, name+" has failed"))
	}
	c.Judge()
	return c
}

// hostileVerify has differences of hostile names.
func hostileVerify(t *testing.T) *Verify {
	c := compared(t, true)
	c.Tensors[0].Name = hostileNames[2]
	c.Fields = hostileNames
	var layers []LayerChange
	for _, name := range hostileNames {
		layers = append(layers, LayerChange{Name: name, Tensors: 1, WNorm: 1, DeltaNorm: 0.5})
	}
	v := verified(c, layers)
	v.A.Path, v.B.Path, v.ExitCode = hostilePath, hostilePath, 1
	return v
}

// pipelineResults are results of all kinds that a pipeline can get.
func pipelineResults(t *testing.T) map[string]Result {
	results := map[string]Result{
		"check": sample(), "check-undecided": undecided(), "check-passed": healthy(), "check-late": late(),
		"check-hostile": hostileCheck(), "fix-hostile": hostileFix(t, false), "fix-hostile-forced": hostileFix(t, true),
		"compare-hostile": hostileCompare(t), "verify-hostile": hostileVerify(t),
	}
	for name, f := range failures() {
		results[name] = f
	}
	for _, failOn := range []string{"error", "warning", FailNever} {
		for _, onUndecided := range []string{UndecidedPass, UndecidedWarn, UndecidedFail} {
			for name, c := range map[string]*Check{"sample": sample(), "unknown": unknown(), "undecided": undecided(), "warned": warned(), "passed": healthy()} {
				c.ExitCode = 0
				if c.Judge(Gate{FailOn: failOn, OnUndecided: onUndecided}) {
					c.ExitCode = 1
				}
				if !c.Complete {
					c.ExitCode = 4
				}
				results["check-"+name+"-"+failOn+"-"+onUndecided] = c
			}
		}
	}
	for name, f := range fixes(t) {
		results[name] = f
	}
	for name, f := range plans(t) {
		results[name] = f
	}
	for name, c := range comparisons(t) {
		c.ExitCode = map[Verdict]int{Done: 0, Fail: 1, Incomplete: 4}[c.Verdict]
		results[name] = c
	}
	for name, v := range verifications(t) {
		if !v.Same {
			v.ExitCode = 1
		}
		results[name] = v
	}
	return results
}

// warned is undecided because of warnings.
func warned() *Check {
	d := diagnosis()
	d.Layers, d.Tests = d.Layers[6:], 1
	d.Violations = []diag.Violation{
		{Rule: diag.RuleRecoverableLoss, Level: diag.LevelWarning, Layer: "head", Message: "over, by itself"},
		{Rule: diag.RuleCoverage, Level: diag.LevelWarning, Message: "only 70 % of the model's parameters lie in layers that can be measured"},
		{Rule: diag.RuleGuessedPreprocess, Level: diag.LevelInfo, Message: "the preprocessing was guessed"},
	}
	d.Metrics.Temperature.Decision = diag.Decision{Verdict: diag.Under}
	d.Verdict = diag.ModelVerdict{Outcome: diag.Unclear}
	return checkOf(d)
}

// late is a check that the time limit cut short.
func late() *Check {
	d := diagnosis()
	d.Complete, d.Violations, d.Verdict = false, nil, diag.ModelVerdict{Outcome: diag.Unclear}
	d.Layers = []diag.LayerResult{d.Layers[0], d.Layers[4]}
	c := checkOf(d)
	c.ExitCode = 4
	return c
}

// extensions are the names that the files of formats have.
var extensions = map[string]string{"markdown": ".md", "sarif": ".sarif", "junit": ".xml", "github": ".github.txt"}

func TestPipelineGoldenFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer) error{}
	results := pipelineResults(t)
	for _, name := range []string{
		"check", "check-hostile", "check-undecided", "fix", "fix-refused", "fix-diverged", "fix-hostile", "fix-hostile-forced", "plan",
		"compare", "compare-failed", "compare-stopped", "compare-hostile", "verify", "verify-same", "verify-many", "verify-hostile",
	} {
		result := results[name]
		for format, extension := range extensions {
			files[name+extension] = func(b *bytes.Buffer) error { return Write(b, result, format, Style{}) }
		}
	}
	files["summary.md"] = func(b *bytes.Buffer) error { return WriteSummary(b, results["check"], SummaryLimit) }
	checkGolden(t, files)
}

// TestObjections: every objection to a treatment has a rule that explains it.
func TestObjections(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "pol", "accept.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Objection" {
			return true
		}
		found++
		id, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || !slices.ContainsFunc(fixRules, func(r pipelineRule) bool { return r.id == id }) {
			t.Errorf("%s %q is explained by no rule of fix", spec.Names[0], id)
		}
		return true
	})
	if found != len(fixRules) {
		t.Errorf("%d objections, want one for each of %d rules", found, len(fixRules))
	}
}

// TestUnexplained: what no rule explains is told all the same.
func TestUnexplained(t *testing.T) {
	c := healthy()
	c.Violations = append(c.Violations, Violation{Rule: "MD999", Level: diag.LevelError, Message: "unforeseen"}, Violation{Rule: "MD998", Level: diag.LevelError, Layer: "nowhere", Message: "unforeseen"})
	c.Judge(Gate{FailOn: "error", OnUndecided: UndecidedWarn})
	f := hostileFix(t, false)
	f.Objections = []pol.Objection{"unforeseen"}
	for result, want := range map[inPipeline]int{c: 2, f: 1} {
		if _, failures, _, _ := counts(result.suites()[0].cases); failures != want {
			t.Errorf("%T: %d failures, want %d", result, failures, want)
		}
		for _, format := range []string{"sarif", "github", "junit"} {
			if text := writtenIn(t, result.(Result), format); bytes.Count(text, []byte("unforeseen")) < want {
				t.Errorf("%s does not tell of it:\n%s", format, text)
			}
		}
	}
}
