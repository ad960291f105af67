package graph

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// Large maps are computed a few images at a time (see exec), small ones together: an image has
// the same bits alone and in any company, gradients are those of few images at a time, and what a
// pass needs grows by what images are taken in and given out.
func TestImagesAtATime(t *testing.T) {
	const images = 6
	for name, b := range map[string]*onnxtest.Builder{"large": mobilenetOf(128), "small": mobilenetOf(12)} {
		model := parse(t, b)
		var runners [2]*Runner
		for i, batch := range []int{images, 1} {
			n, err := Build(model, Options{Batch: batch})
			if err != nil {
				t.Fatal(err)
			}
			runners[i] = NewRunner(n, RunnerOptions{Threads: 1 + i})
			defer runners[i].Close()
		}
		together, alone := runners[0], runners[1]
		in, labels := randomBatch(together.network, images)
		evaluate := func(r *Runner, in []float32, labels []int) (losses []float64, logits []float32) {
			losses, logits = make([]float64, len(labels)), make([]float32, len(labels)*r.Classes())
			if err := r.Evaluate(context.Background(), 0, in, labels, 1, losses, logits); err != nil {
				t.Fatal(err)
			}
			return losses, logits
		}
		losses, logits := evaluate(together, in, labels)
		var eachLosses []float64
		var eachLogits []float32
		size := len(in) / images
		for i := range images {
			l, z := evaluate(alone, in[i*size:(i+1)*size], labels[i:i+1])
			eachLosses, eachLogits = append(eachLosses, l...), append(eachLogits, z...)
		}
		if !slices.Equal(losses, eachLosses) || !slices.Equal(logits, eachLogits) {
			t.Errorf("%s: logits %v, alone %v", name, logits, eachLogits)
		}
		arena := func(r *Runner) int64 {
			s, err := r.span(spanKind{to: r.Necks() - 1})
			if err != nil {
				t.Fatal(err)
			}
			return s.plan.ArenaBytes()
		}
		if few := arena(together) < images*arena(alone)/2; few != (name == "large") {
			t.Errorf("%s: %d bytes for %d images, %d for one", name, arena(together), images, arena(alone))
		}
		norm := func(r *Runner, in []float32, labels []int) (squares []float64) {
			if err := r.LossGradients(context.Background(), metric.Loss{}, 0, in, labels, 1, r.network.AllWeights(), nil, func(_ int, g nn.Memory) error {
				sum := 0.
				for _, v := range g.([]float32) {
					sum += float64(v) * float64(v)
				}
				squares = append(squares, sum)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			return squares
		}
		all := norm(together, slices.Concat(slices.Repeat([][]float32{in[:size]}, images)...), slices.Repeat(labels[:1], images))
		one := norm(alone, in[:size], labels[:1])
		for i := range all {
			if scale := math.Sqrt(all[i]) / math.Sqrt(one[i]); one[i] > 0 && math.Abs(scale-images) > 1e-3*images {
				t.Errorf("%s: gradient %d of %d equal images is %v times that of one", name, i, images, scale)
			}
		}
	}
}
