package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
)

// part is the second of two parts of the sample's check.
func part(complete bool) *CheckPart {
	c := sample()
	c.Model.Analysed = 0
	p := &CheckPart{
		Shard: 2, Plan: []SharePlan{{[]string{"blocks.0"}, 0.7}, {[]string{"blocks.1", "head"}, 0.5}},
		Identity: map[string]string{"model": c.Model.SHA256, "version": "v0"}, Complete: complete,
		Model: c.Model, Data: c.Data, Granularity: c.Granularity, Skipped: c.Skipped, Provenance: c.Provenance,
		Findings: &diag.Findings{
			N: 1, Classes: 100, Order: diag.Bits[int32]{0}, Checkpoint: &diag.Checkpoint{Losses: diag.Bits[float64]{1}, Correct: diag.Bits[bool]{true}},
			Metrics: diag.Metrics{Loss: new(float64), StartLoss: new(float64), Error: new(float64)},
			Layers:  []diag.LayerFindings{{Result: diag.LayerResult{Name: "blocks.1"}, Measured: true, Gains: diag.Bits[float32]{0.5}}, {Result: diag.LayerResult{Name: "head"}}},
		},
		Path: "parts/part-2-of-2.json",
	}
	if complete {
		p.Identity["images"] = c.Data.SHA256
	} else {
		p.Data.SHA256 = ""
	}
	return p
}

// TestReadPart: a part is read as it was written.
func TestReadPart(t *testing.T) {
	for _, complete := range []bool{true, false} {
		var first, second bytes.Buffer
		if err := Write(&first, part(complete), "json", Style{}); err != nil {
			t.Fatal(err)
		}
		written := first.String()
		read, err := ReadPart(&first)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(&second, read, "json", Style{}); err != nil {
			t.Fatal(err)
		}
		if second.String() != written {
			t.Errorf("read %s, written %s", &second, written)
		}
	}
}

// TestPartText: what was measured and where it is, and what all machines would measure.
func TestPartText(t *testing.T) {
	there := part(true)
	there.Found = true
	for result, want := range map[Result][]string{
		part(true): {"part 2 of 2   2 layers measured   50 % of one machine's work   blocks.1, head", "file   parts/part-2-of-2.json"},
		there:      {"part 2 of 2   is there already: nothing to do"},
		&Shares{Model: part(true).Model, Plan: append(part(true).Plan, SharePlan{}), Shard: 1}: {
			"part 1 of 3     70 % of one machine's work   blocks.0", "part 3 of 3     0 % of one machine's work   no layers: there are more shares than layers",
			"1.20 times the work of one machine   1.43 times as fast with 3 alike",
		},
	} {
		var out strings.Builder
		if err := Write(&out, result, "text", Style{}); err != nil {
			t.Fatal(err)
		}
		for _, line := range want {
			if !strings.Contains(out.String(), line) {
				t.Errorf("%s has no %q", &out, line)
			}
		}
	}
}
