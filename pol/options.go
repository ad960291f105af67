package pol

import (
	"cmp"
	"fmt"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Data are the three sets of a treatment, which share no image.
type Data struct {
	// Train holds the examples of the updates and perturbations (T). Where
	// images are augmented, each has Views entries, one after the other.
	Train nn.Examples
	Views int // views of an image in Train; 0 is 1
	// Validation chooses the best epoch, and the temperature (V); Holdout
	// decides on acceptance and serves nothing else (H).
	Validation, Holdout nn.Examples
}

// Schedule says how the learning rate changes from step to step.
type Schedule string

// The schedules: with Cosine the rate of step k of K is rate·(1 + cos(πk/K))/2.
const (
	Cosine   Schedule = "cosine"
	Constant Schedule = "constant"
)

// The hyperparameters of the method, which [DefaultOptions] gives.
const (
	DefaultRate         = 0.05 // where the model says nothing; see [Pace]
	DefaultBatch        = 128
	DefaultPerturbBatch = 256
	DefaultMomentum     = 0.9
	DefaultWeightDecay  = 5e-4
	DefaultGammaMax     = 2.0 // but see [Recipe.GammaMax]
	DefaultRho          = 0.05
)

// Options are the hyperparameters of a treatment and what it may use. Numbers
// are taken as they are: [DefaultOptions] gives those of a recipe.
type Options struct {
	Epochs       int // passes over the training examples
	Batch        int // examples of an update; what is left over of an epoch is dropped
	PerturbBatch int // examples of a perturbation by Search, at most all
	// Rate is the learning rate, before the schedule. 0: what suits the model, see
	// [Pace], lowered where it does harm.
	Rate float64
	// RateFactor multiplies a rate that comes from the model: trial runs go by V's loss
	// after a few steps, and a training of many may want another.
	RateFactor  float64
	Momentum    float64 // Nesterov's, its buffer beginning at zero
	WeightDecay float64 // coupled, on every tensor that is updated
	Schedule    Schedule
	Goal        Goal        // what the epoch that is kept, and acceptance, go by
	Loss        metric.Loss // of the update's gradient; everything else is cross-entropy
	// Mix, if above 0, blends the examples of an update with each other where they
	// enter the updated layers: mixup's α, the parameter of Beta(α, α). Perturbations
	// are chosen on examples as they are.
	Mix      float64
	GammaMax float64 // Search: γ is uniform in [0, GammaMax)
	Rho      float64 // Ascent: the length of the displacement
	// PerturbEvery is the number of steps for which a scan's c* is used: 1 scans
	// at every step. The gradient that it multiplies is taken anew at each.
	PerturbEvery int
	Seed         uint64

	// Temperature divides all logits during training and, by scaling Classifier, for
	// good: what is trained is then what no temperature could have repaired. Without
	// a layer to update that is all that happens. 0: the temperature that fits V best;
	// 1: logits as they are.
	Temperature float64
	// Classifier is the weights whose multiplication by a number multiplies the
	// logits by it. Only a temperature needs it.
	Classifier diag.Layer

	// Stored returns the values that the file gives back for new values of a
	// weight, which may be rounded there; nil: the same. What is accepted, or not,
	// are the stored values.
	Stored func(weight int, values []float32) ([]float32, error)

	// NoCache computes the activations below the treated layers at each use.
	NoCache bool
	// Memory is the number of bytes that cached activations may take where the
	// model computes; 0: no limit. Of what does not fit there HostMemory bytes may
	// lie in the host's memory, where that is another. The rest lies in a temporary
	// file in TempDir.
	Memory, HostMemory int64
	TempDir            string

	// Save, if not nil, is called after each epoch with all that
	// [Options.Resume] needs to go on to the same bits. The state is valid during
	// the call.
	Save   func(*State) error
	Resume *State
	// Identity names what the training depends on besides these options, such as
	// digests of the model and the data: a state of another is not resumed.
	Identity map[string]string

	// Progress, if not nil, is called as work proceeds: phase is what is being
	// done, done and total are the images of this phase.
	Progress func(phase string, done, total int)
}

// calibrated reports whether logits are divided by a temperature.
func (o *Options) calibrated() bool { return o.Temperature != 1 }

// DefaultOptions returns the hyperparameters that a recipe has unless the user
// says otherwise.
func DefaultOptions(r Recipe) Options {
	return Options{
		Epochs: r.Epochs, Batch: DefaultBatch, PerturbBatch: DefaultPerturbBatch,
		Momentum: DefaultMomentum, WeightDecay: DefaultWeightDecay, Schedule: Cosine,
		RateFactor: 1, GammaMax: cmp.Or(r.GammaMax, DefaultGammaMax), Rho: DefaultRho, PerturbEvery: 1,
	}
}

// Plan is a recipe with its layers.
type Plan struct {
	Recipe  Recipe
	Perturb []diag.Layer // P; empty: nothing is perturbed
	Update  []diag.Layer // U; empty: nothing is trained
}

// DataError says that the examples do not suit the treatment.
type DataError struct {
	Msg  string
	Help string
}

func (e *DataError) Error() string { return e.Msg }

// Hint says what the user can do.
func (e *DataError) Hint() string { return e.Help }

// Check returns what is wrong with the examples, for updates of so many at a
// time; without training T is not looked at. Errors are of type [*DataError].
func (d *Data) Check(m nn.Model, batch int, trains bool) error {
	sets := []struct {
		name string
		set  nn.Examples
	}{{"validation", d.Validation}, {"hold-out", d.Holdout}}
	if trains {
		sets = append(sets, struct {
			name string
			set  nn.Examples
		}{"training", d.Train})
	}
	for _, s := range sets {
		if s.set.Len() == 0 {
			return &DataError{fmt.Sprintf("the %s set has no examples", s.name), "choose a part that is not empty"}
		}
		for i := range s.set.Len() {
			if l := s.set.Label(i); l < 0 || l >= m.Classes() {
				return &DataError{
					fmt.Sprintf("example %d of the %s set has label %d; the model has %d classes, 0 to %d", i, s.name, l, m.Classes(), m.Classes()-1),
					"use data with the classes that the model was trained on",
				}
			}
		}
	}
	if images := d.images(trains); trains && images < batch {
		return &DataError{
			fmt.Sprintf("%d training images are fewer than one batch of %d", images, batch),
			"use more training images, or a smaller batch",
		}
	}
	return nil
}

// images is the number of training images, each with all its views.
func (d *Data) images(trains bool) int {
	if !trains {
		return 0
	}
	return d.Train.Len() / d.views()
}

func (d *Data) views() int { return max(1, d.Views) }
