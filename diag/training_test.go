package diag

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"

	"github.com/google/go-cmp/cmp"
)

// trainingPerceptron is newPerceptron(90) with 60 further examples.
func trainingPerceptron() (*perceptron, []Layer, *samples, *samples) {
	m, layers, all := newPerceptron(150)
	return m, layers, &samples{images: all.images[:90], labels: all.labels[:90]}, &samples{images: all.images[90:], labels: all.labels[90:]}
}

// TestTraining compares what moves do to the training examples with a slow
// implementation.
func TestTraining(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m, layers, v, training := trainingPerceptron()
		everyone := make([]int, training.Len())
		for i := range everyone {
			everyone[i] = i
		}
		for _, direction := range []Direction{Line, Balanced, Descent} {
			opt := Options{Direction: direction, DescentSteps: 1, Training: training}
			r := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, opt)
			if r.Training != 60 {
				t.Errorf("%d training examples", r.Training)
			}
			for i, l := range r.Layers {
				got := l.Training
				if got == nil {
					t.Fatalf("%s has no figures of the training examples", l.Name)
				}
				ref := newReference(m, v, layers[i].Weights, 1/r.Temperature, opt)
				of := &referenceLayer{m: m, v: training, weights: layers[i].Weights, invT: 1 / r.Temperature, opt: opt}
				start := of.checkpoint()
				near(t, "loss before", got.LossBefore, of.mean(start, everyone), 1e-6, 1)
				near(t, "loss after", got.LossAfter, of.mean(add(start, ref.path, l.Step/ref.unit), everyone), 1e-5, 1)
				near(t, "change", got.Change.Mean, got.LossAfter-got.LossBefore, 1e-9, 1)
				g := of.gradient(start, everyone)
				slope := inner(g, ref.path)
				near(t, "slope", got.Slope, slope, 1e-5, slope)
				gV := ref.layer.gradient(start, ref.everyone)
				near(t, "cosine", *got.Cosine, inner(g, gV)/length(g)/length(gV), 1e-5, 1)
			}
			// Nothing that is said of the other examples depends on these.
			opt.Training = nil
			alone := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, opt)
			for i := range r.Layers {
				r.Layers[i].Training = nil
			}
			if diff := cmp.Diff(alone.Layers, r.Layers); diff != "" {
				t.Errorf("%v, with training examples (-without +with):\n%s", direction, diff)
			}
		}
	})
}

// TestTrainingDescent: the loss after several steps is that of the last point.
func TestTrainingDescent(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		m, layers, v, _ := trainingPerceptron()
		r := diagnoseModel(t, nntest.OnBackend(t, m, on.Device), v, layers, Options{Direction: Descent, DescentSteps: 4, Training: v})
		for _, l := range r.Layers {
			near(t, "loss after", l.Training.LossAfter, *r.Metrics.StartLoss-l.DeltaLoss, 1e-9, 1)
			near(t, "cosine", *l.Training.Cosine, 1, 1e-6, 1)
		}
	})
}

func TestFinding(t *testing.T) {
	helps, perhaps := transferFigure(0.1, 0.01), transferFigure(0.1, 0.1)
	for _, c := range []struct {
		unseen *Transfer
		change metric.Estimate
		want   Finding
	}{
		{helps, metric.NormalEstimate(0.1, 0.01), OverFitted},
		{helps, metric.NormalEstimate(-0.1, 0.01), UnderTrained},
		{helps, metric.NormalEstimate(0.1, 0.1), ""},
		{perhaps, metric.NormalEstimate(0.1, 0.01), ""},
		{nil, metric.NormalEstimate(0.1, 0.01), ""},
	} {
		if got := (&Training{Change: c.change}).find(c.unseen); got != c.want {
			t.Errorf("unseen %+v, change %+v: %q, want %q", c.unseen, c.change, got, c.want)
		}
	}
}
