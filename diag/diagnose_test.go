package diag

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/internal/vec"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"

	"github.com/google/go-cmp/cmp"
)

// diagnose runs a diagnosis on the host that must not fail.
func diagnose(t *testing.T, m nntest.Slices, v nn.Examples, layers []Layer, opt Options) *Report {
	t.Helper()
	return diagnoseModel(t, nntest.On(m), v, layers, opt)
}

func diagnoseModel(t *testing.T, m nn.Model, v nn.Examples, layers []Layer, opt Options) *Report {
	t.Helper()
	r, err := Diagnose(t.Context(), m, v, layers, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestQuadratic checks the closed form: t* = ‖g‖/h, ΔL = ‖g‖²/2h, κ = h/2.
func TestQuadratic(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		const h = 3.0
		precision := 1e-6
		if !on.OnHost() {
			precision = 1e-5 // losses come back from a device in float32
		}
		m := &quadratic{newWeightTable([]float32{1, -2, 0.5}, []float32{0.25, 0.75}), h}
		v := &samples{}
		for i := range 40 {
			v.images, v.labels = append(v.images, []float32{float32(1 + i%5)}), append(v.labels, i%2)
		}
		layers := []Layer{
			{Name: "first", Weights: []int{0}, Parameters: 3, Neck: 0},
			{Name: "second", Index: 1, Weights: []int{1}, Parameters: 2, Neck: 1},
		}
		for _, direction := range []Direction{Line, Balanced, Descent} {
			r := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, Options{Direction: direction})
			for i, l := range r.Layers {
				w := vec.Norm(m.Weight(i))
				g := h * w
				near(t, "‖w‖", l.WNorm, w, precision, w)
				near(t, "‖g‖", l.GNorm, g, precision, g)
				near(t, "t*", l.Step, g/h, precision, g/h)
				near(t, "ΔL", l.DeltaLoss, g*g/(2*h), precision, g*g/(2*h))
				near(t, "κ", *l.Kappa, h/2, precision, h/2)
				near(t, "κ‖w‖²", *l.KappaScaled, h/2*w*w, precision, h/2*w*w)
				near(t, "‖Δw‖/‖w‖", *l.StepShare, 1, precision, 1)
				near(t, "agreement", *l.Agreement, 1, precision, 1)
				near(t, "ΔL̂", l.Transfer.Gain.Mean, g*g/(2*h), precision, g*g/(2*h))
				near(t, "se", l.Transfer.Gain.SE, 0, precision, 1)
				if l.Status != StatusOK || direction != Descent && l.ForwardEvaluations > 4 {
					t.Errorf("%s: status %s, %d evaluations", l.Name, l.Status, l.ForwardEvaluations)
				}
			}
			if r.Worst.ByDeltaLoss != "first" || r.Worst.ByTransfer != "first" || !slices.Equal(r.Worst.Set, []string{"first"}) {
				t.Errorf("worst %+v", r.Worst)
			}
		}
	})
}

