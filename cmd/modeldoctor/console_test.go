package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProgressLines: where stderr is no terminal a task begins with a line, and the
// epochs that follow at once are not told one by one.
func TestProgressLines(t *testing.T) {
	var stderr bytes.Buffer
	con := newConsole(&stderr, false)
	images := con.counting("images")
	images("cache", 0, 200)
	images("cache", 200, 200)
	for range 3 {
		images("epoch", 0, 160)
		images("epoch", 120, 160)
	}
	con.progress("1/4 loss", 1, 8)
	con.finish()
	con.progress("1/4 loss", 1, 8)
	want := "modeldoctor: cache: 0/200 images (0 %)\nmodeldoctor: epoch: 0/160 images (0 %)\nmodeldoctor: 1/4 loss (12 %)\nmodeldoctor: 1/4 loss (12 %)\n"
	if got := stderr.String(); got != want {
		t.Errorf("lines %q, want %q", got, want)
	}
	if got, want := con.reached(), "1/4 loss (12 %)"; got != want {
		t.Errorf("reached %q, want %q", got, want)
	}
	images("epoch", 120, 160)
	if got, want := con.reached(), "epoch: 120/160 images (75 %)"; got != want {
		t.Errorf("reached %q, want %q", got, want)
	}
}

// TestPace: the rate is that since the task was first told of, and so is the time left.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		task    task
		elapsed time.Duration
		want    string
	}{
		{task{unit: "images", total: 100}, 5 * time.Second, ""},
		{task{unit: "images", done: 50, total: 150}, 5 * time.Second, ", 10 images/s, 10s left"},
		{task{unit: "runs", done: 2, first: 1, total: 4}, time.Minute, ", 0.0167 runs/s, 2m0s left"},
		{task{done: 30, total: 120}, 30 * time.Second, ", 1m30s left"},
		{task{done: 120, total: 120}, 30 * time.Second, ", 0s left"},
	} {
		if got := c.task.pace(c.elapsed); got != c.want {
			t.Errorf("%+v after %v: %q, want %q", c.task, c.elapsed, got, c.want)
		}
	}
}

// TestBar: a terminal is shown the phase, the count and the unit.
func TestBar(t *testing.T) {
	var stderr bytes.Buffer
	con := newConsole(&stderr, false)
	con.isTerm = true
	images := con.counting("images")
	images("epoch 1 of 2", 0, 160)
	time.Sleep(150 * time.Millisecond) // more often it is not drawn
	images("epoch 1 of 2", 40, 160)
	con.finish()
	for _, want := range []string{"epoch 1 of 2", "25%", "40/160"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q is missing in %q", want, stderr.String())
		}
	}
}

// TestNamesAreHarmless: whatever names hold, no line of stderr has a control character
// or one that turns the writing around.
func TestNamesAreHarmless(t *testing.T) {
	const name = "e\x1b[31m\n\u202e\u009bvil"
	var said strings.Builder
	c := newConsole(&said, false)
	c.warn("about %s", name)
	c.say("about %s", name)
	c.progress(name, 1, 2)
	folder := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Skip(err)
	}
	model := filepath.Join("..", "..", "fixtures", "vit-cifar100", "model.onnx")
	for _, args := range [][]string{{"check", "--data", folder, model}, {"check", name}, {"check", "--" + name}, {"check", "--config", name, model}, {name}} {
		if code := run(t.Context(), append([]string{"modeldoctor"}, args...), io.Discard, &said); code == exitOK {
			t.Errorf("%q succeeds", args)
		}
	}
	if n := strings.Count(said.String(), "vil"); n < 8 {
		t.Errorf("only %d lines quote the name:\n%s", n, said.String())
	}
	for line := range strings.Lines(said.String()) {
		if !strings.HasPrefix(line, "modeldoctor: ") || strings.ContainsAny(line, "\x1b\u202e\u009b") {
			t.Errorf("line %q", line)
		}
	}
}

// TestOneLine: of what is not printed only that stays which writing needs.
func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\r\n\tb":            "a b",
		"\u202eexe.gnp\u2066": "\ufffdexe.gnp\ufffd",
		"می\u200cخواهم, क्\u200dष, 猫": "می\u200cخواهم, क्\u200dष, 猫",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
