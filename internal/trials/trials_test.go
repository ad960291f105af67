package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"
)

// playing is the variable that makes the test program play modeldoctor.
const playing = "TRIALS_TEST_PLAYS_MODELDOCTOR"

func TestMain(m *testing.M) {
	if os.Getenv(playing) == "" {
		os.Exit(m.Run())
	}
	os.Exit(play(os.Args[1:]))
}

// play is modeldoctor as far as trials needs it: a treatment mends 30 answers, three more
// with label smoothing, and a model called broken is none.
func play(args []string) int {
	after := func(flag string) string {
		i := slices.Index(args, flag)
		return append(args, "", "")[i+1]
	}
	switch {
	case after("--") == "broken.onnx":
		fmt.Fprintln(os.Stderr, "modeldoctor: warning: it is cold\nmodeldoctor: error: broken.onnx: not a model")
		return 3
	case !slices.Contains(args, "--trial") || after("--device") != "nowhere":
		fmt.Fprintln(os.Stderr, "modeldoctor: error: no treatment of this kind")
		return 2
	}
	mended := 30
	if strings.HasPrefix(after("--loss"), "smooth") {
		mended += 3
	}
	f := treated(1800, mended)
	f.Recipe.Hyperparameters.Goal = after("--goal")
	if err := report.Write(os.Stdout, f, "json", report.Style{}); err != nil {
		return 5
	}
	return 1
}

// treated is a report of a treatment that has mended the first answers of n, which were
// all wrong, and lowered all losses a little.
func treated(n, mended int) *report.Fix {
	var im pol.Images
	for i := range n {
		loss := 2 + math.Sin(float64(i))
		im.Before, im.Temperature = append(im.Before, loss), append(im.Temperature, 0.9*loss)
		im.After, im.Own = append(im.After, 0.8*loss), append(im.Own, 0.8*loss)
		wrong := 1.0
		if i < mended {
			wrong = 0
		}
		im.WrongBefore, im.WrongAfter = append(im.WrongBefore, 1), append(im.WrongAfter, wrong)
	}
	gain, drop := metric.PairedDrop(im.Before, im.After), metric.PairedDrop(im.WrongBefore, im.WrongAfter)
	f := report.NewFix(&pol.Result{Holdout: n, Gain: &gain, ErrorDrop: &drop, Mended: mended, TrainedAt: 1, After: &metric.Figures{Loss: 1, Error: 0.5}, Images: im})
	f.Images, f.Data.Holdout.N = report.NewHoldoutImages(im), n
	return f
}

// TestRun makes both experiments with a program that only plays, and one model that it
// refuses.
func TestRun(t *testing.T) {
	t.Setenv(playing, "1")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "found.json")
	var out, log bytes.Buffer
	err = run(t.Context(), []string{
		"-program", program, "-only", "error,worse", "-jobs", "3", "-seeds", "2", "-settings", "smooth,pof", "-json", file,
		"good=good.onnx@train[:9]", "bad=broken.onnx@train", "--", "--device", "nowhere",
	}, &out, &log)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| sgd | -1.7 ± 0.6 | – | -0.200 ± 0.003 |", // 30 of 1,800, and a tenth of 2
		"| sgd + smooth:0.1 | -1.8 ± 0.6 | -0.2 ± 0.2 from sgd |",
		"| sgd | failed: exit status 3: modeldoctor: error: broken.onnx: not a model |",
		"| sgd | 1 of 1 | 1 |",
		"| good | pof | 16 | 0 | 16 | 0 | 0 | 0 | 0 |",
		"| bad | pof | 16 | 16 | 0 | 0 | 0 | 0 | 0 |",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %s in\n%s", line, out.String())
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Error, Worse []map[string]any }
	if err := json.Unmarshal(text, &found); err != nil || len(found.Error) != 4 || len(found.Worse) != 2*2*8 {
		t.Errorf("%d and %d entries (%v)", len(found.Error), len(found.Worse), err)
	}
	if n := strings.Count(log.String(), "\n"); n != 2+2*4+len(found.Worse) { // no layers for pol, twice
		t.Errorf("the log has %d lines", n)
	}
}

