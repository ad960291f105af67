package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/report"
)

// fixture is a model whose preprocessing lies beside it.
var fixture = filepath.Join("..", "..", "fixtures", "vit-cifar100", "model.onnx")

// modeldoctor runs the program, and returns its exit status and what it has printed.
func modeldoctor(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(ctx, append([]string{"modeldoctor"}, args...), &out, &err)
	return code, out.String(), err.String()
}

// isFailure reports whether a file in JSON says that there is no report.
func isFailure(text []byte) bool {
	var failure report.Failure
	return json.Unmarshal(text, &failure) == nil && failure.Verdict == report.Errored && failure.Error != ""
}

// mustRun is modeldoctor where the exit status is known.
func mustRun(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := modeldoctor(t.Context(), args...)
	if code != want {
		t.Fatalf("%v: exit status %d, want %d:\n%s%s", args, code, want, stdout, stderr)
	}
	return stdout, stderr
}

// share measures one share of the fixture.
func share(t *testing.T, parts string, i, n int, more ...string) (stdout string) {
	t.Helper()
	args := append([]string{"check", "-q", "--config", "none", "--samples", "40", "--parts", parts, "--shard", fmt.Sprintf("%d/%d", i, n)}, more...)
	stdout, _ = mustRun(t, exitOK, append(args, fixture)...)
	return stdout
}

// withoutProvenance is a report in JSON but for its provenance.
func withoutProvenance(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(text), "\n  \"provenance\": {")
	_, after, closed := strings.Cut(after, "\n  }")
	if !ok || !closed {
		t.Fatalf("%s has no provenance", path)
	}
	return before + after
}

// TestMerge: the report that is merged is that of one machine, byte for byte but for its
// provenance, with the same exit status, however many share the work, whatever a layer is.
func TestMerge(t *testing.T) {
	for _, c := range []struct {
		granularity string
		machines    []int
		check       []string // flags of check
		merge       []string // flags of merge, that the check of one machine has, too
	}{
		{"block", []int{1, 2, 3, 8}, nil, []string{"--per-image"}},
		{"block", []int{3}, []string{"--direction", "balanced", "--calibration", "none"}, []string{"--fail-on", "warning", "--threshold", "0.02", "--rule", "MD006=error"}},
		{"block", []int{9}, []string{"--layers", "blocks.*,head"}, []string{"--fail-on", "never"}},
		{"module", []int{1, 2, 3, 8}, nil, nil},
		{"tensor", []int{1, 2, 3, 8}, nil, nil},
	} {
		if testing.Short() && c.granularity != "block" {
			continue
		}
		dir := t.TempDir()
		one, merged := filepath.Join(dir, "one.json"), filepath.Join(dir, "merged.json")
		flags := append([]string{"--granularity", c.granularity}, c.check...)
		single := append([]string{"check", "-q", "--config", "none", "--samples", "40", "--format", "text,json=" + one}, append(flags, c.merge...)...)
		code, text, _ := modeldoctor(t.Context(), append(single, fixture)...)
		for _, n := range c.machines {
			parts := filepath.Join(dir, strconv.Itoa(n))
			for _, i := range rand.Perm(n) {
				share(t, parts, i+1, n, flags...)
			}
			again, _ := mustRun(t, code, append([]string{"merge", "-q", "--config", "none", "--format", "text,json=" + merged, parts}, c.merge...)...)
			if got, want := withoutProvenance(t, merged), withoutProvenance(t, one); got != want {
				t.Errorf("%v, %d machines: %s, want %s", flags, n, got, want)
			}
			// The last line ends in the time.
			if got, want := again[:strings.LastIndex(again, "exit status")], text[:strings.LastIndex(text, "exit status")]; got != want {
				t.Errorf("%v, %d machines:\n%s, want\n%s", flags, n, got, want)
			}
		}
	}
}

