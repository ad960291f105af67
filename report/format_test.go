package report

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestFormats: which formats a result has is known before there is one.
func TestFormats(t *testing.T) {
	const everything = "text json github html junit markdown sarif"
	for _, c := range []struct {
		want    string
		results []Result
	}{
		{everything, []Result{&Check{}}}, {everything, []Result{&Fix{}, &FixPlan{}}}, {everything, []Result{&Verify{}}},
		{"text json", []Result{&Inspect{}}}, {"text json", []Result{&Probe{}}}, {everything, []Result{(*Check)(nil)}},
		{everything, []Result{&Compare{}}}, {everything, []Result{&Compare{}, &Check{}}}, {"text json", []Result{&Compare{}, &Probe{}}},
		{"text json markdown", []Result{&SearchPlan{}}}, {"text", []Result{Topics{}}}, {"text", []Result{Rule{}}}, {"text", []Result{Term{}}},
	} {
		if got := strings.Join(Formats(c.results...), " "); got != c.want {
			t.Errorf("%T has the formats %s, want %s", c.results, got, c.want)
		}
	}
	var out bytes.Buffer
	if err := Write(&out, Rule{}, "markdown", Style{}); err == nil || out.Len() > 0 {
		t.Errorf("a format that a result has not: error %v, wrote %q", err, &out)
	}
}

// inToy is what the file of a format declares: the methods that results get.
type inToy interface{ toy() string }

// toyResult stands for a result that has got the method.
type toyResult struct{ Check }

func (r *toyResult) toy() string { return "toy of " + r.Model.Path }

// TestNewFormat: a format is its registration and its methods. Nothing else knows
// of it.
func TestNewFormat(t *testing.T) {
	before := formats
	defer func() { formats = before }()
	formats = slices.Clone(before)
	register(format{
		name: "toy",
		has:  has[inToy],
		write: func(w io.Writer, r Result, _ Style) error {
			_, err := io.WriteString(w, r.(inToy).toy())
			return err
		},
	})
	if got := strings.Join(Formats(&toyResult{}), " "); got != "text json github junit markdown sarif toy" {
		t.Errorf("formats %s", got)
	}
	if got := strings.Join(Formats(&Check{}), " "); got != "text json github html junit markdown sarif" {
		t.Errorf("a result without the method has the formats %s", got)
	}
	var out bytes.Buffer
	if err := Write(&out, &toyResult{Check{Model: Model{Path: "m.onnx"}}}, "toy", Style{}); err != nil || out.String() != "toy of m.onnx" {
		t.Errorf("error %v, wrote %q", err, &out)
	}
}
