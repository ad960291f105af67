package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// completionScript is what `modeldoctor completion SHELL` prints, in a file.
func completionScript(t *testing.T, shell string) string {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		t.Skipf("no %s here", shell)
	}
	var b strings.Builder
	for _, s := range shells {
		if s.name == shell {
			s.write(&b, completions(newApp(io.Discard, io.Discard)))
		}
	}
	path := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestBashCompletion completes command lines, whose words are as bash divides them.
func TestBashCompletion(t *testing.T) {
	script := completionScript(t, "bash")
	for _, c := range []struct {
		words []string // the last one is completed
		has   []string
		hasNo string
	}{
		{[]string{"modeldoctor", ""}, []string{"check", "fix", "completion"}, "--data"},
		{[]string{"modeldoctor", "co"}, []string{"compare", "config", "completion"}, "check"},
		{[]string{"modeldoctor", "check", "--fail"}, []string{"--fail-on"}, "--data"},
		{[]string{"modeldoctor", "check", "--fail-on", ""}, []string{"error", "warning", "never"}, "check"},
		{[]string{"modeldoctor", "check", "--fail-on", "=", "ne"}, []string{"never"}, "error"},
		{[]string{"modeldoctor", "check", "--fail-on", "="}, []string{"error", "warning", "never"}, "check"},
		{[]string{"modeldoctor", "compare", "--recipes", "sgd,p"}, []string{"sgd,pof", "sgd,pol"}, "pol"},
		{[]string{"modeldoctor", "check", "--preprocess", "image"}, []string{"imagenet"}, "mnist"},
		{[]string{"modeldoctor", "fix", "--epochs", ""}, nil, "completion"},
		{[]string{"modeldoctor", "explain", "MD00"}, []string{"MD001"}, "kappa"},
		{[]string{"modeldoctor", "config", "s"}, []string{"show"}, "init"},
		{[]string{"modeldoctor", "check", "compl"}, []string{"completion"}, "check"}, // the script's own file
		{[]string{"modeldoctor", "check", "--data", "compl"}, []string{"completion"}, "check"},
	} {
		run := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _modeldoctor; printf '%s\n' "${COMPREPLY[@]}"`
		command := exec.Command("bash", append([]string{"--norc", "-c", run, "bash", script}, c.words...)...)
		command.Dir = filepath.Dir(script)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v: %s", c.words, err, out)
		}
		got := strings.Fields(string(out))
		for _, want := range c.has {
			if !slices.Contains(got, want) {
				t.Errorf("%q: %q is missing in %q", c.words, want, got)
			}
		}
		if slices.Contains(got, c.hasNo) {
			t.Errorf("%q: %q is among %q", c.words, c.hasNo, got)
		}
	}
}

// TestFishCompletion asks fish itself.
func TestFishCompletion(t *testing.T) {
	script := completionScript(t, "fish")
	for line, want := range map[string]string{
		"modeldoctor che":                "check",
		"modeldoctor check --fail-on ne": "never",
		"modeldoctor fix --over":         "--overwrite",
		"modeldoctor completion z":       "zsh",
	} {
		command := exec.Command("fish", "--no-config", "-c", `source $argv[1]; complete -C $argv[2]`, script, line)
		command.Env = append(os.Environ(), "HOME="+t.TempDir())
		if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v: %q is missing in %q", line, err, want, out)
		}
	}
}

// TestZshCompletion has zsh read the script, and complete the commands and some flags, on a
// terminal of its own.
func TestZshCompletion(t *testing.T) {
	script := completionScript(t, "zsh")
	driver := filepath.Join(filepath.Dir(script), "driver")
	if err := os.WriteFile(driver, []byte(zshDriver), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"modeldoctor chec":                  "check",
		"modeldoctor check --fail-on nev":   "never",
		"modeldoctor fix --overw":           "--overwrite",
		"modeldoctor compare --recipes sg":  "sgd",
		"modeldoctor check --granularity=m": "module",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it waits for ever where nothing comes
		out, err := exec.CommandContext(ctx, "zsh", "-f", driver, script, line).CombinedOutput()
		cancel()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v: %q is missing in %q", line, err, want, out)
		}
	}
}

// zshDriver types a line and a tabulator into a zsh on a pseudo-terminal, and prints the
// line as it is then.
const zshDriver = `zmodload zsh/zpty
zpty z "TERM=dumb zsh -f -i"
zpty -w z 'PROMPT=; RPROMPT=; unsetopt zle_bracketed_paste 2>/dev/null; autoload -U compinit; compinit -D -u; source '$1
zpty -w z 'show() { print -r -- "<<$BUFFER>>"; zle kill-whole-line }; zle -N show; bindkey "^X" show; print -r -- re""ady'
zpty -r z line '*ready*'
zpty -n -w z "$2"$'\t\x18'
zpty -r z line '*<<*>>*' && print -r -- "$line"
zpty -d z
`
