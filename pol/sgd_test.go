package pol

import (
	"fmt"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestOptimiser follows torch.optim.SGD (PyTorch 2.15.0, float32), whose weights
// after each step these are:
//
//	import torch
//	w = torch.nn.Parameter(torch.tensor([0.5, -1.25, 2.0]))
//	sgd = torch.optim.SGD([w], lr=0.3, momentum=0.9, nesterov=True, weight_decay=5e-4)
//	cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, T_max=4)
//	for g in [0.8, -0.3, 0.05], [0.7, 0.4, 0.0], [-0.2, 0.1, -0.6], [0.9, -0.5, 0.3]:
//	    w.grad = torch.tensor(g)
//	    sgd.step(); cosine.step()
//	    print([f"{x:.9g}" for x in w.tolist()])
func TestOptimiser(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		steps := []struct{ gradient, want [3]float32 }{
			{[3]float32{0.8, -0.3, 0.05}, [3]float32{0.0438575074, -1.07864368, 1.97092998}},
			{[3]float32{0.7, 0.4, 0}, [3]float32{-0.462703586, -1.21063781, 1.95987248}},
			{[3]float32{-0.2, 0.1, -0.6}, [3]float32{-0.578197658, -1.25462639, 2.12489653}},
			{[3]float32{0.9, -0.5, 0.3}, [3]float32{-0.69166261, -1.22050214, 2.11958098}},
		}
		opt := Options{Rate: 0.3, Momentum: 0.9, WeightDecay: 5e-4, Schedule: Cosine}
		// Two tensors, so that each must have a buffer of its own: the second moves
		// one step later than the first.
		m := nntest.OnBackend(t, &bowl{newWeightTable([]float32{0.5, -1.25, 2}, []float32{0.5, -1.25, 2})}, on.Device)
		const batch = 8 // the optimiser is given sums over a batch
		// step moves one weight by the gradient of step k.
		step := func(p *parameters, momentum *nn.Vector, w, k int) {
			t.Helper()
			sums := make([]float32, 3)
			for j, g := range steps[k].gradient {
				sums[j] = batch * g
			}
			sum, err := nn.Import(m, map[int][]float32{w: sums})
			if err != nil {
				t.Fatal(err)
			}
			err = p.values.SGD(momentum, sum, nn.SGD{Scale: 1.0 / batch, Rate: opt.scheduled(opt.Rate, k, len(steps)), Momentum: opt.Momentum, Decay: opt.WeightDecay})
			if err != nil {
				t.Fatal(err)
			}
			sum.Free()
			for j, want := range steps[k].want {
				near(t, fmt.Sprintf("weight %d[%d] after step %d", w, j, k+1), float64(values(t, p.values, w)[j]), float64(want), 3e-7)
			}
		}
		var trained [2]*parameters
		var momentum [2]*nn.Vector
		for w := range trained {
			var err error
			if trained[w], err = newParameters(m, group{weights: []int{w}}); err != nil {
				t.Fatal(err)
			}
			if momentum[w], err = nn.NewVector(m, []int{w}); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			for w := range trained {
				trained[w].values.Free()
				momentum[w].Free()
			}
		}()
		for k := range steps {
			step(trained[0], momentum[0], 0, k)
			if k > 0 {
				step(trained[1], momentum[1], 1, k-1)
			}
		}
	})
}
