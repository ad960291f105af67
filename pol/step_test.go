package pol

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// startStep returns a trainer before its first step, with the model reading the
// arrays that are trained, and the random numbers of its first epoch.
func startStep(t *testing.T, m nntest.Slices, data Data, plan Plan, opt Options) (*trainer, *draws) {
	t.Helper()
	model := nntest.On(m)
	s, err := openSets(model, data, &opt, plan)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		plan.reset(model)
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.fill(t.Context(), &progress{}); err != nil {
		t.Fatal(err)
	}
	tr, err := newTrainer(model, &data, plan, &opt, s, 1)
	if err != nil {
		t.Fatal(err)
	}
	tr.parameters.install(tr.parameters.weights)
	return tr, tr.draws(0)
}

// values are those of one weight in a vector.
func values(t *testing.T, v *nn.Vector, w int) []float32 {
	t.Helper()
	x, err := v.Values(w)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// reference computes losses of a perceptron in float64 from the images on, with
// weights of its own.
type reference struct {
	*perceptron
	weights [][]float64
}

func newReference(m *perceptron) *reference {
	r := &reference{perceptron: m}
	for _, v := range m.checkpoint {
		r.weights = append(r.weights, widen(v))
	}
	return r
}

// loss is the mean cross-entropy of examples.
func (r *reference) loss(s *samples, examples []int) float64 {
	sum := 0.0
	for _, i := range examples {
		x := widen(s.images[i])
		for k := range len(r.sizes) - 1 {
			x = r.stage(k, x, func(w, j int) float64 { return r.weights[w][j] })
		}
		sum -= logSoftmax(x, 1)[s.labels[i]]
	}
	return sum / float64(len(examples))
}

// gradient is that of loss by central differences.
func (r *reference) gradient(weights []int, s *samples, examples []int) [][]float64 {
	const h = 1e-5
	var all [][]float64
	for _, w := range weights {
		g := make([]float64, len(r.weights[w]))
		for j, x := range r.weights[w] {
			r.weights[w][j] = x + h
			above := r.loss(s, examples)
			r.weights[w][j] = x - h
			g[j] = (above - r.loss(s, examples)) / (2 * h)
			r.weights[w][j] = x
		}
		all = append(all, g)
	}
	return all
}

// TestStepGradient makes the first step of a recipe with a perturbation, with a
// given c*, and compares it with finite differences through the whole of it: the
// update is −rate·(1 + momentum)·(∂L_B/∂w_U + decay·w_U), the gradient at the
// perturbed weights and everything else at the unperturbed.
func TestStepGradient(t *testing.T) {
	const (
		scale     = 2.1
		tolerance = 2e-6 // of changes of the order of 0.1
	)
	opt := smallOptions()
	opt.Rate, opt.WeightDecay, opt.PerturbEvery = 0.3, 0.05, 1000
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		if plan.Recipe.Rule != Search {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m, _, data := newProblem()
			train := data.Train.(*samples)
			tr, drawn := startStep(t, m, data, plan, opt)
			tr.perturber.scan.scale = scale
			drawnStep := drawn.step(0, opt.Batch, opt.PerturbBatch)
			batch := drawnStep.update
			loss, accepted, err := tr.step(t.Context(), drawn, 0, drawnStep, stepEntries{})
			if err != nil || !accepted {
				t.Fatalf("accepted %v, error %v", accepted, err)
			}
			if tr.perturber.scanned().evaluations > 0 {
				t.Fatal("the step has scanned, though it had a c*")
			}

			ref, draws := newReference(m), newDraws(opt.Seed, 0, train.Len(), 1)
			p, u := newGroup(nntest.On(m), plan.Perturb...), newGroup(nntest.On(m), plan.Update...)
			perturbation := drawnStep.perturb
			gamma := draws.gamma.Float64() * opt.GammaMax
			g := ref.gradient(p.weights, train, perturbation)
			unperturbed := ref.gradient(u.weights, train, batch)
			for i, w := range p.weights {
				for j := range g[i] {
					ref.weights[w][j] -= gamma * scale * g[i][j]
				}
			}
			near(t, "loss at the perturbed weights", loss, ref.loss(train, batch), 1e-6)
			largest, share := 0.0, 0.0
			for i, d := range ref.gradient(u.weights, train, batch) {
				w := u.weights[i]
				got := values(t, tr.parameters.values, w)
				for j, x := range m.checkpoint[w] {
					want := -opt.Rate * (1 + opt.Momentum) * (d[j] + opt.WeightDecay*float64(x))
					near(t, fmt.Sprintf("change of weight %d[%d]", w, j), float64(got[j])-float64(x), want, tolerance)
					largest = max(largest, math.Abs(want))
					share = max(share, math.Abs(d[j]-unperturbed[i][j])*opt.Rate)
				}
			}
			// Otherwise the step would show nothing.
			if largest < 1e4*tolerance || share < 1e3*tolerance {
				t.Errorf("the largest change is %v, of which the perturbation makes %v", largest, share)
			}
		})
	}
}

