package main

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestReportsThatCannotBegin: where one report's file cannot be written before the work,
// the others say so, and nothing is done.
func TestReportsThatCannotBegin(t *testing.T) {
	dir := t.TempDir()
	lost, kept := filepath.Join(dir, "gone", "r.json"), filepath.Join(dir, "r.md")
	var said strings.Builder
	app := &cli.App{Writer: io.Discard, ErrWriter: &said}
	app.Metadata = map[string]any{outputKey: &output{stdout: io.Discard, files: []outputFile{{"json", lost}, {"markdown", kept}}}}
	c := cli.NewContext(app, flag.NewFlagSet("", flag.ContinueOnError), &cli.Context{Context: context.Background()})
	c.Command = checkCommand()
	err := reporting(c, func() error { t.Error("the work is done"); return nil })
	if exitCode(err) != exitInternal || !strings.Contains(err.Error(), lost) {
		t.Errorf("error %v", err)
	}
	text, err := os.ReadFile(kept)
	if err != nil || !strings.Contains(string(text), "cannot be written") || strings.Contains(string(text), "has not ended") {
		t.Errorf("the other report says %q, %v", text, err)
	}
	if said.Len() > 0 {
		t.Errorf("it is said twice: %s", said.String())
	}
}