// TestAllFail: tables of nothing are no success.
func TestAllFail(t *testing.T) {
	t.Setenv(playing, "1")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	err = run(t.Context(), []string{"-program", program, "-settings", "smooth", "bad=broken.onnx@train"}, &out, &log)
	if err == nil || !strings.Contains(err.Error(), "every run has failed") {
		t.Errorf("error %v", err)
	}
}

// TestBudget: without time no run is begun, and that is said of each.
func TestBudget(t *testing.T) {
	var out, log bytes.Buffer
	err := run(t.Context(), []string{"-program", "absent", "-budget", "1ns", "-settings", "margin", "a=a.onnx@train"}, &out, &log)
	if err != nil || strings.Count(out.String(), "failed: not begun: no time was left") != 2 {
		t.Errorf("error %v, printed\n%s", err, out.String())
	}
}

func TestRefusals(t *testing.T) {
	for want, args := range map[string][]string{
		"no case":                           {"-jobs", "2"},
		"expected a case":                   {"model.onnx"},
		"at least 1":                        {"-jobs", "0", "a=b@c"},
		`there is no experiment "accuracy"`: {"-only", "accuracy", "a=b@c"},
	} {
		var out, log bytes.Buffer
		if err := run(t.Context(), args, &out, &log); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", args, err, want)
		}
	}
	if c, err := parseCase("a=dir@1/m.onnx@train[:5]"); err != nil || c != (subject{"a", "dir@1/m.onnx", "train[:5]"}) {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestDivisions: V and the rest share no image, and every V is another.
func TestDivisions(t *testing.T) {
	seen := map[int]bool{}
	for _, d := range divisions() {
		var v, w, lo, hi int
		if _, err := fmt.Sscanf(d.val+d.rest, "test[%d:%d]test[%d:%d]", &v, &w, &lo, &hi); err != nil {
			t.Fatal(err)
		}
		if w-v != worseVal || hi-lo != worseRest || lo < 0 || max(w, hi) > testImages || lo < w && v < hi || seen[v] {
			t.Errorf("%+v", d)
		}
		seen[v] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d divisions", len(seen))
	}
}

// TestJudge: a third of the images decides as fix would on them alone, and the drops are
// of the others.
func TestJudge(t *testing.T) {
	f := treated(1800, 9) // all of them in the first third
	f.Recipe.Hyperparameters.Goal = "error"
	for third, accepted := range []bool{true, false, false} {
		var j judgment
		j.judge(&task{fix: f}, third)
		want := 9.0 / 1200
		if third == 0 {
			want = 0
		}
		if j.Accepted != accepted || j.Fresh != 1200 || math.Abs(j.Error.Mean-want) > 1e-12 || j.worse() {
			t.Errorf("third %d: %+v", third, j)
		}
	}
	// Fresh images that are worse off in what was to be lowered.
	for i := range 600 {
		f.Images.After[600+i] = f.Images.Before[600+i] + 1
		f.Images.WrongAfter[1200+i], f.Images.WrongBefore[1200+i] = 1, 0
	}
	var j judgment
	j.judge(&task{fix: f}, 0)
	if !j.Accepted || !j.worse() || !j.harmful() || math.Abs(j.Error.Mean+0.5) > 1e-12 {
		t.Errorf("%+v", j)
	}
	f.Recipe.Hyperparameters.Goal = "loss"
	j = judgment{}
	j.judge(&task{fix: f}, 0)
	if j.Loss.Mean >= 0 || !j.worse() || !(j.Beyond.Mean < j.Loss.Mean) {
		t.Errorf("%+v", j)
	}
}

// TestLowers: one test is at 1.96 standard errors, and twenty at 3.02.
func TestLowers(t *testing.T) {
	for _, c := range []struct {
		mean  float64
		tests int
		want  bool
	}{{-1.95, 1, false}, {-1.97, 1, true}, {-3.01, 20, false}, {-3.03, 20, true}, {3, 1, false}} {
		contrast := &pol.Contrast{Estimate: metric.NormalEstimate(c.mean, 1)}
		if lowers(contrast, c.tests) != c.want {
			t.Errorf("%+v", c)
		}
	}
}
