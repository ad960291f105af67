package pol

import "testing"

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
	steps := []struct{ gradient, want [3]float32 }{
		{[3]float32{0.8, -0.3, 0.05}, [3]float32{0.0438575074, -1.07864368, 1.97092998}},
		{[3]float32{0.7, 0.4, 0}, [3]float32{-0.462703586, -1.21063781, 1.95987248}},
		{[3]float32{-0.2, 0.1, -0.6}, [3]float32{-0.578197658, -1.25462639, 2.12489653}},
		{[3]float32{0.9, -0.5, 0.3}, [3]float32{-0.69166261, -1.22050214, 2.11958098}},
	}
	opt := Options{Rate: 0.3, Momentum: 0.9, WeightDecay: 5e-4, Schedule: Cosine}
	// Two tensors, so that each must have a buffer of its own: the second moves
	// one step later than the first.
	first, second := []float32{0.5, -1.25, 2}, []float32{0.5, -1.25, 2}
	o := newOptimiser(&opt, [][]float32{first, second})
	const batch = 8 // the optimiser is given sums over a batch
	for k, s := range steps {
		sum := make([]float32, 3)
		for j, g := range s.gradient {
			sum[j] = batch * g
		}
		o.step(0, first, sum, 1.0/batch, opt.rate(k, len(steps)))
		for j, want := range s.want {
			near(t, "weight", float64(first[j]), float64(want), 3e-7)
		}
		if k == 0 {
			continue
		}
		for j, g := range steps[k-1].gradient {
			sum[j] = batch * g
		}
		o.step(1, second, sum, 1.0/batch, opt.rate(k-1, len(steps)))
		for j, want := range steps[k-1].want {
			near(t, "weight of the second tensor", float64(second[j]), float64(want), 3e-7)
		}
	}
}
