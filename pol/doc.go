// Package pol treats a classifier: it trains a few of its layers from the
// checkpoint, under a perturbation of others, and says whether that has helped.
//
// # Recipes
//
// A [Recipe] is data: what a step perturbs, by which rule, and what it updates.
// There is one training step for all of them. [Recipes] lists PoL (perturb one
// layer, train only that where ΔL̂ is largest), PoF, SAM and SGD. A [Plan] is a recipe with its layers, which [Choice.Choose] finds or the
// user names. In PoL's and PoF's step
//
//	g  = ∂L/∂w_P on a batch of its own, mostly of the images that are updated with next
//	c* = the best of 16 points of a range along −g
//	w_P → w_P − γ·c*·g,  γ uniform in [0, γmax)
//	one step of SGD with Nesterov momentum for w_U, by its gradient there
//	w_P → w_P
//
// P may lie below or above U, or be the same layer: the gradient is then taken
// at the perturbed weights and applied to the others. In SAM's, the displacement
// is ρ·g/‖g‖ on the update's own batch.
//
// # Data
//
// [Treat] takes three sets that share no image. T is trained on; V fits the
// temperature and chooses the epoch that is kept; H is measured before and after,
// and nothing else has seen it. [Result.Objections] says what speaks against the
// treatment there. A temperature alone, fitted on V, is measured beside it: what
// one number can do is no merit of a treatment, which has to do more. So the
// training takes its losses at that temperature, and folds it into the classifier
// at the end, unless [Options.Temperature] says otherwise.
//
// With the [Goal] LowerError, the epoch that is kept and the acceptance go by the
// share of wrong answers. [Options.Loss] and [Options.Mix] change what an update
// lowers; everything else stays with the cross-entropy of examples as they are.
//
// # Rate
//
// One rate does not fit every model. Unless one is given, trial runs find it, a step
// that raises the loss of a batch is undone, and an epoch that ends worse on V than
// the training began is made again, each at half the rate: see [Pace].
//
// # Cost
//
// Below the lowest layer that is perturbed or updated nothing changes, so T and
// V are brought to the neck there once and kept, in memory or in a file. Without
// that an image of T is brought there once an epoch, and kept from the first
// perturbation that it serves to its update. Within a step nothing below the
// perturbed layers is computed twice. [EstimateCost] measures one step of a plan.
//
// # Same bits
//
// Random numbers depend on the seed, their purpose and the epoch. The result is
// the same to the bit for any number of threads, with and without a cache, and
// for a training that was saved ([State]) and resumed. Weights, activations and
// the sums of a few batches' gradients are float32, so that Model.Batch does make
// a difference; sums of losses, norms and the optimiser's arithmetic are float64.
//
// The method is that of Terauchi, Sato and Kawakami (model diagnosis for better
// generalisation, Tokyo Institute of Technology and Denso IT Laboratory).
package pol
