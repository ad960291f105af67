package diag

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// Simulated experiments: how often a 95 % interval holds the quantity that it is
// about, and how often it lies wholly above it, which is what makes a false alarm.

// tally counts intervals.
type tally struct {
	sync.Mutex
	intervals, missed, tooHigh int
}

func (c *tally) add(interval [2]float64, truth float64) {
	c.Lock()
	defer c.Unlock()
	c.intervals++
	if truth < interval[0] {
		c.tooHigh++
	}
	if truth < interval[0] || truth > interval[1] {
		c.missed++
	}
}

// check fails the test unless at least 93 % of the intervals hold the truth and at
// most 2.5 % lie above it.
func (c *tally) check(t *testing.T, what string) {
	t.Helper()
	n := float64(c.intervals)
	covered, high := 1-float64(c.missed)/n, float64(c.tooHigh)/n
	t.Logf("%-50s %5d intervals: %5.1f %% cover, %4.1f %% too high", what, c.intervals, 100*covered, 100*high)
	if covered < 0.93 {
		t.Errorf("%s: %.1f %% of the intervals hold the truth, want 93 %%", what, 100*covered)
	}
	if high > 0.025 {
		t.Errorf("%s: %.1f %% of the intervals lie above the truth, want at most 2.5 %%", what, 100*high)
	}
}

// bowl is a layer of which every example has a quadratic loss aᵢ + ⟨gᵢ, w⟩ + ½‖w‖²
// at w = 0. Gradients have heavy tails: a signal that all share, and noise of
// Student's t with 3 degrees of freedom whose scale differs from example to example.
type bowl struct {
	signal    []float64 // E[gᵢ]
	gradients [][]float64
}

// newBowl draws the gradients of n examples. ratio is ‖signal‖² over the squared
// norm that the mean of n/2 examples' noise has, by which the halves' directions
// are more than noise. scales are the examples' own.
func newBowl(random *rand.Rand, n, dimensions int, ratio float64, scales []float64) *bowl {
	b := &bowl{signal: make([]float64, dimensions), gradients: make([][]float64, n)}
	const variance = 3 * 1.65 // of the noise of one element: t₃ has 3, times E[scale²]
	for j := range b.signal {
		b.signal[j] = math.Sqrt(ratio * variance / float64(n/2))
	}
	for i := range b.gradients {
		g := make([]float64, dimensions)
		for j := range g {
			g[j] = b.signal[j] + scales[i]*studentT3(random)
		}
		b.gradients[i] = g
	}
	return b
}

// exampleScales are lognormal with E[s²] = 1.65: some examples matter much more.
func exampleScales(random *rand.Rand, n int) []float64 {
	scales := make([]float64, n)
	for i := range scales {
		scales[i] = math.Exp(0.5 * random.NormFloat64())
	}
	return scales
}

func studentT3(random *rand.Rand) float64 {
	squares := 0.0
	for range 3 {
		x := random.NormFloat64()
		squares += x * x
	}
	return random.NormFloat64() / math.Sqrt(squares/3)
}

// measure returns the transfer figure, the gains, and what the moves gain in the
// population.
func (b *bowl) measure(t *testing.T, f *folds) (*Transfer, []float64, float64) {
	n, dimensions := len(b.gradients), len(b.signal)
	var sums [foldCount][]float32
	mean := make([]float64, dimensions)
	for fold, bounds := range f.bounds {
		sums[fold] = make([]float32, dimensions)
		for j := range dimensions {
			sum := 0.0
			for _, g := range b.gradients[bounds[0]:bounds[1]] {
				sum += g[j]
			}
			sums[fold][j] = float32(sum)
			mean[j] += sum / float64(n)
		}
	}
	m := nntest.On(&quadratic{newWeightTable(make([]float32, dimensions), nil), 1})
	lg := gradientOf(t, m, []int{0}, func(fold int) map[int][]float32 { return map[int][]float32{0: sums[fold]} })
	squares := 0.0
	for _, x := range mean {
		squares += x * x
	}
	start := make([]float64, n) // the constants aᵢ change no gain
	truth := 0.0
	population := map[int]float64{} // the slope of the population along each half's direction
	along := func(d direction) lossesAt {
		step := make([]float64, dimensions)
		for j := range step {
			for fold, c := range d[0] {
				step[j] += c * float64(sums[fold][j])
			}
		}
		slopes := make([]float64, n)
		for i, g := range b.gradients {
			slopes[i] = dot64(g, step)
		}
		half := foldB1 // that chooses and counts
		if d[0][foldA1] == 0 {
			half = foldA1
		}
		population[half] = dot64(b.signal, step)
		return func(fold int, t float64) ([]float64, sampled, error) {
			losses := make([]float64, f.size(fold))
			for i := range losses {
				losses[i] = t*slopes[f.bounds[fold][0]+i] + t*t/2
			}
			return losses, sampled{}, nil
		}
	}
	fit := &crossFit{folds: f, gradient: lg, start: start, longest: math.Sqrt(squares), along: along}
	got, gains, reason, err := fit.measure()
	if got == nil || err != nil {
		t.Errorf("no figure: %s, %v", reason, err)
		return nil, nil, 0
	}
	lengths := [foldCount]float64{foldA1: got.Steps.A1.T, foldB1: got.Steps.B1.T, foldA2: got.Steps.A2.T, foldB2: got.Steps.B2.T}
	counted := [foldCount]int{foldA1: foldA2, foldA2: foldA1, foldB1: foldB2, foldB2: foldB1}
	for chooser, t := range lengths {
		half := foldA1
		if chooser == foldB1 || chooser == foldB2 {
			half = foldB1
		}
		truth -= (t*population[half] + t*t/2) * float64(f.size(counted[chooser])) / float64(n)
	}
	return got, gains, truth
}

