package diag

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/internal/vec"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"

	"github.com/google/go-cmp/cmp"
)

// herd is a model of many layers, each a [bowl] at w = 0 and above a neck of its own:
// example i has the loss 100 + Σ (⟨gᵢ, w⟩ + ½‖w‖²), summed over the layers. Its image is
// the number i, and its answer is right but for every tenth.
type herd struct {
	weightTable
	bowls []*bowl
}

// newHerd draws layers by the ratio of their signals to their noise.
func newHerd(random *rand.Rand, n, dimensions int, ratios []float64) (*herd, []Layer, *samples) {
	m, layers, v := &herd{weightTable: newWeightTable()}, make([]Layer, len(ratios)), &samples{}
	scales := exampleScales(random, n)
	for k, ratio := range ratios {
		m.bowls = append(m.bowls, newBowl(random, n, dimensions, ratio, scales))
		m.checkpoint = append(m.checkpoint, make([]float32, dimensions))
		layers[k] = Layer{Name: fmt.Sprintf("layer %d", k), Index: k, Weights: []int{k}, Parameters: dimensions, Neck: k}
	}
	for i := range n {
		v.images, v.labels = append(v.images, []float32{float32(i)}), append(v.labels, i%2)
	}
	return m, layers, v
}

func (m *herd) Batch() int           { return 64 }
func (m *herd) Classes() int         { return 2 }
func (m *herd) Necks() int           { return len(m.bowls) + 1 }
func (m *herd) NeckElements(int) int { return 1 }

func (m *herd) Advance(ctx context.Context, _, _ int, in, out []float32) error {
	copy(out, in)
	return ctx.Err()
}

func (m *herd) Evaluate(ctx context.Context, _ int, in []float32, labels []int, _ float64, losses []float64, logits []float32) error {
	for i, label := range labels {
		losses[i] = 100
		for k, w := range m.override {
			losses[i] += vec.Dot(w, w) / 2
			for j, g := range m.bowls[k].gradients[int(in[i])] {
				losses[i] += g * float64(w[j])
			}
		}
		if logits != nil {
			if int(in[i])%10 == 0 {
				label = 1 - label
			}
			logits[2*i+label] = 2
		}
	}
	return ctx.Err()
}

