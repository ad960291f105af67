package pol

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// Rule says how a step displaces the perturbed weights before the gradient of
// the update is taken.
type Rule int

const (
	// Unperturbed leaves all weights where they are.
	Unperturbed Rule = iota
	// Ascent moves the perturbed weights by ρ·g/‖g‖, g the gradient on the
	// update's own batch and the norm joint over all of them (SAM).
	Ascent
	// Search moves them by −γ·c*·g, g the gradient on a batch of its own, c* the
	// best of the points scanned along it and γ drawn at random (PoF, PoL).
	Search
)

// Choice names layers by what they are or by what a diagnosis says of them.
type Choice int

const (
	NoLayers         Choice = iota
	AllLayers               // every layer
	Classifier              // the last linear module
	AllButClassifier        // every layer that has no weight of the classifier
	LargestKappa            // where κ is largest
	LargestTransfer         // where ΔL̂ is largest, of the layers where it is above zero by an interval that holds for all at once
)

// Recipe is a treatment as data: what a step perturbs, by which rule, and what
// it updates.
type Recipe struct {
	Name    string
	Rule    Rule
	Perturb Choice
	Update  Choice
	// GammaMax is the default largest γ where Perturb is the choice, and not named
	// otherwise; 0: DefaultGammaMax.
	GammaMax float64
	// Epochs is the default number of passes over the training examples.
	Epochs int
}

// ClassifierGammaMax is the largest γ with which recipe pol perturbs the classifier.
// Training blocks.2 of the ViT of the fixtures takes off, beyond a temperature, 0.092
// nats with it and 0.101 without a perturbation, but -0.003 with γ up to 2, and 0.102
// with the patch embedding perturbed up to that, in 13 times the time; the intervals are
// ± 0.02. docs/perturbation.md has these and those of a pretrained ViT.
const ClassifierGammaMax = 0.25

// Recipes are the treatments of the method, SGD first: Terauchi, Sato and
// Kawakami's PoL, compared with PoF (Sato et al., ICML 2022, arXiv 2207.01847)
// and SAM (Foret et al., ICLR 2021). Of PoL's authors is what is updated; they perturb
// the layer of [LargestKappa] with γ up to [DefaultGammaMax], where this recipe does
// what was measured to do least harm at the least cost. Temperature, which trains nothing, is the
// baseline that they have to beat: see [Options.Temperature]. The caller owns the
// slice.
func Recipes() []Recipe {
	return []Recipe{
		{Name: "sgd", Rule: Unperturbed, Perturb: NoLayers, Update: AllLayers, Epochs: 2},
		{Name: "sam", Rule: Ascent, Perturb: AllLayers, Update: AllLayers, Epochs: 2},
		{Name: "pof", Rule: Search, Perturb: Classifier, Update: AllButClassifier, Epochs: 2},
		{Name: "pol", Rule: Search, Perturb: Classifier, GammaMax: ClassifierGammaMax, Update: LargestTransfer, Epochs: 3},
		{Name: RecipeTemperature, Rule: Unperturbed, Perturb: NoLayers, Update: NoLayers},
	}
}

// RecipeTemperature is the name of the recipe that only divides the logits.
const RecipeTemperature = "temperature"

// Perturbing returns the recipe with another choice of what is perturbed, which has no
// largest γ of its own.
func (r Recipe) Perturbing(c Choice) Recipe {
	r.Perturb, r.GammaMax = c, 0
	return r
}

// FindRecipe returns the recipe of that name.
func FindRecipe(name string) (Recipe, error) {
	var names []string
	for _, r := range Recipes() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Recipe{}, fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))
}

// OfModules reports whether a choice is one among modules, whatever the granularity
// of a diagnosis.
func (c Choice) OfModules() bool { return c == Classifier || c == AllButClassifier }

// NeedsDiagnosis reports whether a choice rests on a diagnosis.
func (c Choice) NeedsDiagnosis() bool { return c == LargestKappa || c == LargestTransfer }

// ErrNothingToTreat says that no layer's ΔL̂ is significantly above zero, all layers
// at once, so that there is none to choose.
var ErrNothingToTreat = errors.New("no layer's recoverable loss is significantly above zero, with all layers looked at at once")

// Choose returns the layers that a choice means, of all layers of a model in
// forward order, of which classifier is the last linear module. report is a
// diagnosis of the layers, which only choices that [Choice.NeedsDiagnosis] look at.
func (c Choice) Choose(layers []diag.Layer, classifier diag.Layer, report *diag.Report) ([]diag.Layer, error) {
	switch c {
	case AllLayers:
		return slices.Clone(layers), nil
	case Classifier:
		return []diag.Layer{classifier}, nil
	case AllButClassifier:
		return slices.DeleteFunc(slices.Clone(layers), func(l diag.Layer) bool {
			return slices.ContainsFunc(l.Weights, func(w int) bool { return slices.Contains(classifier.Weights, w) })
		}), nil
	case LargestKappa, LargestTransfer:
		best := largest(report.Layers, c)
		for _, l := range layers {
			if l.Name == best {
				return []diag.Layer{l}, nil
			}
		}
		if c == LargestTransfer {
			return nil, ErrNothingToTreat
		}
		return nil, errors.New("no layer has a curvature: none can be perturbed")
	}
	return nil, nil
}

// largest is the name of the measured layer whose figure is largest, the first
// among equals; empty where there is none.
func largest(layers []diag.LayerResult, c Choice) string {
	name, top := "", 0.0
	for _, l := range layers {
		figure := 0.0
		switch {
		case c == LargestKappa && l.Kappa != nil:
			figure = *l.Kappa
		case c == LargestTransfer && l.Transfer != nil && l.Transfer.Reason == "" && l.Transfer.CorrectedLow > 0:
			figure = l.Transfer.Gain.Mean
		}
		if figure > top {
			name, top = l.Name, figure
		}
	}
	return name
}
