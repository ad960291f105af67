package pol

// Predictor is a figure by which the layer to perturb might be chosen before anything is
// trained.
type Predictor string

// The predictors: those of [Candidate], and how far up P lies.
const (
	PredictKappa       Predictor = "kappa"
	PredictKappaScaled Predictor = "kappa_scaled"
	PredictAgreement   Predictor = "agreement"
	PredictDepth       Predictor = "depth"
)

// Concordance counts pairs of candidates of the same U of which the figure of P and the
// loss on V say which is the better: in how many of them the P with the larger figure has
// the lower loss. A figure that says nothing agrees in half of them. Pairs that share a
// candidate are not independent, so this is a description, no test.
type Concordance struct {
	Predictor Predictor
	Agree     int
	Pairs     int
}

// Concordances compares each predictor with the losses of the first round, which all
// candidates were in. Losses that are the same to 0.001 nats say nothing.
func (s *LayerSearch) Concordances() []Concordance {
	var all []Concordance
	for _, p := range []struct {
		name   Predictor
		figure func(c *Candidate) *float64
	}{
		{PredictKappa, func(c *Candidate) *float64 { return c.Kappa }},
		{PredictKappaScaled, func(c *Candidate) *float64 { return c.KappaScaled }},
		{PredictAgreement, func(c *Candidate) *float64 { return c.Agreement }},
		{PredictDepth, func(c *Candidate) *float64 { return c.depth() }},
	} {
		count := Concordance{Predictor: p.name}
		for i := range s.Candidates {
			for j := range i {
				a, b := &s.Candidates[i], &s.Candidates[j]
				x, y := p.figure(a), p.figure(b)
				if a.Update.Name != b.Update.Name || x == nil || y == nil || *x == *y {
					continue
				}
				lossA, lossB := s.firstLoss(i), s.firstLoss(j)
				if lossA == lossB {
					continue
				}
				count.Pairs++
				if (*x > *y) == (lossA < lossB) {
					count.Agree++
				}
			}
		}
		all = append(all, count)
	}
	return all
}

// depth is how far up P lies; nil where there is none.
func (c *Candidate) depth() *float64 {
	if c.Why == WhyNothing {
		return nil
	}
	depth := float64(c.Perturb.Neck)
	return &depth
}

// firstLoss is a candidate's loss in the first round, as it is compared.
func (s *LayerSearch) firstLoss(candidate int) float64 {
	return resolved(s.Trials[0][candidate].loss())
}
