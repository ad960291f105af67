package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

// comparison has a row of every kind: over three seeds, of one run, stopped,
// failed, and with a name that is markup.
func comparison(t *testing.T) *Compare {
	blocks := []string{"embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5", "head"}
	run := func(seed uint64, loss, wrong, ece, gain, seconds float64, accepted bool) *FixFile {
		interval := [2]float64{gain - 0.02, gain + 0.02}
		return &FixFile{Run: CompareRun{
			Seed: seed, Loss: &loss, Error: &wrong, ECE: &ece, Gain: &gain, GainCI95: &interval,
			SecondsPerEpoch: seconds, PeakBytes: 412_000_000 + int64(seed), ResidentBytes: 500_000_000, Accepted: accepted,
		}}
	}
	row := func(recipe string, perturb, update []string, files ...*FixFile) CompareRow {
		r := CompareRow{Recipe: recipe}
		for _, f := range files {
			f.Perturb, f.Update = perturb, update
			r.Add(f)
		}
		return r
	}
	f := written(t)
	c := &Compare{
		Model: f.Model, Data: f.Data, Seeds: []uint64{0, 1, 2}, Before: metric.Figures{Loss: 4.5937, Error: 0.821, ECE: 0.3463},
		Rows: []CompareRow{
			row("sgd", nil, blocks, run(0, 4.22, 0.803, 0.3, 0.37, 61.2, true), run(1, 4.18, 0.801, 0.31, 0.41, 63.1, true), run(2, 4.2, 0.8, 0.305, 0.39, 62, true)),
			row("sam", blocks, blocks, run(0, 4.05, 0.8, 0.28, 0.54, 130.4, true), run(1, 4.04, 0.79, 0.27, 0.55, 128.1, true), run(2, 4.04, 0.8, 0.275, 0.55, 129.2, true)),
			row("pof", blocks[7:], blocks[:7], run(0, 4.5, 0.82, 0.33, 0.09, 99.94, true), run(1, 4.6, 0.822, 0.35, -0.01, 100.1, false), run(2, 4.51, 0.819, 0.34, 0.08, 99.9, true)),
			row("pol", blocks[:1], blocks[7:], run(0, 4.615, 0.8205, 0.35, -0.021, 12.1, false)),
			row("temperature", nil, nil, run(0, 3.4663, 0.821, 0.0428, 1.1274, 0, true)),
			{Recipe: "a|b*\x1b[31m", Failed: "exit status 3: model.onnx cannot be read"},
		},
		Provenance: f.Provenance,
	}
	diverged := &FixFile{Perturb: blocks[:1], Update: blocks[7:], Run: CompareRun{Seed: 1, PeakBytes: 1, Stopped: "epoch 1, after 3 steps: the loss of a batch is not finite"}, CacheBytes: 1_254_400_000, CacheInFile: true}
	c.Rows[3].Add(diverged)
	c.Provenance.Seconds = 4021
	return c
}

// comparisonOnce is a comparison with one seed, whose table has room for the
// layers.
func comparisonOnce(t *testing.T) *Compare {
	c := comparison(t)
	c.Seeds = c.Seeds[:1]
	rows := c.Rows[:0]
	for _, r := range c.Rows {
		if len(r.Runs) == 0 {
			continue
		}
		one := CompareRow{Recipe: r.Recipe}
		one.Add(&FixFile{Perturb: r.Perturb, Update: r.Update, Run: r.Runs[0], CacheBytes: 36_864_000})
		rows = append(rows, one)
	}
	c.Rows = rows
	return c
}

// comparisonFailed is one in which nothing could be run.
func comparisonFailed(t *testing.T) *Compare {
	c := comparisonOnce(t)
	c.Rows = []CompareRow{{Recipe: "pol", Failed: "no layer's recoverable loss is above zero for sure"}}
	return c
}

func comparisons(t *testing.T) map[string]*Compare {
	return map[string]*Compare{"compare": comparison(t), "compare-once": comparisonOnce(t), "compare-failed": comparisonFailed(t)}
}

func TestCompareGoldenFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer) error{}
	for name, c := range comparisons(t) {
		files[name+".txt"] = func(b *bytes.Buffer) error { return CompareText(b, c, Style{}) }
		files[name+".json"] = func(b *bytes.Buffer) error { return CompareJSON(b, c) }
		files[name+".md"] = func(b *bytes.Buffer) error { return CompareMarkdown(b, c) }
	}
	checkGolden(t, files)
}

func TestCompareWidth(t *testing.T) {
	for name, c := range comparisons(t) {
		var text bytes.Buffer
		if err := CompareText(&text, c, Style{}); err != nil {
			t.Fatal(err)
		}
		checkWidth(t, name, text.String())
	}
}

// TestCompareMarkdown: every row has as many cells as the titles, whatever names
// hold.
func TestCompareMarkdown(t *testing.T) {
	var text bytes.Buffer
	if err := CompareMarkdown(&text, comparison(t)); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		rows++
		if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); n != 9 {
			t.Errorf("%d bars, want 9: %s", n, line)
		}
	}
	if rows != 9 {
		t.Errorf("%d rows, want 9", rows)
	}
}

// TestLayerPath: lists of layers are short.
func TestLayerPath(t *testing.T) {
	many := []string{"embed", "blocks.0", "blocks.1", "head"}
	for _, c := range []struct {
		perturb, update []string
		want            string
	}{
		{nil, nil, "–"}, {nil, many, "embed to head"}, {many, many, "embed to head"}, {many[3:], many[:3], "head → embed, blocks.0, blocks.1"},
		{many[:1], many[:1], "embed → embed"}, {many[:1], many[3:], "embed → head"}, {many[3:], many, "head → embed to head"},
	} {
		if got := layerPath(c.perturb, c.update); got != c.want {
			t.Errorf("%v, %v: %s, want %s", c.perturb, c.update, got, c.want)
		}
	}
}

// TestLowest: what is said to be lowest is, and only if it is lower than what
// was there.
func TestLowest(t *testing.T) {
	c := comparison(t)
	if got := c.lowest(); got != "lowest hold-out loss: temperature, 3.466" {
		t.Error(got)
	}
	c.Rows = c.Rows[3:4]
	if got := c.lowest(); got != "no recipe lowers the hold-out loss" {
		t.Error(got)
	}
	c.Rows = nil
	if got := c.lowest(); got != "no recipe has come to a figure" {
		t.Error(got)
	}
}
