package metric

import (
	"strings"
	"testing"
)

func TestParseLoss(t *testing.T) {
	for text, want := range map[string]string{
		"ce":         "ce",
		"smooth":     "smooth:0.1",
		"smooth:0.3": "smooth:0.3",
		"smooth:0":   "smooth:0",
		"smooth:-0":  "smooth:0",
		"smooth:1e0": "smooth:1",
		"focal":      "focal:2",
		"focal:0.5":  "focal:0.5",
		"focal:1e1":  "focal:10",
		"margin":     "margin",
		"soft01":     "soft01:0.5",
		"soft01:1":   "soft01:1",
	} {
		l, err := ParseLoss(text)
		if err != nil || l.String() != want {
			t.Errorf("%s: %v (%v), want %s", text, l, err, want)
			continue
		}
		if again, err := ParseLoss(l.String()); err != nil || again != l {
			t.Errorf("%s: %v is read as %v (%v)", text, l, again, err)
		}
	}
	if ce, err := ParseLoss("ce"); err != nil || ce != (Loss{}) {
		t.Errorf("ce is not the zero value: %v (%v)", ce, err)
	}
}

func TestParseLossRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":             "expected ce, smooth[:EPSILON] (0 to 1, default 0.1), focal[:GAMMA] (0 or more, default 2), margin, soft01[:WEIGHT] (0 to 1, default 0.5)",
		"hinge":        `unknown loss "hinge"`,
		"CE":           "expected ce",
		"ce:1":         "ce takes no parameter",
		"margin:":      "margin takes no parameter",
		"smooth:":      "(0 to 1, default 0.1)",
		"smooth:1.1":   "(0 to 1, default 0.1)",
		"smooth:0.3:2": "(0 to 1, default 0.1)",
		"smooth:NaN":   "(0 to 1, default 0.1)",
		"soft01:2":     "(0 to 1, default 0.5)",
		"focal:-1":     "(0 or more, default 2)",
		"focal:Inf":    "(0 or more, default 2)",
		"focal: 2":     "(0 or more, default 2)",
	} {
		if l, err := ParseLoss(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, error %v, want %q", text, l, err, want)
		}
	}
}
