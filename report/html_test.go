package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
)

// pages is a page of every result that has one.
func pages(t *testing.T) map[string]string {
	t.Helper()
	written := map[string]string{}
	add := func(name string, r Result) {
		var out bytes.Buffer
		if err := Write(&out, r, "html", Style{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		written[name] = out.String()
	}
	add("check", sample())
	add("check-unknown", unknown())
	add("check-raw", withRaw())
	for name, f := range fixes(t) {
		add("fix-"+name, f)
	}
	for name, c := range comparisons(t) {
		add("compare-"+name, c)
	}
	for name, f := range plans(t) {
		add("plan-"+name, f)
	}
	for name, v := range verifications(t) {
		add("verify-"+name, v)
	}
	return written
}

// TestPages: every page is well-formed, needs no other file, and its verdict is its
// title.
func TestPages(t *testing.T) {
	for name, text := range pages(t) {
		t.Run(name, func(t *testing.T) {
			titles, remote := 0, regexp.MustCompile(`(?i)(src|href)="(https?:)?//|@import|url\(`)
			if m := remote.FindString(text); m != "" {
				t.Errorf("the page loads %s", m)
			}
			decoder := xml.NewDecoder(strings.NewReader(text))
			decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
			for {
				token, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if start, ok := token.(xml.StartElement); ok && start.Name.Local == "h1" {
					titles++
				}
			}
			if titles != 1 {
				t.Errorf("%d elements h1", titles)
			}
		})
	}
}

// withRaw is a check with figures of the logits as they came, of all layers but one.
func withRaw() *Check {
	d := diagnosis()
	raw := &diag.Report{}
	for _, l := range d.Layers[1:] {
		if l.Transfer != nil {
			other := *l.Transfer
			other.Gain = metric.NormalEstimate(4*l.Transfer.Gain.Mean+0.0625, 0.03)
			raw.Layers = append(raw.Layers, diag.LayerResult{Name: l.Name, Parameters: l.Parameters, Transfer: &other})
		}
	}
	c := checkOf(d)
	SetRaw(c, raw)
	return c
}

// TestRawBesideCalibrated: both figures of a layer stand in the page's table and chart, and
// in the wide text; without figures of the logits as they came nothing is said of them.
func TestRawBesideCalibrated(t *testing.T) {
	const title = "raw ΔL̂"
	c := withRaw()
	for format, style := range map[string]Style{"html": {}, "text": {Wide: true}} {
		var with, without bytes.Buffer
		if err := errors.Join(Write(&with, c, format, style), Write(&without, sample(), format, style)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(with.String(), title) || strings.Contains(without.String(), title) {
			t.Errorf("%s: the title %q is missing, or there without figures", format, title)
		}
		for _, l := range c.Layers {
			if l.Raw == nil {
				continue
			}
			if figure := fixed(l.Raw.Mean, c.decimals()) + plusMinus(l.Raw.SE, c.decimals()); !strings.Contains(with.String(), figure) {
				t.Errorf("%s: %s of %s is missing", format, figure, l.Name)
			}
		}
	}
	series := checkCharts(c)[0].Series
	if len(series) != 2 || len(series[1].Y) != len(series[0].Y) || !math.IsNaN(series[1].Y[0]) || series[1].X[1] <= series[0].X[1] {
		t.Errorf("the chart shows %+v", series)
	}
}

// TestPageEscapes: what a file calls its layers is text.
func TestPageEscapes(t *testing.T) {
	const name = `</td><script>alert("1")</script>&amp;]]>` + "\x1b[31m\u202e"
	d := diagnosis()
	for i := range d.Layers {
		d.Layers[i].Name = name
	}
	d.Violations = []diag.Violation{{Rule: diag.RuleNotMeasured, Level: diag.LevelError, Layer: name, Message: name}}
	c := checkOf(d)
	c.Model.Path, c.Data.Name, c.Provenance.Command = name, name, []string{"modeldoctor", name}
	var out bytes.Buffer
	if err := Write(&out, c, "html", Style{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "<script"); got != 1 {
		t.Errorf("%d scripts, expected that of the page alone", got)
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Error("a character that controls the display is left")
	}
}

// TestPageGolden: all that a page says of a check.
func TestPageGolden(t *testing.T) {
	checkGolden(t, map[string]func(*bytes.Buffer) error{
		"check.html": func(b *bytes.Buffer) error { return Write(b, sample(), "html", Style{}) },
	})
}

// TestCharts: what is on a page can be had as files, under names of their own.
func TestCharts(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Charts(sample()) {
		if names[c.Name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(c.Name) {
			t.Errorf("chart %q: not a name of its own", c.Name)
		}
		names[c.Name] = true
		if c.Alt == "" || c.Title == "" {
			t.Errorf("chart %s has no words for those who do not see it", c.Name)
		}
	}
	if len(names) < 4 {
		t.Errorf("charts %v", names)
	}
	if charts := Charts(Rule{}); charts != nil {
		t.Errorf("a rule has the charts %v", charts)
	}
}

// TestChartsOfSeveral: of several models each has its own, and a title that names it.
func TestChartsOfSeveral(t *testing.T) {
	all := several()
	all.Models = append(all.Models, CheckedModel{Path: "models/other.onnx", Check: sample()})
	files := map[string]string{}
	for _, c := range Charts(all) {
		files[c.Name] = c.Title
	}
	one := Charts(sample())
	if len(files) != 2*len(one) {
		t.Errorf("%d files, want those of two models: %v", len(files), files)
	}
	if want := "models/other.onnx: " + one[0].Title; files["model-003-"+one[0].Name] != want {
		t.Errorf("files %v, want one with the title %q", files, want)
	}
}

// TestHistogram: every value is counted once, the outermost bins hold the tails, and
// 0 is the middle of a bin.
func TestHistogram(t *testing.T) {
	values := []float64{0, 0, 1000, -1000}
	for i := range 1000 {
		values = append(values, float64(i%21-10)/10)
	}
	s := histogram(values)
	sum := 0.0
	for _, n := range s.Y {
		sum += n
	}
	if int(sum) != len(values) || s.X[len(s.X)/2] != 0 || s.X[0] != -1 {
		t.Errorf("%v of %d values, from %v, middle %v", sum, len(values), s.X[0], s.X[len(s.X)/2])
	}
	if histogram(nil) != nil || histogram([]float64{0, 0}) != nil {
		t.Error("a histogram of nothing")
	}
}