// bowl has the loss ½(4a² + b²) for every example, of two weights that lie in
// two layers.
type bowl struct{ weightTable }

func (m *bowl) Batch() int           { return 3 }
func (m *bowl) Classes() int         { return 2 }
func (m *bowl) Necks() int           { return 3 }
func (m *bowl) NeckElements(int) int { return 1 }

func (m *bowl) Advance(_ context.Context, _, _ int, in, out []float32) error {
	copy(out, in)
	return nil
}

func (m *bowl) loss() float64 {
	a, b := float64(m.value(0)[0]), float64(m.value(1)[0])
	return (4*a*a + b*b) / 2
}

func (m *bowl) Evaluate(_ context.Context, _ int, _ []float32, labels []int, _ float64, losses []float64, logits []float32) error {
	for i := range labels {
		losses[i] = m.loss()
	}
	clear(logits)
	return nil
}

func (m *bowl) LossGradients(ctx context.Context, _ metric.Loss, from int, in []float32, labels []int, invT float64, want []int, losses []float64, sink func(int, []float32) error) error {
	if err := m.Evaluate(ctx, from, in, labels, invT, losses, nil); err != nil {
		return err
	}
	slope := [2]float32{4 * m.value(0)[0], m.value(1)[0]}
	for _, w := range want {
		if err := sink(w, []float32{slope[w] * float32(len(labels))}); err != nil {
			return err
		}
	}
	return nil
}

func newBowl(a, b float32, examples int) (*bowl, []diag.Layer, Data) {
	s := &samples{}
	for range examples {
		s.images, s.labels = append(s.images, []float32{0}), append(s.labels, 0)
	}
	layers := []diag.Layer{{Name: "a", Weights: []int{0}, Neck: 0}, {Name: "b", Index: 1, Weights: []int{1}, Neck: 1}}
	return &bowl{newWeightTable([]float32{a}, []float32{b})}, layers, Data{Train: s, Validation: s, Holdout: s}
}

// TestSAM follows two steps of SAM by hand.
func TestSAM(t *testing.T) {
	// Batches of 5 take two calls of a model that takes 3.
	m, layers, data := newBowl(0.75, 4, 10)
	opt := Options{Epochs: 1, Batch: 5, Rate: 0.1, Momentum: 0.5, WeightDecay: 0.2, Schedule: Constant, Rho: 0.5, Temperature: 1}
	r := treat(t, m, data, Plan{recipe(t, "sam"), layers, layers}, opt)
	// Step 1, at (0.75, 4):
	//   g = (4·0.75, 4) = (3, 4), its joint norm 5, ε = 0.5·(3, 4)/5 = (0.3, 0.4)
	//   at (1.05, 4.4) the gradient is (4.2, 4.4), the loss (4·1.05² + 4.4²)/2 = 11.885
	//   q = (4.2 + 0.2·0.75, 4.4 + 0.2·4) = (4.35, 5.2), b = q
	//   w = (0.75, 4) − 0.1·1.5·(4.35, 5.2) = (0.0975, 3.22)
	// Step 2:
	//   g = (0.39, 3.22), norm √(0.1521 + 10.3684) = 3.24353...
	//   ε = 0.5·g/3.24353 = (0.0601197, 0.4963728)
	//   at (0.1576197, 3.7163728) the gradient is (0.6304787, 3.7163728), the loss 6.9554...
	//   q = (0.6304787 + 0.0195, 3.7163728 + 0.644) = (0.6499787, 4.3603728)
	//   b = 0.5·(4.35, 5.2) + q = (2.8249787, 6.9603728)
	//   w = (0.0975, 3.22) − 0.1·(q + 0.5·b) = (−0.1087468, 2.4359441)
	near(t, "a", float64(r.Weights[0][0]), -0.1087468, 1e-6)
	near(t, "b", float64(r.Weights[1][0]), 2.4359441, 1e-6)
	near(t, "mean loss at the displaced weights", *r.Epochs[0].TrainLoss, (11.885+6.9554)/2, 1e-4)
}