// TestMergeBaseline: the baseline is compared with as one machine would.
func TestMergeBaseline(t *testing.T) {
	dir := t.TempDir()
	base, one, merged, parts := filepath.Join(dir, "base.json"), filepath.Join(dir, "one.json"), filepath.Join(dir, "merged.json"), filepath.Join(dir, "parts")
	common := []string{"-q", "--config", "none"}
	images := []string{"--samples", "40", fixture}
	modeldoctor(t.Context(), append(append([]string{"check", "--per-image", "--format", "json=" + base}, common...), images...)...)
	code, _, _ := modeldoctor(t.Context(), append(append([]string{"check", "--baseline", base, "--fail-on-new", "--format", "json=" + one}, common...), images...)...)
	share(t, parts, 1, 2)
	share(t, parts, 2, 2)
	mustRun(t, code, append([]string{"merge", "--baseline", base, "--fail-on-new", "--format", "json=" + merged, parts}, common...)...)
	if got, want := withoutProvenance(t, merged), withoutProvenance(t, one); got != want || !strings.Contains(got, `"same_images": true`) {
		t.Errorf("%s, want %s", got, want)
	}
}

// edited writes a part with something changed in it.
func edited(t *testing.T, from, to string, change func(part *report.CheckPart)) {
	t.Helper()
	part, err := openPart(from)
	if err != nil {
		t.Fatal(err)
	}
	change(part)
	if err := writePart(to, part); err != nil {
		t.Fatal(err)
	}
}

