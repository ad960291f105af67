package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// failures are of an interruption, of a model of hostile name, and of a command without
// arguments.
func failures() map[string]*Failure {
	return map[string]*Failure{
		"failure":         {Command: "check", Inputs: []string{"models/vit.onnx", "b.onnx"}, Verdict: Errored, Error: "interrupted at 3/14 blocks.0, 12 %; nothing was written", ExitCode: 143, Version: "v1"},
		"failure-hostile": {Command: "fix", Inputs: []string{"a\x1b[31m|b<script>\n::error::x.onnx"}, Verdict: Errored, Error: "a\x1b[31m|b<script>: byte 3 {0}", Hint: "copy `it`\x00", ExitCode: 3, Version: "v1"},
		"failure-empty":   {Command: "verify", Inputs: []string{}, Verdict: Errored, Error: "cut off", ExitCode: 5},
	}
}

// TestFailures: what has come to no report says so in every format that a report can have,
// and is taken for none when it is read.
func TestFailures(t *testing.T) {
	for _, r := range []Result{&Check{}, &Checks{}, &Fix{}, &FixPlan{}, &SearchPlan{}, &Compare{}, &Verify{}, &Inspect{}, &Probe{}, &DataSets{}, &Devices{}} {
		for _, format := range Formats(r) {
			if !strings.Contains(strings.Join(Formats(&Failure{}), " "), format) {
				t.Errorf("%T has format %s, and a failure has not", r, format)
			}
		}
	}
	f := failures()["failure"]
	for _, format := range Formats(f) {
		if text := writtenIn(t, f, format); !bytes.Contains(text, []byte("interrupted at 3/14")) || !bytes.Contains(text, []byte("ERROR")) {
			t.Errorf("%s: %s", format, text)
		}
	}
	var log struct {
		Runs []struct {
			Invocations []struct {
				ExecutionSuccessful        bool
				ToolExecutionNotifications []struct {
					Level   string
					Message struct{ Text string }
				}
			}
		}
	}
	if err := json.Unmarshal(writtenIn(t, f, "sarif"), &log); err != nil {
		t.Fatal(err)
	}
	if i := log.Runs[0].Invocations[0]; i.ExecutionSuccessful || len(i.ToolExecutionNotifications) != 1 || i.ToolExecutionNotifications[0].Level != "error" || i.ToolExecutionNotifications[0].Message.Text != f.Error {
		t.Errorf("the invocation is %+v", i)
	}
	text := string(writtenIn(t, f, "json"))
	if _, err := ReadCheck(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "came to none: interrupted") {
		t.Errorf("as a check it is read with the error %v", err)
	}
	if checks, err := ReadChecks(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "came to none: interrupted") {
		t.Errorf("as checks it is read as %v with the error %v", checks, err)
	}
}
