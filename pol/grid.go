package pol

import (
	"cmp"
	"slices"

	"github.com/modeldoctor/modeldoctor/diag"
)

// Why says by what the perturbed layer of a candidate was taken up.
type Why string

// The reasons, in the order in which they go before each other.
const (
	WhyPublished  Why = "published"  // as PoL's authors choose P and U
	WhyClassifier Why = "classifier" // P is the last linear module
	WhyNothing    Why = "nothing"    // there is no P: what U does by itself
	WhyItself     Why = "itself"     // P is U
	WhyKappa      Why = "kappa"      // κ is largest, at or above U
	WhyTop        Why = "top"        // one of the highest layers at or above U
)

// topLayers is how many of the highest layers are candidates for P.
const topLayers = 2

// Measured is the layers of one granularity, in forward order, with what a diagnosis
// says of each. A layer's name means it alone among all of the model.
type Measured struct {
	Layers  []diag.Layer
	Figures []diag.LayerResult // by layer
}

// Candidate is two layers that a search tries as P and U.
type Candidate struct {
	Perturb, Update diag.Layer // Perturb has no weights, and no name, where nothing is perturbed
	Why             Why
	// What the diagnosis says of P: κ, κ·‖w‖² and the agreement; nil where it says
	// nothing. And of U: ΔL̂ with its standard error.
	Kappa, KappaScaled, Agreement *float64
	Gain, SE                      *float64
}

// Plan is the candidate as a treatment by a recipe, or by sgd where nothing is perturbed.
func (c *Candidate) Plan(r Recipe) Plan {
	if c.Why == WhyNothing {
		sgd, err := FindRecipe("sgd")
		if err != nil {
			panic(err)
		}
		return Plan{Recipe: sgd, Update: []diag.Layer{c.Update}}
	}
	return Plan{Recipe: r, Perturb: []diag.Layer{c.Perturb}, Update: []diag.Layer{c.Update}}
}

// Grid is the n first candidates of a search for P and U, or fewer where there are not
// as many. The recipe's own choice in the first granularity is the first of all: P where
// κ is largest, wherever that lies, and U where ΔL̂ is. The others have P at or above U.
// U are the layers whose ΔL̂ is above 0, largest first, in turn from each granularity. P
// are the classifier, none at all, U itself, the layer of U's granularity where κ is largest, and the
// highest of that granularity. The k-th P of the j-th U goes before those with a larger
// j + k. Layers of the same weights count once, and those that may reports false for
// are not updated.
//
// The error is [ErrNothingToTreat] where no layer has a ΔL̂ above 0.
func Grid(measured []Measured, classifier diag.Layer, n int, may func(diag.Layer) bool) ([]Candidate, error) {
	head := figured{Layer: classifier}
	for _, m := range measured {
		for _, l := range m.figured() {
			if slices.Equal(l.Weights, classifier.Weights) {
				head.figures = l.figures
			}
		}
	}
	updates := updatable(measured, may)
	if len(updates) == 0 {
		return nil, ErrNothingToTreat
	}
	var candidates []Candidate
	add := func(p, u figured, why Why) {
		if !slices.ContainsFunc(candidates, func(c Candidate) bool {
			return slices.Equal(c.Perturb.Weights, p.Weights) && slices.Equal(c.Update.Weights, u.Weights)
		}) && len(candidates) < n {
			candidates = append(candidates, newCandidate(p, u, why))
		}
	}
	if top, ok := largestKappa(updates[0].among); ok {
		add(top, updates[0].figured, WhyPublished)
	}
	for sum := range len(updates) + mostPerturbable {
		for j := range min(sum+1, len(updates)) {
			if p := perturbable(head, updates[j]); sum-j < len(p) {
				add(p[sum-j].figured, updates[j].figured, p[sum-j].why)
			}
		}
	}
	return candidates, nil
}

// figured is a layer with its figures, nil where it was not measured.
type figured struct {
	diag.Layer
	figures *diag.LayerResult
}

func (m *Measured) figured() []figured {
	layers := make([]figured, len(m.Layers))
	for i, l := range m.Layers {
		layers[i] = figured{l, &m.Figures[i]}
	}
	return layers
}

// gain is ΔL̂; 0 where there is none.
func (l *figured) gain() float64 {
	if l.figures == nil || l.figures.Transfer == nil || l.figures.Transfer.Reason != "" {
		return 0
	}
	return l.figures.Transfer.Gain.Mean
}

// update is a candidate for U, among the layers of its granularity.
type update struct {
	figured
	among []figured
}

// updatable are the layers whose ΔL̂ is above 0, largest first, in turn from each
// granularity, and of the same weights the first.
func updatable(measured []Measured, may func(diag.Layer) bool) []update {
	var lists [][]update
	longest := 0
	for _, m := range measured {
		all := m.figured()
		var list []update
		for _, l := range all {
			if l.gain() > 0 && may(l.Layer) {
				list = append(list, update{l, all})
			}
		}
		slices.SortStableFunc(list, func(a, b update) int { return cmp.Compare(b.gain(), a.gain()) })
		lists = append(lists, list)
		longest = max(longest, len(list))
	}
	var merged []update
	for j := range longest {
		for _, list := range lists {
			if j < len(list) && !slices.ContainsFunc(merged, func(u update) bool { return slices.Equal(u.Weights, list[j].Weights) }) {
				merged = append(merged, list[j])
			}
		}
	}
	return merged
}

// reasoned is a candidate for P.
type reasoned struct {
	figured
	why Why
}

// mostPerturbable is how many candidates for P one U has at most.
const mostPerturbable = 4 + topLayers

// perturbable are the candidates for P of one U, of which some may be the same.
func perturbable(classifier figured, u update) []reasoned {
	list := []reasoned{{classifier, WhyClassifier}, {figured{Layer: diag.Layer{Neck: u.Neck}}, WhyNothing}, {u.figured, WhyItself}}
	above := slices.DeleteFunc(slices.Clone(u.among), func(l figured) bool {
		return l.Neck < u.Neck || slices.Equal(l.Weights, u.Weights) || slices.Equal(l.Weights, classifier.Weights)
	})
	if top, ok := largestKappa(above); ok {
		list = append(list, reasoned{top, WhyKappa})
	}
	for i := range min(topLayers, len(above)) {
		list = append(list, reasoned{above[len(above)-1-i], WhyTop})
	}
	return slices.DeleteFunc(list, func(p reasoned) bool { return p.Neck < u.Neck })
}

// largestKappa is the layer with the largest κ, the first among equals.
func largestKappa(layers []figured) (top figured, ok bool) {
	largest := 0.0
	for _, l := range layers {
		if l.figures != nil && l.figures.Kappa != nil && *l.figures.Kappa > largest {
			top, ok, largest = l, true, *l.figures.Kappa
		}
	}
	return top, ok
}

func newCandidate(p, u figured, why Why) Candidate {
	c := Candidate{Perturb: p.Layer, Update: u.Layer, Why: why, Gain: &u.figures.Transfer.Gain.Mean, SE: &u.figures.Transfer.Gain.SE}
	if f := p.figures; f != nil {
		c.Kappa, c.KappaScaled, c.Agreement = f.Kappa, f.KappaScaled, f.Agreement
	}
	return c
}