// TestBadParts: whatever is wrong with parts is named, all of it, and nothing is written.
func TestBadParts(t *testing.T) {
	good := t.TempDir()
	for i := range 3 {
		share(t, good, i+1, 3)
	}
	share(t, filepath.Join(good, "other"), 2, 3, "--direction", "balanced", "--no-fuse")
	part := func(i int) string { return filepath.Join(good, fmt.Sprintf("part-%d-of-3.json", i)) }
	for name, c := range map[string]struct {
		change func(dir string) // a folder with the three parts
		want   []string
	}{
		"two missing": {func(dir string) {
			os.Remove(filepath.Join(dir, "part-1-of-3.json"))
			os.Remove(filepath.Join(dir, "part-3-of-3.json"))
		}, []string{"part 1 of 3 is missing", "part 3 of 3 is missing"}},
		"none": {func(dir string) {
			for i := range 3 {
				os.Remove(filepath.Join(dir, fmt.Sprintf("part-%d-of-3.json", i+1)))
			}
		}, []string{"there is no part in it"}},
		"twice": {func(dir string) {
			edited(t, part(2), filepath.Join(dir, "copy.json"), func(*report.CheckPart) {})
		}, []string{"is part 2 of 3, and so is"}},
		"of another check": {func(dir string) {
			edited(t, filepath.Join(good, "other", "part-2-of-3.json"), filepath.Join(dir, "part-2-of-3.json"), func(*report.CheckPart) {})
		}, []string{"part-2-of-3.json (part 2 of 3) is of another check than the others", "its direction is balanced, and theirs line", "its fused kernels is false", "part 2 of 3 is missing"}},
		"other images and model": {func(dir string) {
			edited(t, part(3), filepath.Join(dir, "part-3-of-3.json"), func(p *report.CheckPart) {
				p.Identity["images"], p.Identity["model"] = "one", "two"
			})
		}, []string{"its images is one", "its model is two"}},
		"unfinished": {func(dir string) {
			edited(t, part(1), filepath.Join(dir, "part-1-of-3.json"), func(p *report.CheckPart) { p.Complete = false })
		}, []string{"part-1-of-3.json (part 1 of 3) is unfinished"}},
		"the same layers under another number": {func(dir string) {
			edited(t, part(1), filepath.Join(dir, "part-3-of-3.json"), func(p *report.CheckPart) { p.Shard = 3 })
		}, []string{"part-3-of-3.json (part 3 of 3) does not fit the others: layer embed is measured twice"}},
		"other figures": {func(dir string) {
			edited(t, part(3), filepath.Join(dir, "part-3-of-3.json"), func(p *report.CheckPart) { p.Findings.Temperature = 1.5 })
		}, []string{"the temperature is ", "and 1.5"}},
		"layers left out": {func(dir string) {
			edited(t, part(3), filepath.Join(dir, "part-3-of-3.json"), func(p *report.CheckPart) {
				for i := range p.Findings.Layers {
					p.Findings.Layers[i].Measured = false
				}
			})
		}, []string{"layers are missing though all parts are there: blocks.4, blocks.5, head"}},
		"no part": {func(dir string) {
			os.WriteFile(filepath.Join(dir, "a.json"), []byte("{"), 0o644)
			os.WriteFile(filepath.Join(dir, "b.json"), []byte(`{"schema_version": 1, "layers": []}`), 0o644)
			edited(t, part(1), filepath.Join(dir, "c.json"), func(p *report.CheckPart) { p.Shard = 4 })
			edited(t, part(1), filepath.Join(dir, "d.json"), func(p *report.CheckPart) { p.Findings.Order[1] = p.Findings.Order[0] })
			edited(t, part(1), filepath.Join(dir, "e.json"), func(p *report.CheckPart) { p.Findings.N = 41 })
		}, []string{"a.json: no part", "b.json: no part", "c.json: the part's shard is 4 of 3", "d.json: the findings have example", "e.json: the findings have 40 losses"}},
		"damaged": {func(dir string) {
			path := filepath.Join(dir, "part-2-of-3.json")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := bytes.LastIndex(text, []byte(`"Mean": `)) + len(`"Mean": `)
			text[at+bytes.IndexAny(text[at:], "123456789")] = '0'
			os.WriteFile(path, text, 0o644)
		}, []string{"part-2-of-3.json: the part was damaged or edited", "part 2 of 3 is missing"}},
		"another version": {func(dir string) {
			for i := range 3 {
				edited(t, part(i+1), filepath.Join(dir, fmt.Sprintf("part-%d-of-3.json", i+1)), func(p *report.CheckPart) { p.Identity["version"] = "v0.0.1" })
			}
		}, []string{"the parts are of version v0.0.1, and this is "}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for i := range 3 {
				edited(t, part(i+1), filepath.Join(dir, fmt.Sprintf("part-%d-of-3.json", i+1)), func(*report.CheckPart) {})
			}
			c.change(dir)
			written := filepath.Join(t.TempDir(), "report.json")
			stdout, stderr := mustRun(t, exitUnreadable, "merge", "--config", "none", "--format", "text,json="+written, dir)
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("%s does not say %q", stderr, want)
				}
			}
			if text, err := os.ReadFile(written); err != nil || !isFailure(text) || stdout != "" {
				t.Errorf("the file holds %.200s (%v), and %q was printed", text, err, stdout)
			}
		})
	}
}

