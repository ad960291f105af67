package pol

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/modeldoctor/modeldoctor/nn"
)

// A mixer blends the examples of an update with each other where they enter the
// updated layers, at the highest neck below them: mixup (Zhang et al.,
// https://arxiv.org/abs/1710.09412) where that is the images, manifold mixup (Verma
// et al., https://arxiv.org/abs/1806.05236) above. What lies below is computed, and
// kept, as without.
//
// Mixup's loss of a pair is λ·L(x̃, y) + (1−λ)·L(x̃, y′) for x̃ = λx + (1−λ)x′ and
// λ ~ Beta(α, α). Exchanging the pair's examples, which are drawn alike, and λ with
// 1−λ turns the second term into the first: the expectation is that of
// 2λ·L(x̃, y), and 2λ times the density of Beta(α, α) is that of Beta(α+1, α). So λ is
// drawn from that, every example keeps its own label, and one gradient is enough,
// whatever the loss.
type mixer struct {
	alpha    float64
	partners *nn.Activations
}

// mix replaces each example of a batch by its blend with another of the batch, by one
// λ for all.
func (x *mixer) mix(ctx context.Context, random *rand.Rand, batch *nn.Activations) error {
	share := betaVariate(random, x.alpha+1, x.alpha)
	if err := x.partners.Gather(ctx, batch, random.Perm(batch.Len()), batch.Neck(), nil); err != nil {
		return err
	}
	return nn.Mix(batch, x.partners, share)
}

// betaVariate draws from Beta(a, b).
func betaVariate(random *rand.Rand, a, b float64) float64 {
	x, y := gammaVariate(random, a), gammaVariate(random, b)
	return x / (x + y)
}

// gammaVariate draws from the gamma distribution of a shape above 0, with scale 1:
// Marsaglia and Tsang, A Simple Method for Generating Gamma Variables, ACM
// Transactions on Mathematical Software 26 (2000), sections 3 and 6.
func gammaVariate(random *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gammaVariate(random, shape+1) * math.Pow(random.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := random.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(1-random.Float64()) < x*x/2+d*(1-v+math.Log(v)) {
			return d * v
		}
	}
}
