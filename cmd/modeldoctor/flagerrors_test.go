package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// complaint is what a command line makes the program say on stderr, with exit status 2.
func complaint(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	if code := run(context.Background(), append([]string{"modeldoctor"}, args...), io.Discard, &stderr); code != exitUsage {
		t.Errorf("%q: exit status %d, want %d: %s", args, code, exitUsage, stderr.String())
	}
	return stderr.String()
}

// TestFlagErrors: whatever flag of whatever command has a wrong value, and wherever it
// stands, what is said names both and the command's own help, and nothing of Go's.
func TestFlagErrors(t *testing.T) {
	t.Setenv("MODELDOCTOR_CONFIG", "none")
	for _, command := range newApp(io.Discard, io.Discard).Commands {
		for _, f := range command.Flags {
			_, isBool := f.(*cli.BoolFlag)
			if typed := wanted(f) != wanted(nil); !typed && choices(f.Names()[0]) == nil {
				continue
			}
			name, help := f.Names()[0], "modeldoctor "+command.Name+" --help"
			args := append([]string{command.Name, "--" + name + "=many"}, map[string][]string{
				"check": {"a.onnx"}, "fix": {"--trial", "a.onnx"}, "compare": {"a.onnx"}, "inspect": {"a.onnx"},
				"verify": {"--val=test", "a.onnx", "b.onnx"}, "merge": {"parts"}, "probe": {"--input=x", "a.onnx"}, "data": {"ls"},
			}[command.Name]...)
			said := complaint(t, args...)
			if !strings.Contains(said, `"many"`) || !strings.Contains(said, "--"+name) && !isBool || !strings.Contains(said, help) {
				t.Errorf("%q: %s", args, said)
			}
			for _, word := range []string{"strconv", "parse", "invalid"} {
				if strings.Contains(said, word) {
					t.Errorf("%q: %q in %s", args, word, said)
				}
			}
			if variable := variableOf(f); variable != "" && wanted(f) != wanted(nil) {
				t.Setenv(variable, "many")
				args = slices.Delete(args, 1, 2)
				if said := complaint(t, args...); !strings.Contains(said, variable+`: "many" is not `+wanted(f)) {
					t.Errorf("%s=many %q: %s", variable, args, said)
				}
				t.Setenv(variable, "")
				dropEmptyVariables()
			}
		}
	}
}

// TestUnknownVariables: a variable that sets no flag is warned of.
func TestUnknownVariables(t *testing.T) {
	t.Setenv("MODELDOCTOR_FAILON", "never")
	t.Setenv("MODELDOCTOR_LIBCUDA", "/nowhere")
	var stderr bytes.Buffer
	if code := run(context.Background(), []string{"modeldoctor", "version"}, io.Discard, &stderr); code != exitOK {
		t.Errorf("exit status %d", code)
	}
	if got, want := stderr.String(), "modeldoctor: warning: the environment variable MODELDOCTOR_FAILON sets no flag and is ignored: did you mean MODELDOCTOR_FAIL_ON?\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}
