package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// treatedRun is the report of a treatment that compare reads.
func treatedRun(seed uint64, loss, wrong, ece, gain, seconds float64, accepted bool) *Fix {
	return &Fix{
		After: &Figures{Number(loss), Number(wrong), Number(ece)}, Gain: &Gain{Loss: Number(gain), CI95: [2]Number{Number(gain - 0.02), Number(gain + 0.02)}},
		SecondsPerEpoch: seconds, PeakBytes: 412_000_000 + int64(seed), Accepted: accepted,
		Own:        &FixTemperature{Value: 1.1, Loss: Number(loss - 0.1)},
		Images:     imagesAround(loss, wrong),
		Provenance: Provenance{Seed: seed, PeakBytes: 500_000_000},
	}
}

// imagesAround are a thousand images with a mean loss and error.
func imagesAround(loss, wrong float64) *HoldoutImages {
	i := &HoldoutImages{}
	for k := range 1000 {
		x := float64(k%7-3) / 3 // of mean 0, nearly
		if k >= 994 {
			x = 0
		}
		answer := func(share float64) float64 {
			if float64((k*37)%1000) < 1000*share {
				return 1
			}
			return 0
		}
		i.Before, i.After, i.Own = append(i.Before, 4.5937+x), append(i.After, loss+x+0.1*x*x-0.04), append(i.Own, loss-0.1+x)
		i.WrongBefore, i.WrongAfter = append(i.WrongBefore, answer(0.821)), append(i.WrongAfter, answer(wrong))
	}
	return i
}

// treatedRuns are some of a recipe's, which perturb and update the same layers.
type treatedRuns struct {
	recipe          string
	perturb, update []string
	runs            []*Fix
}

func (r *treatedRuns) row(runs []*Fix) CompareRow {
	for _, f := range runs {
		f.Recipe.Perturb, f.Recipe.Update = list(r.perturb), list(r.update)
	}
	return NewCompareRow(r.recipe, runs, "")
}

// comparedRecipes are over three seeds, of one run, stopped, and without a
// training.
func comparedRecipes() []treatedRuns {
	blocks := []string{"embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5", "head"}
	run := treatedRun
	return []treatedRuns{
		{"sgd", nil, blocks, []*Fix{run(0, 4.22, 0.803, 0.3, 0.37, 61.2, true), run(1, 4.18, 0.801, 0.31, 0.41, 63.1, true), run(2, 4.2, 0.8, 0.305, 0.39, 62, true)}},
		{"sam", blocks, blocks, []*Fix{run(0, 4.05, 0.8, 0.28, 0.54, 130.4, true), run(1, 4.04, 0.79, 0.27, 0.55, 128.1, true), run(2, 4.04, 0.8, 0.275, 0.55, 129.2, true)}},
		{"pof", blocks[7:], blocks[:7], []*Fix{run(0, 4.5, 0.82, 0.33, 0.09, 99.94, true), run(1, 4.6, 0.822, 0.35, -0.01, 100.1, false), run(2, 4.51, 0.819, 0.34, 0.08, 99.9, true)}},
		{"pol", blocks[:1], blocks[7:], []*Fix{run(0, 4.615, 0.8205, 0.35, -0.021, 12.1, false), {
			PeakBytes: 1, Stopped: "epoch 1, after 3 steps: the loss of a batch is not finite",
			Cache: Cache{Kept: Kept{1_254_400_000, keptInFile}}, Provenance: Provenance{Seed: 1},
		}}},
		{"temperature", nil, nil, []*Fix{run(0, 3.4663, 0.821, 0.0428, 1.1274, 0, true)}},
	}
}

// comparison has a row of every kind: those of comparedRecipes, one that failed,
// and one with a name that is markup.
func comparison(t *testing.T) *Compare {
	f := written(t)
	c := &Compare{Model: f.Model, Data: f.Data, Seeds: []uint64{0, 1, 2}, Before: &Figures{Loss: 4.5937, Error: 0.821, ECE: 0.3463}, Complete: true, Provenance: f.Provenance}
	for _, r := range comparedRecipes() {
		c.Rows = append(c.Rows, r.row(r.runs))
	}
	c.Rows = append(c.Rows, NewCompareRow("a|b*\x1b[31m", nil, "exit status 3: model.onnx cannot be read"))
	c.Judge()
	c.Provenance.Seconds = 4021
	return c
}

// comparisonOnce is a comparison with one seed, whose table has room for the
// layers.
func comparisonOnce(t *testing.T) *Compare {
	c := comparison(t)
	c.Seeds, c.Rows = c.Seeds[:1], nil
	for _, r := range comparedRecipes() {
		once := *r.runs[0]
		once.Cache.Kept = Kept{36_864_000, keptInMemory}
		c.Rows = append(c.Rows, r.row([]*Fix{&once}))
	}
	c.Judge()
	return c
}

// comparisonFailed is one in which nothing could be run, the untreated checkpoint
// included.
func comparisonFailed(t *testing.T) *Compare {
	c := comparisonOnce(t)
	c.Before = nil
	c.Rows = []CompareRow{NewCompareRow("pol", nil, "no layer's recoverable loss is significantly above zero")}
	c.Judge()
	return c
}

// comparisonStopped is one that the time limit cut short in its second recipe.
func comparisonStopped(t *testing.T) *Compare {
	c := comparison(t)
	c.Complete, c.Rows = false, nil
	for i, finished := range []int{3, 2, 0} {
		r := comparedRecipes()[i]
		row := r.row(r.runs[:finished])
		row.Unfinished = c.Seeds[finished:]
		c.Rows = append(c.Rows, row)
	}
	c.Judge()
	return c
}

