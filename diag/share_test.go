package diag

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"

	"github.com/google/go-cmp/cmp"
)

// tensorLayers are a perceptron, each of its tensors as a layer and one that cannot be
// measured, and examples.
func tensorLayers(n int) (*perceptron, []Layer, *samples) {
	m, _, v := newPerceptron(n)
	return m, []Layer{
		{Name: "first.weight", Index: 0, Weights: []int{0}, Parameters: 28, Neck: 0},
		{Name: "frozen", Index: 1, Skip: "nothing differentiates it"},
		{Name: "second.bias", Index: 4, Weights: []int{3}, Parameters: 3, Neck: 1},
		{Name: "first.bias", Index: 2, Weights: []int{1}, Parameters: 7, Neck: 0},
		{Name: "second.weight", Index: 3, Weights: []int{2}, Parameters: 21, Neck: 1},
	}, v
}

// through is what findings are after they were written and read.
func through(t *testing.T, f *Findings) *Findings {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	read := new(Findings)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	if again, _, same := identical(read, f); !same {
		t.Fatalf("read back: %s, written: %s", again, text)
	}
	return read
}

// TestShares: however the layers are divided among machines, the report is that of one.
func TestShares(t *testing.T) {
	m, layers, v := tensorLayers(90)
	_, _, training := newPerceptron(40)
	random := rand.New(rand.NewPCG(1, 2))
	for _, opt := range []Options{
		{}, {Temperature: 1, Direction: Balanced, PerExample: true}, {Training: training, Tests: 7, Coverage: 0.9, DrawnFrom: 100, PreprocessDetected: true},
		{Temperature: 0.7, Direction: Descent, DescentSteps: 3, Memory: 1 << 10},
	} {
		want := diagnose(t, nntest.Slices(m), v, layers, opt)
		for range 12 {
			machines := 1 + random.IntN(6)
			shares := make([][]int, machines)
			for i := range shares {
				shares[i] = []int{}
			}
			for _, i := range random.Perm(len(layers)) {
				s := random.IntN(machines)
				shares[s] = append(shares[s], i)
			}
			var joined *Findings
			for _, share := range shares {
				found, err := Measure(t.Context(), nntest.On(m), v, layers, Share{Layers: share}, opt)
				if err != nil {
					t.Fatal(err)
				}
				if found = through(t, found); joined == nil {
					joined = found
				} else if err := joined.Join(found); err != nil {
					t.Fatal(err)
				}
			}
			before := through(t, joined)
			if diff := cmp.Diff(want, joined.Conclude(opt)); diff != "" {
				t.Errorf("%+v by %v: %s", opt, shares, diff)
			}
			if _, _, same := identical(before, joined); !same {
				t.Errorf("%+v: Conclude changed the findings", opt)
			}
		}
	}
}