func (m *herd) LossGradients(ctx context.Context, _ metric.Loss, _ int, in []float32, labels []int, _ float64, want []int, _ []float64, sink func(int, []float32) error) error {
	for _, k := range want {
		g := make([]float32, len(m.checkpoint[k]))
		for j := range g {
			sum := 0.0
			for i := range labels {
				sum += m.bowls[k].gradients[int(in[i])][j]
			}
			g[j] = float32(sum)
		}
		if err := sink(k, g); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// truth is what the four moves of a layer gain in the population.
func (m *herd) truth(f *folds, k int, s Steps) float64 {
	b, gain := m.bowls[k], 0.0
	lengths := [foldCount]float64{foldA1: s.A1.T, foldA2: s.A2.T, foldB1: s.B1.T, foldB2: s.B2.T}
	for _, half := range crossings {
		sum := make([]float64, len(b.signal))
		for _, fold := range half.directs {
			for _, i := range f.order[f.bounds[fold][0]:f.bounds[fold][1]] {
				for j, g := range b.gradients[i] {
					sum[j] += g
				}
			}
		}
		slope := -dot64(b.signal, sum) / math.Sqrt(dot64(sum, sum))
		for i, chooser := range half.others {
			t := lengths[chooser]
			gain -= (t*slope + t*t/2) * float64(f.size(half.others[1-i])) / float64(f.n())
		}
	}
	return gain
}

// TestRaceErrors: of layers chosen by the images that they are measured on, corrected
// intervals that lie above the truth are as rare as they are to be, and those of the
// layers alone are not. Of a race no verdict is PASS, and what is not searched is
// undecided.
func TestRaceErrors(t *testing.T) {
	const n, dimensions, repeats = 120, 30, 400
	for _, ratio := range []float64{0, 0.3, 1} {
		var mu sync.Mutex
		corrected, alone, runs := 0, 0, 0
		repeat(repeats, func(random *rand.Rand) {
			m, layers, v := newHerd(random, n, dimensions, slices.Repeat([]float64{ratio}, 12))
			r, err := Diagnose(t.Context(), nntest.On(m), v, layers, Options{Temperature: 1, Threshold: 1e-4, Race: &Race{Layers: 2}})
			if err != nil {
				t.Error(err)
				return
			}
			if r.Race == nil || *r.Race != (RaceResult{2, 12}) || r.Verdict.Outcome == Pass {
				t.Errorf("race %+v, verdict %s", r.Race, r.Verdict.Outcome)
			}
			high, highAlone := false, false
			for k, l := range r.Layers {
				if l.Status == StatusSkipped {
					if l.Verdict != Undecided || l.Reason != ReasonNotSearched || l.Forecast == nil || l.GNorm == 0 {
						t.Errorf("%s is %s, %s", l.Name, l.Verdict, l.Reason)
					}
					continue
				}
				truth := m.truth(newFolds(v.labels), k, l.Transfer.Steps)
				high = high || l.Transfer.CorrectedLow > truth
				highAlone = highAlone || l.Transfer.Gain.CI95[0] > truth
			}
			mu.Lock()
			defer mu.Unlock()
			runs++
			if high {
				corrected++
			}
			if highAlone {
				alone++
			}
		})
		t.Logf("signal %g: of %d races %.2f %% with an interval above the truth, %.2f %% by layers alone", ratio, runs, 100*float64(corrected)/float64(runs), 100*float64(alone)/float64(runs))
		if float64(corrected) > 0.025*float64(runs) {
			t.Errorf("signal %g: %d of %d races have a corrected interval above the truth, want at most 2.5 %%", ratio, corrected, runs)
		}
	}
}

// TestRaceFindsPlanted: among layers with a weak signal, one with a strong one is
// searched and fails the model.
func TestRaceFindsPlanted(t *testing.T) {
	const n, dimensions, repeats, sick = 120, 30, 200, 7
	ratios := slices.Repeat([]float64{0.3}, 12)
	ratios[sick] = 3
	for _, searched := range []int{1, 2} {
		var mu sync.Mutex
		found, failed, other := 0, 0, 0
		repeat(repeats, func(random *rand.Rand) {
			m, layers, v := newHerd(random, n, dimensions, ratios)
			r, err := Diagnose(t.Context(), nntest.On(m), v, layers, Options{Temperature: 1, Threshold: 1e-4, Race: &Race{Layers: searched}})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if r.Worst.ByTransfer == layers[sick].Name {
				found++
			}
			for _, violation := range r.Violations {
				if violation.Rule != RuleRecoverableLoss {
					continue
				}
				if violation.Level != LevelError {
					t.Errorf("a layer of a race is over at the level %s", violation.Level)
				}
				if violation.Layer == layers[sick].Name {
					failed++
				} else {
					other++
				}
			}
		})
		t.Logf("%d of 12 searched: the planted layer is the worst in %d of %d races, fails in %d, others in %d", searched, found, repeats, failed, other)
		if 10*failed < 9*repeats || 10*found < 9*repeats {
			t.Errorf("%d of 12 searched: the planted layer is found in %d and fails in %d of %d races", searched, found, failed, repeats)
		}
	}
}

// TestRaceForecast: of a quadratic the forecast is the transfer figure.
func TestRaceForecast(t *testing.T) {
	m, layers, v := newHerd(rand.New(rand.NewPCG(1, 1)), 120, 20, []float64{3, 10, 1, 30})
	for _, memory := range []int64{0, 2000} {
		r := diagnose(t, m, v, layers, Options{Temperature: 1, Memory: memory, Race: &Race{Layers: 3}})
		for i, l := range r.Layers {
			if l.Forecast == nil {
				t.Fatalf("%s has no forecast", l.Name)
			}
			if i == 2 {
				if l.Status != StatusSkipped {
					t.Errorf("%s was searched", l.Name)
				}
				continue
			}
			near(t, l.Name, *l.Forecast, l.Transfer.Gain.Mean, 1e-5, l.Transfer.Gain.Mean)
		}
	}
}

// TestCompareRunners: a layer that is expected to do harm is searched before one that
// nothing asks to be moved.
func TestCompareRunners(t *testing.T) {
	got := []runner{{0, 0}, {1, -2}, {2, 3}, {3, 0}, {4, -1}, {5, 4}}
	slices.SortStableFunc(got, compareRunners)
	if want := []runner{{5, 4}, {2, 3}, {4, -1}, {1, -2}, {0, 0}, {3, 0}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestRaceSearchesAsEver: what a race finds of the layers that it searches is, to the
// bit, what it is without one, however little memory there is, with training examples
// and along any path; and so is all of it where the time allows all layers.
func TestRaceSearchesAsEver(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m, layers, v := newPerceptron(90)
		_, _, training := newPerceptron(60)
		for _, opt := range []Options{{}, {Memory: 300}, {Training: training}, {Direction: Balanced}, {Direction: Descent, DescentSteps: 3}} {
			device := nntest.OnBackend(t, m, on.Device)
			want := diagnoseModel(t, device, v, layers, opt)
			opt.Race = &Race{Layers: 1}
			got := diagnoseModel(t, device, v, layers, opt)
			searched := 0
			for i, l := range got.Layers {
				if l.Status == StatusSkipped {
					continue
				}
				searched++
				l.Forecast, l.Decision = nil, want.Layers[i].Decision
				if diff := cmp.Diff(want.Layers[i], l); diff != "" {
					t.Errorf("%+v: without a race, and with one: %s", opt, diff)
				}
			}
			if searched != 1 {
				t.Errorf("%d layers were searched", searched)
			}
			var offered []int
			opt.Race = &Race{Afford: func(costs []int) int { offered = costs; return len(costs) }}
			if diff := cmp.Diff(want, diagnoseModel(t, device, v, layers, opt)); diff != "" {
				t.Errorf("%+v: without a race, and with one that all layers win: %s", opt, diff)
			}
			if len(offered) != 2 || !(0 < offered[0] && offered[0] < offered[1]) {
				t.Errorf("layers were offered at %d", offered)
			}
			if len(m.override) != 0 {
				t.Error("the model is left changed")
			}
		}
	})
}

// TestRaceProgress: what is done never falls, the total changes once, and both end
// alike.
func TestRaceProgress(t *testing.T) {
	m, layers, v := newHerd(rand.New(rand.NewPCG(1, 1)), 120, 20, []float64{3, 10, 1, 30})
	for _, memory := range []int64{0, 2000} {
		last, totals, number := 0, []int{}, ""
		diagnose(t, m, v, layers, Options{Temperature: 1, Memory: memory, Race: &Race{Layers: 2}, Progress: func(phase string, done, total int) {
			if done < last || done > total {
				t.Errorf("%s: %d of %d after %d", phase, done, total, last)
			}
			last = done
			number, _, _ = strings.Cut(phase, " ")
			if !slices.Contains(totals, total) {
				totals = append(totals, total)
			}
		}})
		if begun, phases, _ := strings.Cut(number, "/"); begun != phases {
			t.Errorf("it ends with phase %s", number)
		}
		if len(totals) != 2 || last != totals[1] {
			t.Errorf("totals %d, and %d done", totals, last)
		}
	}
}

// TestRaceTimeLimit: where the time is over, a layer that was to be searched is not
// taken for one that has lost, and nothing passes.
func TestRaceTimeLimit(t *testing.T) {
	for _, phase := range []string{PhaseLoss, PhaseRanking, "layer 3"} {
		m, layers, v := newHerd(rand.New(rand.NewPCG(1, 1)), 120, 20, []float64{0, 30, 0, 20})
		ctx := &limited{t.Context(), math.MaxInt, context.DeadlineExceeded}
		r, err := Diagnose(ctx, nntest.On(m), v, layers, Options{Temperature: 1, Race: &Race{Layers: 2}, Progress: func(now string, _, _ int) {
			if strings.HasSuffix(now, phase) {
				ctx.left = 0
			}
		}})
		if !errors.Is(err, context.DeadlineExceeded) || r == nil || r.Complete || r.Verdict.Outcome == Pass {
			t.Fatalf("%s: report %v, error %v", phase, r, err)
		}
		for i, l := range r.Layers {
			want := ReasonTimeLimit
			if phase == "layer 3" {
				want = []string{ReasonNotSearched, "", ReasonNotSearched, ReasonTimeLimit}[i]
			}
			if l.Reason != want || want != "" && r.Limit != nil && l.Verdict != Undecided {
				t.Errorf("%s: %s is %s: %q, want %q", phase, l.Name, l.Verdict, l.Reason, want)
			}
		}
		if slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Rule == RuleNotMeasured }) {
			t.Errorf("%s: a layer that was not reached is called unmeasurable", phase)
		}
	}
}
