package pol

import "math"

// optimiser is stochastic gradient descent with Nesterov momentum and coupled
// weight decay, as torch.optim.SGD has it:
//
//	q = g + decay·w
//	b = momentum·b + q      b = 0 at first
//	w = w − rate·(q + momentum·b)
//
// Elements are computed in float64 and rounded once.
type optimiser struct {
	momentum, decay float64
	buffers         [][]float32 // b, by index in the group
}

func newOptimiser(opt *Options, weights [][]float32) *optimiser {
	o := &optimiser{momentum: opt.Momentum, decay: opt.WeightDecay}
	for _, w := range weights {
		o.buffers = append(o.buffers, make([]float32, len(w)))
	}
	return o
}

// step moves tensor i, whose gradient is scale·sum.
func (o *optimiser) step(i int, w, sum []float32, scale, rate float64) {
	b := o.buffers[i]
	sum, b = sum[:len(w)], b[:len(w)]
	for j, x := range w {
		q := scale*float64(sum[j]) + o.decay*float64(x)
		m := o.momentum*float64(b[j]) + q
		b[j] = float32(m)
		w[j] = float32(float64(x) - rate*(q+o.momentum*m))
	}
}

// rate is the learning rate of step k of all.
func (o *Options) rate(k, all int) float64 {
	if o.Schedule == Constant {
		return o.Rate
	}
	return o.Rate * (1 + math.Cos(math.Pi*float64(k)/float64(all))) / 2
}
