package report

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

func init() {
	register(format{
		name: "github",
		has:  has[onGitHub],
		write: func(w io.Writer, r Result, _ Style) error {
			p := &printer{w: w}
			workflowCommands(p, r.(onGitHub).suites())
			return p.err
		},
	})
}

// maxAnnotations is how many annotations of a level GitHub shows of a step; it drops
// the rest without a word.
const maxAnnotations = 10

// workflowCommands prints a command of GitHub's runner for each finding, which shows
// it as an annotation, and one for the verdict.
func workflowCommands(p *printer, suites []suite) {
	var lines [3][]string // by severity
	for _, s := range suites {
		lines[2] = append(lines[2], workflowCommand(diag.LevelInfo, &s, string(s.verdict), strings.Join(s.summary, ", ")))
	}
	for _, s := range suites {
		for _, f := range s.findings() {
			title := f.rule
			if f.layer != "" {
				title += " " + f.layer
			}
			lines[severity(f.alarm())] = append(lines[severity(f.alarm())], workflowCommand(f.alarm(), &s, title, f.message))
		}
	}
	for i, level := range []diag.Level{diag.LevelError, diag.LevelWarning, diag.LevelInfo} {
		if left := len(lines[i]) - (maxAnnotations - 1); left > 1 {
			lines[i] = append(lines[i][:maxAnnotations-1], fmt.Sprintf("::%s title=modeldoctor::and %d more, which the report lists", workflowLevel(level), left))
		}
		for _, line := range lines[i] {
			p.printf("%s\n", line)
		}
	}
}

// workflowCommand is one line for GitHub's runner. A path is a file of the repository
// where it is relative.
func workflowCommand(level diag.Level, s *suite, title, message string) string {
	file := ""
	if s.path != "" && !filepath.IsAbs(s.path) {
		file = "file=" + workflowProperty(filepath.ToSlash(s.path)) + ","
	}
	return fmt.Sprintf("::%s %stitle=%s::%s", workflowLevel(level), file, workflowProperty("modeldoctor "+s.command+": "+title), workflowData(message))
}

// workflowLevel is what GitHub calls a level.
func workflowLevel(l diag.Level) string {
	if l == diag.LevelInfo {
		return "notice"
	}
	return string(l)
}

// workflowData escapes what would end a command's line.
func workflowData(text string) string {
	return readable(strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text))
}

// workflowProperty escapes what would end a command's property, too.
func workflowProperty(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(workflowData(text))
}

// readable is text without what would control a terminal.
func readable(text string) string { return strings.ToValidUTF8(printable(text), "\ufffd") }

// SummaryLimit is how many bytes a summary has at most: GitHub refuses one of more
// than 1 MiB as a whole.
const SummaryLimit = 1_000_000

// onGitHub is a result of which a job of GitHub's can tell.
type onGitHub interface {
	inPipeline
	inMarkdown
}

// WriteSummary writes a result that has the format github for the summary of a job: its
// Markdown below a heading. It is cut at a line, and says so, where it has more than
// limit bytes.
func WriteSummary(w io.Writer, result Result, limit int) error {
	r, ok := result.(onGitHub)
	if !ok {
		return fmt.Errorf("%T has no summary", result)
	}
	var text bytes.Buffer
	p := &printer{w: &text}
	for _, s := range r.suites() {
		p.printf("### modeldoctor %s: %s %s\n\n", s.command, s.verdict, escaped(base(s.path)))
	}
	r.markdown(p)
	p.printf("\n")
	if p.err != nil {
		return p.err
	}
	_, err := w.Write(cutAtLine(text.Bytes(), limit))
	return err
}

// cutAtLine is as many whole lines as limit bytes hold beside the words that say that
// some are missing.
func cutAtLine(text []byte, limit int) []byte {
	if len(text) <= limit {
		return text
	}
	const note = "\n\n*The rest is cut: a summary has no room for it. A report in a file, such as `--format json=report.json`, has all.*\n"
	if limit < len(note) {
		return nil
	}
	end := bytes.LastIndexByte(text[:limit-len(note)], '\n') + 1
	return append(text[:end:end], note...)
}
