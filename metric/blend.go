package metric

import "math"

// MaxBlendParts is the most parts that a [Blend] may have.
const MaxBlendParts = 4

// A Blend is examples whose logits are z = Σ_k Weights[k]·Parts[k], and change at the
// rate ż = Σ_k Rates[k]·Parts[k]. The parts, one at least, are the logits of the same
// examples.
type Blend struct {
	Parts          []Logits
	Weights, Rates []float64
}

// Loss is the mean cross-entropy of z·invT, in nats, with its derivative along ż, and
// the second one as if ż were constant: the mean over examples of invT·(E[ż] − ż_y) and
// of invT²·Var[ż], expectations over the softmax of z·invT.
func (b Blend) Loss(invT float64) (loss, slope, curvature float64) {
	labels, classes := b.Parts[0].Labels, b.Parts[0].Classes
	z, rate := make([]float64, classes), make([]float64, classes)
	for p, label := range labels {
		top := b.row(p, z, rate)
		var sum, mean, square float64
		for c, v := range z {
			e, change := math.Exp(invT*(v-top)), rate[c]
			sum += e
			e *= change
			mean += e
			square += e * change
		}
		mean /= sum
		loss += math.Log(sum) + invT*(top-z[label])
		slope += invT * (mean - rate[label])
		curvature += invT * invT * max(0, square/sum-mean*mean)
	}
	n := float64(len(labels))
	return loss / n, slope / n, curvature / n
}

// row computes z and ż of one example, and returns the largest z.
func (b Blend) row(position int, z, rate []float64) float64 {
	// In one pass, whatever the number of parts: those that are missing weigh nothing.
	var rows [MaxBlendParts][]float32
	var w, r [MaxBlendParts]float64
	for k := range rows {
		rows[k] = b.Parts[min(k, len(b.Parts)-1)].Row(position)
	}
	copy(w[:], b.Weights)
	copy(r[:], b.Rates)
	rate = rate[:len(z)]
	r0, r1, r2, r3 := rows[0][:len(z)], rows[1][:len(z)], rows[2][:len(z)], rows[3][:len(z)]
	w0, w1, w2, w3 := w[0], w[1], w[2], w[3]
	s0, s1, s2, s3 := r[0], r[1], r[2], r[3]
	top := math.Inf(-1)
	for c := range z {
		x0, x1, x2, x3 := float64(r0[c]), float64(r1[c]), float64(r2[c]), float64(r3[c])
		v := w0*x0 + w1*x1 + w2*x2 + w3*x3
		z[c], rate[c] = v, s0*x0+s1*x1+s2*x2+s3*x3
		if v > top {
			top = v
		}
	}
	return top
}
