package diag

import (
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Gradients at or below these shares are rounding errors. A key's bias, for
// example, has a gradient of exactly zero that float32 arithmetic does not
// quite reach.
const (
	noisyTensor = 1e-6 // of the largest norm of a tensor's gradient in the layer
	noisyLayer  = 1e-7 // of the loss: what a move by the layer's own norm would take off
)

// layerGradient is a layer's tensors with their gradients.
type layerGradient struct {
	weights []int      // the model's numbers
	start   *nn.Vector // the checkpoint
	sums    foldSums
	grams   []gram
	norms   []float64 // ‖w‖ of each tensor
	wNorm   float64   // ‖w‖ of the layer
}

func newLayerGradient(m nn.Model, layer Layer, sums foldSums) (*layerGradient, error) {
	start, err := nn.Checkpoint(m, layer.Weights)
	if err != nil {
		return nil, err
	}
	lg := &layerGradient{weights: layer.Weights, start: start, sums: sums}
	squares := 0.0
	for _, w := range layer.Weights {
		g, err := newGram(w, sums)
		if err != nil {
			return nil, err
		}
		square, err := nn.Dot(w, start, start)
		if err != nil {
			return nil, err
		}
		tensor := math.Sqrt(square)
		lg.grams, lg.norms = append(lg.grams, g), append(lg.norms, tensor)
		squares += tensor * tensor
	}
	lg.wNorm = math.Sqrt(squares)
	return lg, nil
}

// norm is the norm over the layer of a combination of the folds' gradients.
func (lg *layerGradient) norm(a perFold) float64 {
	return math.Sqrt(max(0, lg.product(a, a)))
}

// product is the inner product over the layer of two combinations.
func (lg *layerGradient) product(a, b perFold) float64 {
	sum := 0.0
	for i := range lg.grams {
		sum += lg.grams[i].product(a, b)
	}
	return sum
}

// finite reports whether every gradient is.
func (lg *layerGradient) finite() bool {
	for i := range lg.grams {
		for _, row := range lg.grams[i] {
			for _, x := range row {
				if !metric.IsFinite(x) {
					return false
				}
			}
		}
	}
	return true
}

// agreement is the cosine between two combinations; nil if either is zero.
func (lg *layerGradient) agreement(a, b perFold) *float64 {
	product := lg.norm(a) * lg.norm(b)
	if product == 0 {
		return nil
	}
	cosine := max(-1, min(1, lg.product(a, b)/product))
	return &cosine
}

// A direction is a line in the space of a layer's weights: for each tensor, the
// combination of the folds' gradients by which it moves per unit of t.
type direction []perFold

// line is −g/‖g‖ for the gradient g of the mean loss given by mean. It reports
// false if g is zero or no more than the rounding errors of a loss.
func (lg *layerGradient) line(mean perFold, loss float64) (direction, bool) {
	g := lg.norm(mean)
	if g*max(lg.wNorm, 1) <= noisyLayer*math.Abs(loss) || g == 0 {
		return nil, false
	}
	d := make(direction, len(lg.grams))
	for i := range d {
		d[i] = mean.scale(-1 / g)
	}
	return d, true
}

// balanced is −(‖w_τ‖/‖g_τ‖)·g_τ for each tensor τ. Per unit of t every tensor
// moves by its own norm. A tensor of norm zero does not move, nor does one
// whose gradient is a rounding error.
func (lg *layerGradient) balanced(mean perFold, loss float64) (direction, bool) {
	largest := 0.0
	for i := range lg.grams {
		largest = max(largest, lg.grams[i].norm(mean))
	}
	d := make(direction, len(lg.grams))
	steepness := 0.0
	for i := range d {
		if g := lg.grams[i].norm(mean); g > noisyTensor*largest {
			d[i] = mean.scale(-lg.norms[i] / g)
			steepness += lg.norms[i] * g
		}
	}
	return d, steepness > noisyLayer*math.Abs(loss)
}

// direction is the path of the given kind for the mean loss given by mean, and
// false where there is none.
func (lg *layerGradient) direction(kind Direction, mean perFold, loss float64) (direction, bool) {
	if kind == Balanced {
		return lg.balanced(mean, loss)
	}
	return lg.line(mean, loss)
}

// slope is the derivative at t = 0 along d of the mean loss given by mean.
func (lg *layerGradient) slope(d direction, mean perFold) float64 {
	sum := 0.0
	for i := range d {
		sum += lg.grams[i].product(mean, d[i])
	}
	return sum
}

// move sets dst to the layer at t along d.
func (lg *layerGradient) move(dst *nn.Vector, d direction, t float64) error {
	for i, w := range lg.weights {
		c := d[i].scale(t)
		if err := dst.Combine(w, lg.start, c[:], lg.sums[:]...); err != nil {
			return err
		}
	}
	return nil
}
