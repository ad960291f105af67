package metric

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBlend: loss and derivatives are those of logits that are blended first, the
// derivatives by differences.
func TestBlend(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const invT, classes = 0.7, 5
	labels := []int{0, 4, 2, 2, 1, 3, 0}
	for parts := 1; parts <= MaxBlendParts; parts++ {
		b := Blend{}
		for range parts {
			part := NewLogits(classes, labels)
			for i := range part.Values {
				part.Values[i] = float32(3 * rng.NormFloat64())
			}
			b.Parts = append(b.Parts, part)
			b.Weights, b.Rates = append(b.Weights, rng.NormFloat64()), append(b.Rates, rng.NormFloat64())
		}
		// lossAt is that of the logits after the change has gone on for a time.
		lossAt := func(time float64) float64 {
			sum := 0.0
			for p, label := range labels {
				var z [classes]float64
				total := 0.0
				for c := range z {
					for k, part := range b.Parts {
						z[c] += (b.Weights[k] + time*b.Rates[k]) * float64(part.Row(p)[c])
					}
					total += math.Exp(invT * z[c])
				}
				sum += math.Log(total) - invT*z[label]
			}
			return sum / float64(len(labels))
		}
		const step = 1e-3
		before, at, after := lossAt(-step), lossAt(0), lossAt(step)
		loss, slope, curvature := b.Loss(invT)
		for _, figure := range []struct {
			name           string
			got, want, tol float64
		}{
			{"loss", loss, at, 1e-12},
			{"slope", slope, (after - before) / (2 * step), 1e-5},
			{"curvature", curvature, (after - 2*at + before) / (step * step), 1e-5},
		} {
			if math.Abs(figure.got-figure.want) > figure.tol*(1+math.Abs(figure.want)) {
				t.Errorf("%d parts: %s %v, want %v", parts, figure.name, figure.got, figure.want)
			}
		}
	}
}
