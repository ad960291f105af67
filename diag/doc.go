// Package diag diagnoses a classifier layer by layer: how much loss each layer
// holds that moving this layer alone would recover, and how curved the loss is
// along the way.
//
// # What is measured
//
// [Diagnose] takes an [nn.Model], labelled [nn.Examples] and [Layer]s, groups of
// weights that are moved as one. Losses are mean cross-entropies in nats. Along
// a path from the checkpoint, by default the negative gradient (see
// [Direction]), the first local minimum of the loss is found by a line search:
//
//	ΔL = L(w) − L(w + Δw)      room for improvement
//	κ  = ΔL / ‖Δw‖²            curvature
//
// ΔL is measured on the examples that chose direction and length, and is
// optimistic. Beside it stands the transfer figure ΔL̂ with its interval, which is
// cross-fitted: examples are divided into four stratified folds A1, B1, A2, B2;
// the gradient of one half is the direction, a fold of the other half chooses the
// length, at most the in-sample one, the last fold counts the gain, and every fold
// has its turn. The interval covers what these four moves gain in the population.
//
// Every loss but Metrics.Loss is that of logits divided by one temperature, by
// default the one that fits the examples best, so that only what no temperature
// could repair is found: then no rescaling of the logits changes a figure of any
// layer but the one whose weights carry the factor.
//
// # Verdicts
//
// A layer's ΔL̂, and what the temperature takes off, is over the threshold, under
// it or undecided, by its 95 % interval; the model passes, fails or is undecided
// (see [ModelVerdict]), with the number of examples that would decide it. What few
// examples cannot show is never taken for health: where gradients are noise, moves
// are tiny and their gain is known to be small, so that a layer is under only if a gain of
// the threshold would have been seen. The [Rules] turn figures into
// violations. With training examples the report tells over-fitted layers from
// under-trained ones. [Detect] finds out which preprocessing a model expects.
//
// The definitions of ΔL and κ are those of Terauchi, Sato and Kawakami
// (model diagnosis for better generalisation, Tokyo Institute of Technology and
// Denso IT Laboratory).
//
// # How
//
// A model is a chain of stages between necks. The activations of all examples
// at one neck, the boundary, are held and advanced from layer to layer, so that
// a search point costs the stages above the layer only. The gradients of all
// layers and folds come from one backward sweep before the first search, or from
// several if they exceed Options.Memory. Inner products of the folds' gradients
// give every norm, slope and agreement; a direction is four numbers per tensor,
// applied to the folds' gradients when the layer is moved.
//
// Weights and activations are float32; sums over examples, inner products and
// norms are float64. Nothing is random: the same model and examples give the
// same report.
package diag