// TestPerceptron compares with a slow implementation of the definitions.
func TestPerceptron(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m, layers, v := newPerceptron(90)
		for _, opt := range []Options{
			{Temperature: 1}, {Temperature: 1, Direction: Balanced}, {}, {Direction: Balanced}, {Temperature: 0.7},
			{Temperature: 1, Direction: Descent, DescentSteps: 4},
		} {
			name := fmt.Sprintf("%v at %g", opt.Direction, opt.Temperature)
			t.Run(name, func(t *testing.T) {
				r := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, opt)
				invT := 1 / r.Temperature
				if opt.Temperature > 0 && r.Temperature != opt.Temperature {
					t.Errorf("losses are taken at %v", r.Temperature)
				}
				for i, got := range r.Layers {
					want := newReference(m, v, layers[i].Weights, invT, opt)
					near(t, "start", *r.Metrics.StartLoss, want.loss, 1e-7, want.loss)
					near(t, "‖g‖", got.GNorm, want.gNorm, 1e-6, want.gNorm)
					// What a search finds is only as good as its tolerance; what follows
					// from the lengths is checked at the lengths found.
					near(t, "step", got.Step, want.step, 0.05, want.step)
					near(t, "ΔL", got.DeltaLoss, want.deltaLoss, 5e-3, want.deltaLoss)
					if opt.Direction != Descent { // which may be interpolated
						near(t, "ΔL at the step found", got.DeltaLoss, want.deltaLossAt(got.Step), 3e-4, want.deltaLoss)
					}
					near(t, "κ", *got.Kappa, got.DeltaLoss/(got.Step*got.Step), 1e-12, *got.Kappa)
					near(t, "κ‖w‖²", *got.KappaScaled, *got.Kappa*got.WNorm*got.WNorm, 1e-12, *got.KappaScaled)
					near(t, "agreement", *got.Agreement, want.agreement, 1e-5, 1)
					steps := [4]Length{got.Transfer.Steps.A1, got.Transfer.Steps.B1, got.Transfer.Steps.A2, got.Transfer.Steps.B2}
					var found [4]float64
					for j, length := range steps {
						near(t, "length", length.T, want.lengths[j], 0.05, want.lengths[j])
						found[j] = length.T
					}
					transfer, se, kappa := want.transferAt(found)
					near(t, "ΔL̂", got.Transfer.Gain.Mean, transfer, 1e-6, want.loss)
					near(t, "se", got.Transfer.Gain.SE, se, 1e-5, se)
					if got.Transfer.Gain.Mean > 0 {
						near(t, "κ̂", *got.Transfer.Kappa, kappa, 1e-4, kappa)
					} else if got.Transfer.Kappa != nil {
						t.Errorf("κ̂ = %v where moving harms", *got.Transfer.Kappa)
					}
				}
				if len(m.override) != 0 {
					t.Error("the model is left with moved weights")
				}
			})
		}
	})
}

// TestMemory checks that the report is the same however little memory there is.
func TestMemory(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m, layers, v, training := trainingPerceptron()
		want := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, Options{Training: training})
		readsWithRoom := v.reads
		dir := t.TempDir()
		for _, memory := range []int64{1, 4000, 8000} {
			v.reads = 0
			got := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, Options{Memory: memory, TempDir: dir, Training: training})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("with %d bytes (-want +got):\n%s", memory, diff)
			}
			if memory == 1 && v.reads <= readsWithRoom {
				t.Error("images were kept although there was no room")
			}
			v.reads = 0
			got = diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, Options{Memory: memory, HostMemory: 1 << 20, TempDir: dir + "/absent", Training: training})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("with %d bytes and the host's memory (-want +got):\n%s", memory, diff)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("files left behind: %v, %v", left, err)
		}
		if _, err := Diagnose(t.Context(), nntest.OnBackend(t, m, on.Device), v, layers, Options{Memory: 1, TempDir: dir + "/absent"}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("no folder for the temporary file: error %v", err)
		}
	})
}

// TestDevice: a device whose memory the host cannot look into gives the same
// report, whatever the memory, and nothing stays behind there. Where a call of it
// fails its error comes back.
func TestDevice(t *testing.T) {
	m, layers, v, training := trainingPerceptron()
	for _, opt := range []Options{{}, {Memory: 4000}, {Direction: Descent, DescentSteps: 3}, {Training: training}} {
		opt.TempDir = t.TempDir()
		in32 := nntest.InFloat32(m)
		want := diagnose(t, in32, v, layers, opt)
		diagnoseOn := func(failAt int) (*Report, nntest.Device, error) {
			d := nntest.NewDevice()
			d.FailAt = failAt
			r, err := Diagnose(t.Context(), nntest.OnDevice(in32, d), v, layers, opt)
			if left := d.Live(); len(left) > len(m.checkpoint) { // which the model keeps
				t.Fatalf("call %d failed: %d allocations are left: %v", failAt, len(left), left)
			}
			if len(m.override) > 0 {
				t.Fatalf("call %d failed: the model is left with moved weights", failAt)
			}
			return r, d, err
		}
		got, d, err := diagnoseOn(0)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("error %v (-want +got):\n%s", err, diff)
		}
		for n := 1; n <= d.Calls; n += 1 + n/10 {
			if r, _, err := diagnoseOn(n); !errors.Is(err, nntest.ErrDevice) || r != nil {
				t.Errorf("call %d of %d failed: error %v", n, d.Calls, err)
			}
		}
	}
}

