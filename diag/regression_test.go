package diag

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
)

// simulated is a model of independent layers, whose loss is quadratic in each with
// curvature 1: example i has the gradient signal + noise, of a heavy tail, and a gain
// of t·⟨u, g_i⟩ − t²/2 from a move of length t along the unit vector u.
type simulated struct {
	signals []float64 // |E g| of each layer, in standard errors of a half's gradient
	uphill  float64   // how much farther the last layer has been moved away from its minimum
	n, dim  int
}

// examples are the gradients of n examples in each layer, in data order; the noise
// alone, so that two models can see the same examples.
func (s *simulated) examples(random *rand.Rand) [][][]float64 {
	noise := make([][][]float64, len(s.signals))
	for l := range noise {
		noise[l] = make([][]float64, s.n)
		for i := range noise[l] {
			scale := math.Exp(0.7 * random.NormFloat64())
			noise[l][i] = make([]float64, s.dim)
			for j := range noise[l][i] {
				noise[l][i][j] = scale * random.NormFloat64()
			}
		}
	}
	return noise
}

// diagnose measures the layers on examples as [crossFit] does, and concludes.
func (s *simulated) diagnose(noise [][][]float64, opt Options) *Report {
	r, found := healthy()
	r.N, r.Layers, r.Tests = s.n, nil, len(s.signals)
	r.Metrics.Temperature.Drop = metric.NormalEstimate(0, 1e-4)
	found.Layers, found.Order = nil, make([]int32, s.n)
	for i := range s.n {
		found.Order[i] = int32(i)
	}
	found.Middle = s.n / 2
	found.Checkpoint.Losses = make([]float64, s.n)
	found.Checkpoint.Correct = make([]bool, s.n)
	for i := range found.Checkpoint.Losses {
		found.Checkpoint.Correct[i] = noise[0][i][0] < 0.5
		found.Checkpoint.Losses[i] = 2 + noise[0][i][0] // a spread of losses
	}
	for l, signal := range s.signals {
		if l == len(s.signals)-1 {
			signal += s.uphill
		}
		gradients := make([][]float64, s.n)
		for i, g := range noise[l] {
			gradients[i] = slices.Clone(g)
			gradients[i][0] += signal * math.Sqrt(2*float64(s.dim)/float64(s.n))
		}
		gains := fourMoves(gradients)
		gain, a, b := metric.CrossFitted(gains, found.Middle)
		name := string(rune('a' + l))
		layer := LayerResult{Name: name, Status: StatusOK, Transfer: &Transfer{Gain: gain, SEA: a, SEB: b}}
		r.Layers = append(r.Layers, layer)
		found.Layers = append(found.Layers, LayerFindings{Result: layer, Gains: narrow(gains), Noise: gain.SE})
	}
	conclude(r, found, opt)
	for l := range r.Layers {
		r.Layers[l].Transfer.Gains = found.inDataOrder(found.Layers[l].Gains)
	}
	r.Metrics.Right = found.Checkpoint.Correct
	r.Metrics.Losses = found.inDataOrder(narrow(found.Checkpoint.Losses))
	return r
}

// fourMoves are the cross-fitted gains of examples whose quarters A1, A2, B1, B2 stand
// one behind the other.
func fourMoves(g [][]float64) []float64 {
	n := len(g)
	mean := func(lo, hi int) []float64 {
		sum := make([]float64, len(g[0]))
		for _, x := range g[lo:hi] {
			for j := range sum {
				sum[j] += x[j] / float64(hi-lo)
			}
		}
		return sum
	}
	dot := func(x, y []float64) (sum float64) {
		for j := range x {
			sum += x[j] * y[j]
		}
		return sum
	}
	longest := math.Sqrt(dot(mean(0, n), mean(0, n)))
	gains := make([]float64, n)
	for half := range 2 {
		lo, hi := (1-half)*n/2, (2-half)*n/2 // whose gradient directs
		u := mean(lo, hi)
		norm := math.Sqrt(dot(u, u))
		other := half * n / 2
		for quarter := range 2 {
			chooser, counted := other+quarter*n/4, other+(1-quarter)*n/4
			t := min(max(0, dot(u, mean(chooser, chooser+n/4))/norm), longest)
			for i := counted; i < counted+n/4; i++ {
				gains[i] = t*dot(u, g[i])/norm - t*t/2
			}
		}
	}
	return gains
}

// prior is what a later diagnosis compares itself with.
func prior(r *Report, same bool) *Prior {
	p := &Prior{Calibrated: true, SameExamples: func() bool { return same }, Layers: map[string]PriorFigure{}, Violations: r.Violations}
	for _, l := range r.Layers {
		p.Layers[l.Name] = PriorFigure{l.Transfer.Gain, l.Transfer.Gains}
	}
	p.Temperature = &PriorFigure{Estimate: r.Metrics.Temperature.Drop}
	losses := make([]float64, len(r.Metrics.Losses))
	for i, loss := range r.Metrics.Losses {
		losses[i] = float64(loss)
	}
	wrong := make([]float64, len(r.Metrics.Right))
	for i, right := range r.Metrics.Right {
		if !right {
			wrong[i] = 1
		}
	}
	p.Error = &PriorFigure{metric.NewEstimate(wrong), narrow(wrong)}
	p.Loss = &PriorFigure{metric.NewEstimate(losses), r.Metrics.Losses}
	return p
}

// worse are the layers that are worse than before.
func worse(r *Report) (layers []string) {
	for _, v := range r.Violations {
		if v.Rule == RuleRegression || v.Rule == RuleHigherLoss {
			layers = append(layers, v.Layer)
		}
	}
	return layers
}

// TestRegressions: of a model that has not changed, other examples bring up a
// regression in at most 5 of 100 comparisons; one layer moved uphill is named, and alone, in
// at least 95 of 100, by the same examples and by others. The layers hold nothing
// but noise, little, or much.
func TestRegressions(t *testing.T) {
	const runs = 200
	healthy := simulated{signals: []float64{0, 0, 0.3, 0.5, 1, 2, 4, 1}, n: 200, dim: 24}
	sick := healthy
	sick.uphill = 5
	alarms, found := 0, map[bool]int{} // by whether the examples are the same
	for run := range uint64(runs) {
		random := rand.New(rand.NewPCG(run, 1))
		examples, others := healthy.examples(random), healthy.examples(random)
		before := healthy.diagnose(examples, Options{})
		if worse(healthy.diagnose(examples, Options{Prior: prior(before, true)})) != nil {
			t.Fatalf("run %d: a model is worse than itself on the same examples", run)
		}
		if worse(healthy.diagnose(others, Options{Prior: prior(before, false)})) != nil {
			alarms++
		}
		for same, on := range map[bool][][][]float64{true: examples, false: others} {
			if slices.Equal(worse(sick.diagnose(on, Options{Prior: prior(before, same)})), []string{"h"}) {
				found[same]++
			}
		}
	}
	t.Logf("%d false alarms in %d comparisons; the planted regression is found in %d on the same examples, in %d on others", alarms, runs, found[true], found[false])
	if alarms > runs*5/100 || found[true] < runs*95/100 || found[false] < runs*95/100 {
		t.Error("want at most 5 of 100 false alarms, and at least 95 of 100 found")
	}
}