func dot64(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}

// repeat calls f with random numbers of its own for every repeat, on two threads.
func repeat(repeats int, f func(*rand.Rand)) {
	var wait sync.WaitGroup
	for thread := range 2 {
		wait.Go(func() {
			for r := thread; r < repeats; r += 2 {
				f(rand.New(rand.NewPCG(uint64(r), 12)))
			}
		})
	}
	wait.Wait()
}

// TestTransferCoverage: the interval of ΔL̂ holds what the four moves gain in the
// population, with much signal, little, or none; and so does that of the paired
// difference of two layers.
func TestTransferCoverage(t *testing.T) {
	for _, c := range []struct{ n, dimensions, repeats int }{{200, 50, 600}, {1000, 50, 200}} {
		f := newFolds(make([]int, c.n))
		for _, ratio := range []float64{0, 0.3, 1, 3, 30} {
			var gains, differences tally
			repeat(c.repeats, func(random *rand.Rand) {
				scales := exampleScales(random, c.n)
				one, gainsOne, truthOne := newBowl(random, c.n, c.dimensions, ratio, scales).measure(t, f)
				other, gainsOther, truthOther := newBowl(random, c.n, c.dimensions, 0.7*ratio, scales).measure(t, f)
				if one == nil || other == nil {
					return
				}
				if one.Reason == "" {
					gains.add(one.Gain.CI95, truthOne)
				}
				if one.Reason == "" || other.Reason == "" {
					differences.add(lessBy(narrow(gainsOne), narrow(gainsOther), f.middle()).CI95, truthOne-truthOther)
				}
			})
			what := fmt.Sprintf("n = %d, %d dimensions, signal %g", c.n, c.dimensions, ratio)
			gains.check(t, "ΔL̂, "+what)
			differences.check(t, "difference, "+what)
		}
	}
}

// TestTemperatureCoverage: the interval of the temperature's share holds what the
// two temperatures take off the population's loss, of a model that is well
// calibrated, slightly and much over-confident, or under-confident. Of a model that
// is very under-confident (0.7) the gains are so skewed, a little for most and a great
// loss for few, that about 3 % of the intervals lie too high: far above the threshold,
// where it decides nothing.
func TestTemperatureCoverage(t *testing.T) {
	const classes, population = 10, 50000
	for _, right := range []float64{1, 1.2, 2.4, 0.85} { // the temperature that is right
		random := rand.New(rand.NewPCG(1, 2))
		everyone := drawLogits(random, population, classes)
		labels := make([][]float64, population) // their probabilities
		for i := range labels {
			labels[i] = softmax(everyone.Row(i), right)
		}
		loss := func(temperature float64) float64 {
			sum := 0.0
			for i, q := range labels {
				sum += expectedLoss(everyone.Row(i), q, temperature)
			}
			return sum / population
		}
		raw := loss(1)
		// The share is a smooth function of log T: a table and straight lines will do.
		const from, to, steps = -1.0, 1.5, 75
		var table [steps + 1]float64
		for i := range table {
			table[i] = raw - loss(math.Exp(from+(to-from)*float64(i)/steps))
		}
		at := func(temperature float64) float64 {
			x := (math.Log(temperature) - from) / (to - from) * steps
			i := max(0, min(steps-1, int(x)))
			return table[i] + (x-float64(i))*(table[i+1]-table[i])
		}
		for _, n := range []int{200, 1000} {
			var drops tally
			repeat(map[int]int{200: 600, 1000: 400}[n], func(random *rand.Rand) {
				set := drawLogits(random, n, classes)
				for i := range set.Labels {
					set.Labels[i] = drawLabel(random, set.Row(i), right)
				}
				got := measureTemperature(set, n/2)
				a, okA := set.Part(0, n/2).FitTemperature()
				b, okB := set.Part(n/2, n).FitTemperature()
				if got == nil || !okA || !okB {
					t.Error("no temperature")
					return
				}
				drops.add(got.Drop.CI95, (at(a)+at(b))/2)
			})
			drops.check(t, fmt.Sprintf("temperature, n = %d, right at %g", n, right))
		}
	}
}

// drawLogits draws logits whose scale differs from example to example.
func drawLogits(random *rand.Rand, n, classes int) metric.Logits {
	set := metric.NewLogits(classes, make([]int, n))
	for i := range n {
		scale := 3 * math.Exp(0.5*random.NormFloat64())
		for c := range classes {
			set.Row(i)[c] = float32(scale * random.NormFloat64())
		}
	}
	return set
}

// softmax is the probabilities of logits divided by a temperature.
func softmax(logits []float32, temperature float64) []float64 {
	p, sum := make([]float64, len(logits)), 0.0
	for c, z := range logits {
		p[c] = math.Exp(float64(z) / temperature)
		sum += p[c]
	}
	for c := range p {
		p[c] /= sum
	}
	return p
}

// drawLabel draws a label with the probabilities that logits have at a temperature.
func drawLabel(random *rand.Rand, logits []float32, temperature float64) int {
	u := random.Float64()
	p := softmax(logits, temperature)
	for c := range p {
		if u -= p[c]; u < 0 {
			return c
		}
	}
	return len(p) - 1
}

// expectedLoss is the expected cross-entropy of logits divided by a temperature
// where labels have the given probabilities.
func expectedLoss(logits []float32, labels []float64, temperature float64) float64 {
	sum, mean := 0.0, 0.0
	for c, z := range logits {
		sum += math.Exp(float64(z) / temperature)
		mean += labels[c] * float64(z) / temperature
	}
	return math.Log(sum) - mean
}