// TestInterruptedShare: a share that is interrupted goes on after its last finished layer,
// and one that is finished does nothing.
func TestInterruptedShare(t *testing.T) {
	dir := t.TempDir()
	parts, whole := filepath.Join(dir, "parts"), filepath.Join(dir, "whole")
	share(t, whole, 1, 1)
	unfinished := filepath.Join(parts, "part-1-of-1.json"+unfinishedSuffix)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(unfinished); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	args := []string{"check", "--config", "none", "--samples", "40", "--parts", parts, "--shard", "1/1", fixture}
	code, _, stderr := modeldoctor(ctx, args...)
	if code != exitInterrupted || !strings.Contains(stderr, "goes on after the layers that are measured") {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	// That of a check of other images is not gone on from.
	_, stderr = mustRun(t, exitUnreadable, "check", "--config", "none", "--samples", "41", "--parts", parts, "--shard", "1/1", fixture)
	if !strings.Contains(stderr, "is of another check than this: its images are others") {
		t.Error(stderr)
	}
	_, stderr = mustRun(t, exitOK, args...)
	if !strings.Contains(stderr, "going on from") || strings.Contains(stderr, ": 8 of 8 layers") {
		t.Error(stderr)
	}
	if _, err := os.Stat(unfinished); err == nil {
		t.Error("what was unfinished is still there")
	}
	finished := filepath.Join(parts, "part-1-of-1.json")
	if got, want := withoutProvenance(t, finished), withoutProvenance(t, filepath.Join(whole, "part-1-of-1.json")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	before, err := os.Stat(finished)
	if err != nil {
		t.Fatal(err)
	}
	stdout, _ := mustRun(t, exitOK, args...)
	if after, err := os.Stat(finished); err != nil || !after.ModTime().Equal(before.ModTime()) || !strings.Contains(stdout, "is there already: nothing to do") {
		t.Errorf("%v: %s", err, stdout)
	}
	_, stderr = mustRun(t, exitUnreadable, append(args, "--direction", "balanced")...)
	if !strings.Contains(stderr, "its direction is line, and this one's balanced") {
		t.Error(stderr)
	}
}

// TestShareTimeLimit: where the time limit comes first, the exit status says so, and no
// part is written.
func TestShareTimeLimit(t *testing.T) {
	parts := filepath.Join(t.TempDir(), "parts")
	_, stderr := mustRun(t, exitTimeout, "check", "-q", "--config", "none", "--samples", "40", "--timeout", "1ns", "--parts", parts, "--shard", "1/2", fixture)
	if _, err := os.Stat(filepath.Join(parts, "part-1-of-2.json")); err == nil || !strings.Contains(stderr, "time limit") {
		t.Errorf("%v: %s", err, stderr)
	}
}

// TestShareFlags: what is no share, what cannot be shared, and what belongs to merge.
func TestShareFlags(t *testing.T) {
	bare := filepath.Join(t.TempDir(), "bare.onnx") // without a file of preprocessing beside it
	text, err := os.ReadFile(fixture)
	if err == nil {
		err = os.WriteFile(bare, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--shard", "0/2", fixture}, `"0/2" is no share I of N`},
		{[]string{"--shard", "3/2", fixture}, `"3/2" is no share I of N`},
		{[]string{"--shard", "1/1000000000", fixture}, `is no share I of N`},
		{[]string{"--shard", "half", fixture}, `"half" is no share I of N`},
		{[]string{"--shard", "1/2", "--shards", "3", fixture}, "--shards is 3"},
		{[]string{"--shard", "auto", fixture}, "this is no task of an array job"},
		{[]string{"--dry-run", fixture}, "there is no --shard to plan"},
		{[]string{"--shard", "1/2", fixture, bare}, "2 models, and only one can be shared"},
		{[]string{"--shard", "1/2", "--samples", "40", bare}, "the preprocessing is neither named nor found"},
	} {
		args := append([]string{"check", "-q", "--config", "none", "--parts", t.TempDir()}, c.args...)
		if _, stderr := mustRun(t, exitUsage, args...); !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %s, want %q", c.args, stderr, c.want)
		}
	}
	parts := filepath.Join(t.TempDir(), "parts")
	stdout, stderr := mustRun(t, exitOK, "check", "-q", "--config", "none", "--samples", "40", "--parts", parts, "--shard", "2/3", "--dry-run", "--threshold", "0.1", fixture)
	for _, want := range []string{"part 1 of 3 ", "embed, blocks.0", "% of one machine's work", "as fast with 3"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%s does not say %q", stdout, want)
		}
	}
	if !strings.Contains(stderr, "--threshold has no effect on a share") {
		t.Error(stderr)
	}
	if _, err := os.Stat(parts); err == nil {
		t.Error("--dry-run has made a folder")
	}
}