// TestOrder checks that results come in the order of the layers given, and that
// progress reaches its total without ever falling.
func TestOrder(t *testing.T) {
	m, layers, v := newPerceptron(90)
	want := diagnose(t, m, v, layers, Options{})
	slices.Reverse(layers)
	for _, memory := range []int64{0, 1} {
		last, totals := 0, map[int]bool{}
		var phases []string
		got := diagnose(t, m, v, layers, Options{Memory: memory, TempDir: t.TempDir(), Progress: func(phase string, done, total int) {
			if phase == "" || done < last || done > total {
				t.Fatalf("phase %q: %d after %d of %d", phase, done, last, total)
			}
			last, totals[total] = done, true
			if len(phases) == 0 || phases[len(phases)-1] != phase {
				phases = append(phases, phase)
			}
		}})
		slices.Reverse(got.Layers)
		if diff := cmp.Diff(want.Layers, got.Layers); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for i, phase := range phases {
			if want := fmt.Sprintf("%d/%d ", i+1, len(phases)); !strings.HasPrefix(phase, want) {
				t.Errorf("phase %q, want one that begins with %q", phase, want)
			}
		}
		if len(totals) != 1 || !totals[last] {
			t.Errorf("progress ends at %d of %v", last, totals)
		}
	}
}

// limited is a context whose end comes after so many calls of Err.
type limited struct {
	context.Context
	left  int
	cause error
}

func (l *limited) Err() error {
	if l.left--; l.left < 0 {
		return l.cause
	}
	return nil
}

func TestTimeLimit(t *testing.T) {
	m, layers, v := newPerceptron(90)
	want := diagnose(t, m, v, layers, Options{})
	partly := 0
	for left := 0; ; left += 10 {
		r, err := Diagnose(&limited{t.Context(), left, context.DeadlineExceeded}, nntest.On(m), v, layers, Options{})
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || r == nil || r.Complete {
			t.Fatalf("error %v, report %+v", err, r)
		}
		for i, l := range r.Layers {
			switch {
			case l.Status == StatusSkipped && l.Reason == "time limit" && l.Transfer == nil:
			case l.Status == StatusOK && cmp.Equal(l.Points, want.Layers[i].Points):
				partly++
			default:
				t.Fatalf("layer %+v", l)
			}
		}
		if len(m.override) != 0 {
			t.Fatal("the model is left with moved weights")
		}
	}
	if partly == 0 {
		t.Error("no partial report holds a layer")
	}
	if r, err := Diagnose(&limited{t.Context(), 50, context.Canceled}, nntest.On(m), v, layers, Options{}); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: report %v, error %v", r, err)
	}
}

func TestFewExamples(t *testing.T) {
	for _, n := range []int{1, 2, 3, 31} {
		m, layers, v := newPerceptron(n)
		r := diagnose(t, m, v, layers, Options{})
		checkNumbers(t, r)
		for _, l := range r.Layers {
			if l.Transfer != nil || l.TransferReason == "" || l.Status != StatusOK {
				t.Errorf("n = %d: transfer %v, reason %q, status %s", n, l.Transfer, l.TransferReason, l.Status)
			}
		}
		if !breaches(r, RuleFewExamples) || breaches(r, RuleRecoverableLoss) || r.Worst.ByTransfer != "" {
			t.Errorf("n = %d: violations %+v, worst %+v", n, r.Violations, r.Worst)
		}
	}
}

// overflowing is a perceptron whose gradient of one weight overflows.
type overflowing struct {
	*perceptron
	weight int
}

func (m *overflowing) LossGradients(ctx context.Context, loss metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(int, []float32) error) error {
	return m.perceptron.LossGradients(ctx, loss, from, in, labels, invT, want, losses, func(w int, g []float32) error {
		if w == m.weight {
			g[0] = float32(math.Inf(1))
		}
		return sink(w, g)
	})
}

func TestNotFinite(t *testing.T) {
	t.Run("loss", func(t *testing.T) {
		m, layers, v := newPerceptron(40)
		v.images[17][0] = float32(math.NaN())
		r := diagnose(t, m, v, layers, Options{})
		checkNumbers(t, r)
		for _, l := range r.Layers {
			if l.Status != StatusDiverged || !strings.Contains(l.Reason, "example 17") {
				t.Errorf("%s is %s (%s)", l.Name, l.Status, l.Reason)
			}
		}
		if r.Metrics.Loss != nil || len(r.Violations) != 1 || r.Violations[0].Rule != RuleNotMeasured {
			t.Errorf("metrics %+v, violations %+v", r.Metrics, r.Violations)
		}
	})
	t.Run("gradient", func(t *testing.T) {
		m, layers, v := newPerceptron(40)
		r := diagnose(t, &overflowing{m, 1}, v, layers, Options{})
		checkNumbers(t, r)
		if hidden, head := r.Layers[0], r.Layers[1]; hidden.Status != StatusDiverged || hidden.Transfer != nil || head.Status != StatusOK {
			t.Errorf("hidden is %s, head %s", hidden.Status, head.Status)
		}
		if !breaches(r, RuleNotMeasured) || r.Worst.ByKappa != "head" {
			t.Errorf("violations %+v, worst %+v", r.Violations, r.Worst)
		}
	})
}

