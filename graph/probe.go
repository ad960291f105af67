package graph

import (
	"context"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// ProbeResult is what a network computes for given inputs, to be compared with
// another runtime. Losses are in nats.
type ProbeResult struct {
	Logits        [][]float32 // per example
	Probabilities [][]float64 // their softmax
	Losses        []float64   // per example; nil without labels
	Loss          float64     // their mean
	Weights       []GradientNorms
	Layers        []LayerGradient // at block granularity
}

// GradientNorms are figures of one weight and of the gradient g of the mean
// loss with respect to it. They do not depend on how the weight is stored.
type GradientNorms struct {
	Weight int     // index in Network.Weights
	WNorm  float64 // ‖w‖
	GNorm  float64 // ‖g‖
	GDotW  float64 // ⟨g, w⟩
}

// LayerGradient is the gradient of the mean loss over all weights of a layer.
type LayerGradient struct {
	Name  string
	GNorm float64 // ‖g‖
}

// Probe runs examples, in the model's own layout one after the other, and with
// labels also differentiates their mean loss. len(in) must be a multiple of
// the input's size; labels is nil or has one entry per example.
func Probe(ctx context.Context, r *Runner, in []float32, labels []int) (*ProbeResult, error) {
	n := r.network
	size := n.Input.Elements()
	count := len(in) / size
	if len(in)%size != 0 || count == 0 {
		return nil, fmt.Errorf("%d values are not a whole number of inputs of %d", len(in), size)
	}
	logits, losses := make([]float32, count*n.Classes), make([]float64, count)
	every := n.AllWeights()
	var sums *nn.Vector // of the examples' gradients
	if labels != nil {
		var err error
		if sums, err = nn.NewVector(r, every); err != nil {
			return nil, err
		}
		defer sums.Free()
	}
	images, err := r.device.Alloc(min(count, r.Batch()) * size)
	if err != nil {
		return nil, err
	}
	defer r.device.Free(images)
	for lo := 0; lo < count; lo += r.Batch() {
		hi := min(lo+r.Batch(), count)
		if err := r.device.Upload(images, in[lo*size:hi*size]); err != nil {
			return nil, err
		}
		known := make([]int, hi-lo)
		if labels != nil {
			known = labels[lo:hi]
		}
		if err := r.Evaluate(ctx, 0, images, known, 1, losses[lo:hi], logits[lo*n.Classes:hi*n.Classes]); err != nil {
			return nil, err
		}
		if labels == nil {
			continue
		}
		if err := r.LossGradients(ctx, metric.Loss{}, 0, images, known, 1, every, nil, sums.Add); err != nil {
			return nil, err
		}
	}
	p := &ProbeResult{}
	for i := range count {
		row := logits[i*n.Classes : (i+1)*n.Classes]
		p.Logits = append(p.Logits, row)
		p.Probabilities = append(p.Probabilities, softmax(row))
	}
	if labels == nil {
		return p, nil
	}
	p.Losses = losses
	for _, l := range losses {
		p.Loss += l / float64(count)
	}
	p.Weights, p.Layers, err = r.gradientNorms(sums, count)
	return p, err
}

// gradientNorms returns the figures of every weight and block, from the sums of
// the gradients of so many examples.
func (r *Runner) gradientNorms(sums *nn.Vector, examples int) (weights []GradientNorms, layers []LayerGradient, err error) {
	squares := make([]float64, len(r.network.Weights)) // ‖g‖²
	for i := range squares {
		sum, err := sums.Values(i)
		if err != nil {
			return nil, nil, err
		}
		var ww, gw float64
		for j, x := range r.Weight(i) {
			ww += float64(x) * float64(x)
			d := float64(sum[j]) / float64(examples)
			squares[i] += d * d
			gw += d * float64(x)
		}
		weights = append(weights, GradientNorms{Weight: i, WNorm: math.Sqrt(ww), GNorm: math.Sqrt(squares[i]), GDotW: gw})
	}
	for _, l := range r.network.Layers(ByBlock) {
		var square float64
		for _, w := range l.Weights {
			square += squares[w]
		}
		layers = append(layers, LayerGradient{l.Name, math.Sqrt(square)})
	}
	return weights, layers, nil
}

// softmax in float64.
func softmax(z []float32) []float64 {
	top := math.Inf(-1)
	for _, x := range z {
		top = max(top, float64(x))
	}
	p := make([]float64, len(z))
	var sum float64
	for i, x := range z {
		p[i] = math.Exp(float64(x) - top)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