// TestSAMAtRest moves nothing where there is no gradient to follow.
func TestSAMAtRest(t *testing.T) {
	m, layers, data := newBowl(0, 0, 10)
	opt := Options{Epochs: 1, Batch: 5, Rate: 0.1, Schedule: Constant, Rho: 0.5, Temperature: 1}
	r := treat(t, m, data, Plan{recipe(t, "sam"), layers, layers}, opt)
	if r.Stopped != "" || r.Weights[0][0] != 0 || r.Weights[1][0] != 0 {
		t.Errorf("stopped: %q, weights %v", r.Stopped, r.Weights)
	}
}

// TestWeightsDuringSteps looks at what the model reads after each step: the very
// arrays that are trained, and the checkpoint where nothing is.
func TestWeightsDuringSteps(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		t.Run(name, func(t *testing.T) {
			m, _, data := newProblem()
			opt := smallOptions()
			saved := slices.Clone(m.checkpoint)
			for w := range saved {
				saved[w] = slices.Clone(saved[w])
			}
			tr, drawn := startStep(t, m, data, plan, opt)
			for step := range tr.steps() {
				var before [6][]float32
				for w := range before {
					before[w] = slices.Clone(m.value(w))
				}
				if _, accepted, err := tr.step(t.Context(), drawn, step, drawn.step(step, opt.Batch, tr.perturber.drawn()), stepEntries{}); err != nil || !accepted {
					t.Fatalf("accepted %v, error %v", accepted, err)
				}
				for w := range before {
					override, overridden := m.override[w]
					if updated := slices.Contains(tr.parameters.weights, w); updated {
						if !overridden || &override[0] != &values(t, tr.parameters.values, w)[0] {
							t.Errorf("step %d: the model does not read weight %d where it is trained", step, w)
						}
						if slices.Equal(override, before[w]) {
							t.Errorf("step %d: weight %d has not changed", step, w)
						}
					} else if overridden {
						t.Errorf("step %d: weight %d, which is not updated, is not the checkpoint's", step, w)
					}
					if !slices.Equal(m.checkpoint[w], saved[w]) {
						t.Errorf("step %d: weight %d of the checkpoint has changed", step, w)
					}
				}
			}
		})
	}
}

// TestWeightsAfterFailure lets every single call of the model fail, or the
// context end there, and every reading of an image: each time the error comes
// back and the model has the checkpoint's weights.
func TestWeightsAfterFailure(t *testing.T) {
	_, layers, _ := newProblem()
	opt := smallOptions()
	opt.Epochs = 1
	for name, plan := range plans(t, layers) {
		t.Run(name, func(t *testing.T) {
			m, _, data := newProblem()
			check := untouched(&m.weightTable)
			treat(t, m, data, plan, opt)
			check(t)
			calls, reads := len(m.calls), data.Train.(*samples).reads
			for n := 1; n <= calls; n++ {
				for _, end := range []string{"fail", "cancel"} {
					ctx, cancel := context.WithCancel(t.Context())
					m.calls = m.calls[:0]
					want := errInjected
					if end == "cancel" {
						want = context.Canceled
					}
					m.hook = func(number int) error {
						if number == n && end == "cancel" {
							cancel()
						} else if number == n {
							return errInjected
						}
						return nil
					}
					expectFailure(ctx, t, m, data, plan, opt, want)
					check(t)
					cancel()
				}
			}
			m.hook = nil
			for n := 1; n <= reads; n++ {
				train := *data.Train.(*samples)
				train.reads, train.failAt = 0, n
				expectFailure(t.Context(), t, m, Data{Train: &train, Validation: data.Validation, Holdout: data.Holdout}, plan, opt, errInjected)
				check(t)
			}
		})
	}
}

// expectFailure treats a model and expects an error that wraps want.
func expectFailure(ctx context.Context, t *testing.T, m nntest.Slices, data Data, plan Plan, opt Options, want error) {
	t.Helper()
	if _, err := Treat(ctx, nntest.On(m), data, plan, opt); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func TestSchedule(t *testing.T) {
	o := Options{Rate: 0.4, Schedule: Cosine}
	for k, want := range []float64{0.4, 0.2 * (1 + math.Sqrt2/2), 0.2, 0.2 * (1 - math.Sqrt2/2)} {
		near(t, fmt.Sprintf("rate of step %d", k), o.scheduled(o.Rate, k, 4), want, 1e-15)
	}
	o.Schedule = Constant
	near(t, "constant rate", o.scheduled(o.Rate, 3, 4), 0.4, 0)
}