func comparisons(t *testing.T) map[string]*Compare {
	return map[string]*Compare{"compare": comparison(t), "compare-once": comparisonOnce(t), "compare-failed": comparisonFailed(t), "compare-stopped": comparisonStopped(t)}
}

func TestCompareGoldenFiles(t *testing.T) {
	files := map[string]func(*bytes.Buffer) error{}
	for name, c := range comparisons(t) {
		files[name+".txt"] = func(b *bytes.Buffer) error { return Write(b, c, "text", Style{}) }
		files[name+".json"] = func(b *bytes.Buffer) error { return Write(b, c, "json", Style{}) }
		files[name+".md"] = func(b *bytes.Buffer) error { return Write(b, c, "markdown", Style{}) }
	}
	checkGolden(t, files)
}

// TestCompareWidth: no line is wider than the terminal, and every figure is there,
// however narrow that is.
func TestCompareWidth(t *testing.T) {
	all := comparisons(t)
	all["equivalent"] = comparison(t)
	for i := range all["equivalent"].Differences {
		all["equivalent"].Differences[i].Loss.Equivalent = true
	}
	for name, c := range all {
		for width := fewestColumns; width <= mostColumns; width++ {
			var text bytes.Buffer
			if err := Write(&text, c, "text", Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "\x1b") {
				t.Errorf("%s: an escape sequence of a name is printed", name)
			}
			for line := range strings.Lines(text.String()) {
				if n := columns(strings.TrimSuffix(line, "\n")); n > width {
					t.Errorf("%s: %d columns, want at most %d: %s", name, n, width, line)
				}
			}
			for _, row := range slices.Concat(c.table(), c.differences()[1:]) {
				for j, cell := range row {
					if words := strings.Fields(cell); len(words) > 0 && j != compareLayers && !strings.Contains(text.String(), cell) {
						t.Errorf("%s: %d columns: %q is missing", name, width, cell)
					}
				}
			}
		}
	}
}

// TestCompareMarkdown: every row has as many cells as the titles, whatever names
// hold.
func TestCompareMarkdown(t *testing.T) {
	var text bytes.Buffer
	if err := Write(&text, comparison(t), "markdown", Style{}); err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		rows++
		if n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); n != 11 && n != 7 {
			t.Errorf("%d bars, want 11, or 7 of a difference: %s", n, line)
		}
	}
	if want := 9 + 2 + 6; rows != want { // four recipes have figures of each image
		t.Errorf("%d rows, want %d", rows, want)
	}
}

// TestUnmeasured: what no run has measured is no figure in any format.
func TestUnmeasured(t *testing.T) {
	want := map[string]string{"text": "untreated  – ", "markdown": "| untreated | – | – | – | – |", "json": `"before": null`}
	for format, want := range want {
		var out bytes.Buffer
		if err := Write(&out, comparisonFailed(t), format, Style{}); err != nil {
			t.Fatal(err)
		}
		if s := out.String(); !strings.Contains(s, want) || strings.Contains(s, "0.000") || strings.Contains(s, "0.0 %") {
			t.Errorf("%s: want %q and no zero in\n%s", format, want, s)
		}
	}
}

// TestStopped: a comparison that was cut short says so, names the runs that are
// missing, and compares those that there are.
func TestStopped(t *testing.T) {
	c := comparisonStopped(t)
	for format, words := range map[string][]string{
		"text":     {"INCOMPLETE  model.onnx   5 of 9 runs finished", "sam (seed 2), pof (seeds 0, 1, 2)", "over the seeds that are finished", "sam − sgd"},
		"markdown": {"sam (seed 2), pof (seeds 0, 1, 2)", "sam − sgd"},
		"json":     {`"complete": false`, `"a": "sam"`},
	} {
		var out bytes.Buffer
		if err := Write(&out, c, format, Style{Width: 120}); err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(out.String(), word) {
				t.Errorf("%s lacks %q:\n%s", format, word, out.String())
			}
		}
	}
	if n := len(c.Differences); n != 1 {
		t.Errorf("%d differences, want that of the two recipes that have runs", n)
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
	if got := (comparisonEnd{c}).lowest(); got != "lowest hold-out loss: temperature, 3.466" {
		t.Error(got)
	}
	c.Rows = c.Rows[3:4]
	if got := (comparisonEnd{c}).lowest(); got != "no recipe lowers the hold-out loss" {
		t.Error(got)
	}
	c.Rows = nil
	if got := (comparisonEnd{c}).lowest(); got != "no recipe has come to a figure" {
		t.Error(got)
	}
}

// TestLossVerdict: a difference may be significant and too small to matter.
func TestLossVerdict(t *testing.T) {
	for want, c := range map[string]LossContrast{
		"lower":             {Contrast: Contrast{Difference: -0.1, Significant: true}},
		"higher":            {Contrast: Contrast{Difference: 0.1, Significant: true}},
		"equivalent":        {Contrast: Contrast{Difference: 0.001}, Equivalent: true},
		"lower, equivalent": {Contrast: Contrast{Difference: -0.01, Significant: true}, Equivalent: true},
		"undecided":         {Contrast: Contrast{Difference: 0.1}},
	} {
		if got := c.verdict(); got != want {
			t.Errorf("%+v: %s, want %s", c, got, want)
		}
	}
}

// TestMoreOf: of the runs of a recipe the one that kept most counts, and the slowest
// place.
func TestMoreOf(t *testing.T) {
	kept := []Kept{{0, keptNowhere}, {4, keptInMemory}, {3, keptOnHost}, {2, keptInFile}}
	for i, a := range kept {
		for j, b := range kept {
			if got, want := moreOf(a, b), (Kept{max(a.Bytes, b.Bytes), kept[max(i, j)].Where}); got != want {
				t.Errorf("%+v and %+v: %+v, want %+v", a, b, got, want)
			}
		}
	}
}