// TestResume: a measurement that is ended after any number of layers goes on there, to
// the same findings.
func TestResume(t *testing.T) {
	m, layers, v := tensorLayers(60)
	want, err := Measure(t.Context(), nntest.On(m), v, layers, Share{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for after := 1; after <= 4; after++ {
		var saved *Findings
		killed, left := errors.New("killed"), after
		_, err := Measure(t.Context(), nntest.On(m), v, layers, Share{Measured: func(f *Findings) error {
			saved = through(t, f)
			if left--; left == 0 {
				return killed
			}
			return nil
		}}, Options{})
		if !errors.Is(err, killed) || len(saved.Missing()) != 4-after {
			t.Fatalf("after %d layers: %v, missing %v", after, err, saved.Missing())
		}
		again := 0
		found, err := Measure(t.Context(), nntest.On(m), v, layers, Share{Done: saved, Measured: func(*Findings) error { again++; return nil }}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if a, b, same := identical(found, want); !same || again != 4-after {
			t.Errorf("after %d layers %d more: %s, want %s", after, again, a, b)
		}
		_, other, _ := tensorLayers(60)
		other[0].Name = "renamed"
		_, err = Measure(t.Context(), nntest.On(m), v, other, Share{Done: saved}, Options{})
		var resume *ResumeError
		if !errors.As(err, &resume) || !strings.Contains(err.Error(), "the layers are others") {
			t.Errorf("other layers: %v", err)
		}
	}
}

// TestJoin: what does not fit together is named, and changes nothing.
func TestJoin(t *testing.T) {
	m, layers, v := tensorLayers(60)
	measure := func(v *samples, layers []Layer, share []int, opt Options) *Findings {
		found, err := Measure(t.Context(), nntest.On(m), v, layers, Share{Layers: share}, opt)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	_, _, other := newPerceptron(61)
	for _, c := range []struct {
		with *Findings
		want []string
	}{
		{measure(v, layers, []int{0, 2}, Options{}), []string{"layer first.weight is measured twice"}},
		{measure(v, layers, []int{2}, Options{Temperature: 1}), []string{`calibration is "fit" and "none"`, "temperature is "}},
		{measure(v, layers, []int{2}, Options{Direction: Balanced}), []string{`direction is "line" and "balanced"`}},
		{measure(other, layers, []int{2}, Options{}), []string{"number of examples is 60 and 61", "losses of the checkpoint"}},
		{measure(v, layers, []int{2}, Options{Training: other}), []string{"number of training examples is 0 and 61"}},
		{measure(v, layers[:3], []int{2}, Options{Tests: 4}), []string{"the layers are others"}},
		{measure(v, layers, []int{2}, Options{Tests: 9}), []string{"corrected for is 4 and 9"}},
	} {
		f := measure(v, layers, []int{0}, Options{})
		before := through(t, f)
		err := f.Join(c.with)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if _, _, same := identical(f, before); !same {
			t.Errorf("%v: the findings are others", c.want)
		}
	}
}

// TestPlainData: numbers that JSON has no word for come back as they were.
func TestPlainData(t *testing.T) {
	type data struct {
		S, None Bits[float32]
		D       Bits[float64]
		B       Bits[bool]
	}
	want := data{S: Bits[float32]{1, float32(math.Inf(1)), float32(math.Copysign(0, -1))}, D: Bits[float64]{math.NaN(), -1e-320}, B: Bits[bool]{true, false}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got data
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if again, _, same := identical(got, want); !same || got.None != nil || !math.IsNaN(got.D[0]) {
		t.Errorf("%s, want %s", again, text)
	}
	for text, want := range map[string]string{`{"S":"AAA"}`: "illegal base64", `{"D":"AAAA"}`: "3 bytes are no numbers of 8 bytes each", `{"S":1}`: "cannot unmarshal"} {
		if err := json.Unmarshal([]byte(text), &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// deep is a model with so many necks.
type deep struct {
	nn.Model
	necks int
}

func (d deep) Necks() int { return d.necks }

// TestPlanShares: each layer is in one share, and no other division into consecutive
// shares has a cheaper dearest one.
func TestPlanShares(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		m := deep{necks: 2 + random.IntN(12)}
		layers := make([]Layer, random.IntN(8))
		for i := range layers {
			layers[i] = Layer{Name: fmt.Sprint(i), Weights: []int{i}, Neck: random.IntN(m.necks - 1)}
			if random.IntN(5) == 0 {
				layers[i].Skip = "skipped"
			}
		}
		machines := 1 + random.IntN(9)
		plan := PlanShares(m, layers, 100, Options{}, machines)
		// One evaluation of all, the boundary's way up, three evaluations from the lowest
		// layer for its gradients and six for each layer's searches.
		cost := func(share []int) float64 {
			total, lowest, highest := m.necks-1, m.necks-1, 0
			for _, i := range share {
				neck := layers[i].Neck
				total += 6 * (m.necks - 1 - neck)
				lowest, highest = min(lowest, neck), max(highest, neck)
			}
			return float64(total + highest + 3*(m.necks-1-lowest))
		}
		var cheapest func(rest []int, machines int) float64
		cheapest = func(rest []int, machines int) float64 {
			best := cost(rest)
			if machines > 1 {
				for n := range len(rest) + 1 {
					best = min(best, max(cost(rest[:n]), cheapest(rest[n:], machines-1)))
				}
			}
			return best
		}
		visits := measurable(layers)
		dearest, all := 0.0, []int{}
		for _, s := range plan {
			if want := cost(s.Layers) / cost(visits); math.Abs(s.Cost-want) > 1e-12 {
				t.Errorf("%v costs %v of %v, want %v", s.Layers, s.Cost, layers, want)
			}
			dearest, all = max(dearest, s.Cost), append(all, s.Layers...)
		}
		if len(plan) != machines || !slices.Equal(all, visits) {
			t.Fatalf("%d machines: %v of %v", machines, plan, visits)
		}
		if best := cheapest(visits, machines) / cost(visits); dearest > best+1e-12 {
			t.Errorf("%d machines, %v: the dearest share costs %v, and could cost %v: %v", machines, layers, dearest, best, plan)
		}
		for i, s := range plan {
			if len(s.Layers) == 0 && i < len(visits) {
				t.Errorf("%d machines for %d layers: share %d has none: %v", machines, len(visits), i, plan)
			}
		}
	}
}
