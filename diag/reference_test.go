package diag

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

// reference is the figures of one layer of a perceptron, by their definitions
// written down as slowly and directly as possible: every loss from the images,
// every minimum found by walking in tiny steps.
type reference struct {
	layer                                   *referenceLayer
	loss, gNorm, deltaLoss, step, agreement float64
	lengths                                 [4]float64 // chosen by A1, B1, A2, B2

	everyone   []int
	path       [][]float64    // of all examples, from the checkpoint
	unit       float64        // of path's t in ‖Δw‖
	parts      [4][]int       // A1, B1, A2, B2
	directions [4][][]float64 // along which each part chooses
}

type referenceLayer struct {
	m       *perceptron
	v       *samples
	weights []int
	invT    float64
	opt     Options
}

func newReference(m *perceptron, v *samples, weights []int, invT float64, opt Options) *reference {
	l := &referenceLayer{m, v, weights, invT, opt}
	everyone := make([]int, v.Len())
	for i := range everyone {
		everyone[i] = i
	}
	start := l.checkpoint()
	g := l.gradient(start, everyone)
	r := &reference{layer: l, everyone: everyone, loss: l.mean(start, everyone), gNorm: length(g), path: l.direction(start, g), unit: 1}
	if opt.Direction == Balanced {
		r.unit = length(start)
	}
	if opt.Direction == Descent {
		here := start
		for range opt.DescentSteps {
			d := l.direction(here, l.gradient(here, everyone))
			here = add(here, d, l.walk(here, d, everyone))
		}
		r.step, r.deltaLoss = length(add(here, start, -1)), r.loss-l.mean(here, everyone)
	} else {
		r.step = l.walk(start, r.path, everyone) * r.unit
		r.deltaLoss = r.deltaLossAt(r.step)
	}
	longest := l.walk(start, r.path, everyone)

	// Dealt like cards.
	dealt := slices.Clone(everyone)
	slices.SortStableFunc(dealt, func(a, b int) int { return cmp.Compare(v.labels[a], v.labels[b]) })
	for position, i := range dealt {
		r.parts[position%4] = append(r.parts[position%4], i)
	}
	gA := l.gradient(start, slices.Concat(r.parts[0], r.parts[2]))
	gB := l.gradient(start, slices.Concat(r.parts[1], r.parts[3]))
	r.agreement = inner(gA, gB) / length(gA) / length(gB)
	for chooser := range r.parts {
		other := gA
		if chooser%2 == 0 {
			other = gB
		}
		r.directions[chooser] = l.direction(start, other)
		r.lengths[chooser] = min(longest, l.walk(start, r.directions[chooser], r.parts[chooser]))
	}
	return r
}

// deltaLossAt is ΔL of a given ‖Δw‖ along the path.
func (r *reference) deltaLossAt(step float64) float64 {
	return r.loss - r.layer.mean(add(r.layer.checkpoint(), r.path, step/r.unit), r.everyone)
}

// transferAt is ΔL̂, its standard error and κ̂ of given lengths.
func (r *reference) transferAt(lengths [4]float64) (mean, se, kappa float64) {
	start := r.layer.checkpoint()
	var gains [2][]float64 // of the examples of A and B
	squares := 0.0
	for chooser, t := range lengths {
		moved := add(start, r.directions[chooser], t)
		for _, i := range r.parts[(chooser+2)%4] {
			gains[chooser%2] = append(gains[chooser%2], r.layer.mean(start, []int{i})-r.layer.mean(moved, []int{i}))
		}
		squares += t * t / 4
	}
	n := float64(len(gains[0]) + len(gains[1]))
	for _, half := range gains {
		of, squared := 0.0, 0.0
		for _, gain := range half {
			of += gain / float64(len(half))
			mean += gain / n
		}
		for _, gain := range half {
			squared += (gain - of) * (gain - of)
		}
		se += math.Sqrt(squared/float64(len(half)-1)/float64(len(half))) / 2
	}
	return mean, se, mean / squares
}

// checkpoint is the layer's weights, one vector per tensor.
func (l *referenceLayer) checkpoint() [][]float64 {
	w := make([][]float64, len(l.weights))
	for i, index := range l.weights {
		for _, x := range l.m.Weight(index) {
			w[i] = append(w[i], float64(x))
		}
	}
	return w
}

// with calls f with the layer's weights set to w.
func (l *referenceLayer) with(w [][]float64, f func()) {
	for i, index := range l.weights {
		v := make([]float32, len(w[i]))
		for j := range v {
			v[j] = float32(w[i][j])
		}
		l.m.Override(index, v)
		defer l.m.Override(index, nil)
	}
	f()
}

// mean is the mean loss of some examples with the layer's weights at w.
func (l *referenceLayer) mean(w [][]float64, of []int) float64 {
	sum := 0.0
	l.with(w, func() {
		for _, i := range of {
			_, z, _ := l.m.forward(0, l.v.images[i], 1)
			sum += crossEntropy64(z, l.v.labels[i], l.invT)
		}
	})
	return sum / float64(len(of))
}

func crossEntropy64(z []float64, label int, invT float64) float64 {
	sum := 0.0
	for _, x := range z {
		sum += math.Exp(invT * (x - z[label]))
	}
	return math.Log(sum)
}

// gradient is that of mean, example by example.
func (l *referenceLayer) gradient(w [][]float64, of []int) [][]float64 {
	g := make([][]float64, len(w))
	l.with(w, func() {
		for i := range w {
			g[i] = make([]float64, len(w[i]))
			for _, e := range of {
				err := l.m.LossGradients(context.Background(), metric.Loss{}, 0, l.v.images[e], l.v.labels[e:e+1], l.invT, []int{l.weights[i]}, nil, func(_ int, part []float32) error {
					for j, x := range part {
						g[i][j] += float64(x) / float64(len(of))
					}
					return nil
				})
				if err != nil {
					panic(err)
				}
			}
		}
	})
	return g
}

// direction is where the weights move per unit of t.
func (l *referenceLayer) direction(w, g [][]float64) [][]float64 {
	d := make([][]float64, len(g))
	for i := range g {
		scale := -1 / length(g)
		if l.opt.Direction == Balanced {
			scale = -length(w[i:i+1]) / length(g[i:i+1])
		}
		for _, x := range g[i] {
			d[i] = append(d[i], scale*x)
		}
	}
	return d
}

// walk is the first local minimiser t ≥ 0 of the mean loss along d: small steps,
// each a little longer than the last, until the loss rises.
func (l *referenceLayer) walk(w, d [][]float64, of []int) float64 {
	const first, growth = 1e-4, 1.004
	t, loss := 0.0, l.mean(w, of)
	for stride := first; ; stride *= growth {
		next := l.mean(add(w, d, t+stride), of)
		if next >= loss {
			return t
		}
		t, loss = t+stride, next
	}
}

func add(w, d [][]float64, t float64) [][]float64 {
	sum := make([][]float64, len(w))
	for i := range w {
		for j := range w[i] {
			sum[i] = append(sum[i], w[i][j]+t*d[i][j])
		}
	}
	return sum
}

func inner(a, b [][]float64) float64 {
	sum := 0.0
	for i := range a {
		for j := range a[i] {
			sum += a[i][j] * b[i][j]
		}
	}
	return sum
}

func length(a [][]float64) float64 { return math.Sqrt(inner(a, a)) }

// checkNumbers fails the test if a report holds a number that JSON has not.
func checkNumbers(t *testing.T, r *Report) {
	t.Helper()
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}
