package graph

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// parseLosses returns the losses of the tests.
func parseLosses(t *testing.T, texts ...string) []metric.Loss {
	t.Helper()
	var losses []metric.Loss
	for _, text := range texts {
		l, err := metric.ParseLoss(text)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, l)
	}
	return losses
}

// differentiate returns what LossGradients gives.
func differentiate(t *testing.T, r *Runner, loss metric.Loss, from int, in nn.Memory, labels []int, invT float64, want []int, losses []float64) map[int][]float32 {
	t.Helper()
	grads := map[int][]float32{}
	err := r.LossGradients(context.Background(), loss, from, in, labels, invT, want, losses, func(w int, g nn.Memory) error {
		if grads[w] != nil {
			t.Errorf("gradient of weight %d handed out twice", w)
		}
		grads[w] = make([]float32, r.WeightElements(w))
		return r.Device().Download(grads[w], g)
	})
	if err != nil {
		t.Fatal(err)
	}
	return grads
}

// TestLossGradientsOfCrossEntropy: with the cross-entropy, losses are
// Evaluate's and gradients are Gradients', bit for bit, whether the other is
// wanted or not, in one span and in many, for full and partial batches.
func TestLossGradientsOfCrossEntropy(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, name := range fixtureModels {
			t.Run(name, func(t *testing.T) {
				n := openFixture(t, name, Options{Batch: batchOn(on)})
				for _, budget := range []int64{1, 1 << 40} {
					for _, examples := range slices.Compact([]int{n.Batch, max(1, n.Batch-1)}) {
						images, labels := randomBatch(n, examples)
						r := newRunner(t, n, RunnerOptions{BackwardBytes: budget, Device: on.Device})
						in := imported(t, r, images)
						want := make([]float64, examples)
						if err := r.Evaluate(context.Background(), 0, in, labels, 0.6, want, nil); err != nil {
							t.Fatal(err)
						}
						all := n.AllWeights()
						plain := differentiate(t, r, metric.Loss{}, 0, in, labels, 0.6, all, nil)
						got, none := make([]float64, examples), make([]float64, examples)
						both := differentiate(t, r, metric.Loss{}, 0, in, labels, 0.6, append(all, all...), got)
						differentiate(t, r, metric.Loss{}, 0, in, labels, 0.6, nil, none)
						if !slices.Equal(got, want) || !slices.Equal(none, want) {
							t.Errorf("losses %v, without gradients %v, want %v", got, none, want)
						}
						if len(plain) != len(all) {
							t.Errorf("%d gradients of %d weights", len(plain), len(all))
						}
						for w, g := range plain {
							if !slices.Equal(g, both[w]) {
								t.Errorf("gradient of weight %d differs where losses are wanted", w)
							}
						}
					}
				}
			})
		}
	})
}

// The tests of gradients in float32 compare directional derivatives with finite
// differences, relative to the derivative: rounding of the losses over the
// difference of the losses, and for the margin the kinks within a step.
const (
	directionalTolerance       = 1e-3
	directionalMarginTolerance = 2e-2
)

// TestLossGradientsByDifferences: the gradient of each loss with respect to the
// last block and the head is the slope of the sum of its losses.
func TestLossGradientsByDifferences(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		n := openFixture(t, "vit-cifar100", Options{Batch: batchOn(on)})
		images, labels := randomBatch(n, n.Batch)
		var want []int
		for _, name := range []string{"blocks.5", "block:head"} {
			_, l, err := n.FindLayer(name)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, l.Weights...)
		}
		r := newRunner(t, n, RunnerOptions{Device: on.Device})
		in := imported(t, r, images)
		for _, loss := range parseLosses(t, "ce", "smooth:0.3", "focal:2", "focal:0.5", "margin", "soft01", "soft01:1") {
			for _, invT := range []float64{1, 0.4} {
				losses := make([]float64, n.Batch)
				grads := differentiate(t, r, loss, 0, in, labels, invT, want, losses)
				norm := 0.0
				for _, g := range grads {
					for _, x := range g {
						norm += float64(x) * float64(x)
					}
				}
				norm = math.Sqrt(norm)
				sum := func(step float64) float64 {
					for _, w := range want {
						moved := slices.Clone(r.Weight(w))
						for i, g := range grads[w] {
							moved[i] += float32(step * float64(g) / norm)
						}
						r.Override(w, imported(t, r, moved))
					}
					differentiate(t, r, loss, 0, in, labels, invT, nil, losses)
					total := 0.0
					for _, x := range losses {
						total += x
					}
					return total
				}
				// Two central differences, combined so that the error of second
				// order in the step cancels.
				const h = 0.01
				slope := (8*(sum(h)-sum(-h)) - (sum(2*h) - sum(-2*h))) / (12 * h)
				for _, w := range want {
					r.Override(w, nil)
				}
				tolerance := directionalTolerance
				if loss.Kind() == metric.Margin {
					tolerance = directionalMarginTolerance
				}
				if math.Abs(slope-norm) > tolerance*norm {
					t.Errorf("%v, 1/T %v: slope %v along the gradient, whose norm is %v", loss, invT, slope, norm)
				}
				t.Logf("%v, 1/T %v: slope %v, norm %v (%.1e)", loss, invT, slope, norm, slope/norm-1)
			}
		}
	})
}

// BenchmarkHeadGradients is a training step's gradient of the classifier alone,
// from the neck before it: what a step costs beside its arithmetic.
func BenchmarkHeadGradients(b *testing.B) {
	n := openFixture(b, "vit-cifar100", Options{Batch: 64})
	_, head, err := n.FindLayer("module:head")
	if err != nil {
		b.Fatal(err)
	}
	r := NewRunner(n, RunnerOptions{})
	in, labels := randomBatch(n, n.Batch)
	for k := range head.Neck {
		out := make([]float32, n.Batch*r.NeckElements(k+1))
		if err := r.Advance(context.Background(), k, k+1, in, out, n.Batch); err != nil {
			b.Fatal(err)
		}
		in = out
	}
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		err := r.LossGradients(context.Background(), metric.Loss{}, head.Neck, in, labels, 1, head.Weights, nil, func(int, nn.Memory) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}