func TestSkippedAndFlat(t *testing.T) {
	m := &quadratic{newWeightTable([]float32{0, 0}, []float32{1}), 1}
	v := &samples{}
	for i := range 40 {
		v.images, v.labels = append(v.images, []float32{1}), append(v.labels, i%2)
	}
	r := diagnose(t, m, v, []Layer{
		{Name: "flat", Weights: []int{0}, Parameters: 2},
		{Name: "frozen", Index: 1, Skip: "quantised"},
		{Name: "ok", Index: 2, Weights: []int{1}, Parameters: 1, Neck: 1},
	}, Options{})
	checkNumbers(t, r)
	flat, frozen := r.Layers[0], r.Layers[1]
	if flat.Status != StatusFlat || flat.DeltaLoss != 0 || flat.Kappa != nil || flat.Transfer != nil || flat.TransferReason != flat.Reason || flat.Verdict != Under {
		t.Errorf("flat layer: %+v", flat)
	}
	if frozen.Status != StatusSkipped || frozen.Reason != "quantised" {
		t.Errorf("skipped layer: %+v", frozen)
	}
	if !breaches(r, RuleNotMeasured) {
		t.Errorf("violations %+v", r.Violations)
	}
}

// TestAllZero: a layer that a share of its norm does not move is not called healthy.
func TestAllZero(t *testing.T) {
	m, _, v := newPerceptron(64)
	bias := []Layer{{Name: "bias", Weights: []int{3}, Parameters: 3}}
	for direction, want := range map[Direction]Status{Line: StatusOK, Balanced: StatusSkipped} {
		r := diagnose(t, m, v, bias, Options{Direction: direction, Temperature: 1})
		l := r.Layers[0]
		if l.WNorm != 0 || l.Status != want || direction == Balanced && (l.Verdict != Undecided || r.Verdict.Outcome == Pass || !breaches(r, RuleNotMeasured)) {
			t.Errorf("%v: %+v, verdict %v", direction, l, r.Verdict)
		}
	}
}

// TestTinyNorm: where a layer's norm is next to nothing, a search that began at a share of it
// would take the rounding of losses for what the step does.
func TestTinyNorm(t *testing.T) {
	for _, bias := range []int{1, 3} {
		step, gain := 0.0, 0.0 // of a bias that is 0
		for _, size := range []float32{0, 1e-12, 1e-9, 1e-6} {
			m, _, v := newPerceptron(300)
			for i := range m.checkpoint[bias] {
				m.checkpoint[bias][i] = size
			}
			layer := Layer{Name: "bias", Weights: []int{bias}, Parameters: len(m.checkpoint[bias]), Neck: bias / 2}
			l := diagnoseModel(t, nntest.On(nntest.InFloat32(m)), v, []Layer{layer}, Options{}).Layers[0]
			if size == 0 {
				step, gain = l.Step, l.DeltaLoss
			}
			near(t, "t*", l.Step, step, 2e-2, step)
			near(t, "ΔL", l.DeltaLoss, gain, 3e-4, gain)
			if l.Status != StatusOK || l.ForwardEvaluations > 3 {
				t.Errorf("weight %d of %g: %s after %d evaluations", bias, size, l.Status, l.ForwardEvaluations)
			}
		}
	}
}

func TestBadLabel(t *testing.T) {
	m, layers, v := newPerceptron(40)
	v.labels[7] = 3
	if _, err := Diagnose(t.Context(), nntest.On(m), v, layers, Options{}); err == nil {
		t.Error("a label outside the classes was accepted")
	}
}

// breaches reports whether a rule is among the violations.
func breaches(r *Report, rule string) bool {
	return slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Rule == rule })
}
