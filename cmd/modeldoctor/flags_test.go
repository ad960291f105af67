package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

func TestFlagsFirst(t *testing.T) {
	app := newApp(io.Discard, io.Discard)
	for _, c := range []struct{ args, want string }{
		{"check a.onnx --data d --quiet", "check --data d --quiet -- a.onnx"},
		{"check --quiet a.onnx --data=d", "check --quiet --data=d -- a.onnx"},
		{"check -q -- --odd", "check -q -- --odd"},
		{"check a.onnx --data", "check --data"},
		{"check a.onnx -h", "check -h"},
		{"nonsense a --b", "nonsense a --b"},
		{"", ""},
	} {
		got := flagsFirst(app, append([]string{"modeldoctor"}, strings.Fields(c.args)...))
		if want := append([]string{"modeldoctor"}, strings.Fields(c.want)...); !slices.Equal(got, want) {
			t.Errorf("%q becomes %q, want %q", c.args, got[1:], want[1:])
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"4GiB": 4 << 30, "512MB": 512e6, "1.5g": 3 << 29, " 64 kib ": 64 << 10, "100": 100, "7B": 7,
	} {
		if got, err := parseBytes("memory", text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1GB", "GiB", "nan", "9999TiB", "1 2", "0x"} {
		if got, err := parseBytes("memory", text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

// TestWithinMachine: what is taken by default leaves room in a small container.
func TestWithinMachine(t *testing.T) {
	for usable, want := range map[int64]int64{0: 4 << 30, 64 << 30: 4 << 30, 4 << 30: 3 << 30, 100e6: 75e6} {
		if got := withinMachine(4<<30, usable); got != want {
			t.Errorf("of %d bytes %d are taken, want %d", usable, got, want)
		}
	}
}

func TestClosest(t *testing.T) {
	names := []string{"check", "inspect", "probe", "explain", "version"}
	for mistyped, want := range map[string]string{"chek": "check", "insepct": "inspect", "explian": "explain", "x": "", "train": ""} {
		if got := closest(mistyped, names); got != want {
			t.Errorf("%q is close to %q, want %q", mistyped, got, want)
		}
	}
}

// TestExitCode: every kind of error has its exit code, through any wrapping, is
// one line, and says what to do.
func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{usage("wrong"), exitUsage},
		{&onnx.FormatError{Msg: "cut short", Advice: "copy it again"}, exitUnreadable},
		{&graph.Error{Msg: "two inputs", Help: "export again"}, exitUnreadable},
		{&dataset.Error{Msg: "no images", Hint: "add some"}, exitUnreadable},
		{unreadable(errors.New("a\nname"), "rename it"), exitUnreadable},
		{context.DeadlineExceeded, exitTimeout},
		{&failure{code: exitTimeout, msg: "late", hint: "wait", err: context.DeadlineExceeded}, exitTimeout},
		{unwritable(fs.ErrPermission), exitInternal},
		{&fs.PathError{Op: "write", Path: "/tmp/x", Err: fs.ErrPermission}, exitInternal},
		{errors.New("unforeseen"), exitInternal},
	} {
		err := fmt.Errorf("wrapped: %w", c.err)
		if got := exitCode(err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
		if text := message(err); strings.Contains(text, "\n") || text == "" {
			t.Errorf("%v: message %q, want one line", c.err, text)
		}
		if hintOf(err) == "" {
			t.Errorf("%v: no hint", c.err)
		}
	}
	for want, err := range map[int]error{exitOK: nil, exitFailed: errReported, exitInterrupted: fmt.Errorf("stopped: %w", context.Canceled)} {
		if got := exitCode(err); got != want {
			t.Errorf("%v: exit code %d, want %d", err, got, want)
		}
	}
}
