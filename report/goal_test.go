package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/pol"
)

// mended is a treatment that was to lower the error, and has.
func mended(t *testing.T) *treatment {
	f := written(t)
	loss, err := metric.ParseLoss("soft01")
	if err != nil {
		t.Fatal(err)
	}
	f.plan.options.Goal, f.plan.options.Loss, f.plan.options.Mix = pol.LowerError, loss, 0.4
	r := f.result
	r.Goal, r.Mended, r.Spoiled, r.Refitted = pol.LowerError, 112, 82, pointer(1.062)
	r.Own = &pol.Temperature{Value: 1, Loss: 4.0087, Drop: *r.Gain}
	r.OwnBeyond = r.Beyond
	return f
}

// notMended is one whose error may have fallen by chance, and whose loss is higher.
func notMended(t *testing.T) *treatment {
	f := mended(t)
	f.Output = nil
	r := f.result
	r.ErrorDrop, r.Mended, r.Spoiled = estimate(0.0015, 0.0018), 8, 5
	r.OwnBeyond = estimate(-0.0412, 0.0031)
	return f
}

// TestCompareForError: the table says what its runs had to show.
func TestCompareForError(t *testing.T) {
	c := comparison(t)
	print := func() string {
		var text bytes.Buffer
		if err := Write(&text, c, "markdown", Style{}); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	const forError = "an error significantly lower than untreated"
	if strings.Contains(print(), forError) {
		t.Error("runs for the loss are said to be for the error")
	}
	for _, r := range c.Rows {
		for _, f := range r.runs {
			f.Recipe.Hyperparameters.Goal = pol.LowerError.String()
		}
	}
	if !strings.Contains(print(), forError) {
		t.Error("runs for the error are said to be for the loss")
	}
}
