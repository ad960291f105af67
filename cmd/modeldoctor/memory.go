package main

import (
	"runtime/debug"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"
)

// Of --memory a backward pass may take this share between two cuts, if that is less than
// is good for its speed; see backwardShare.
const hostBackwardShare = 4

// programBytes is about what the program takes whatever it does: its own data, threads,
// and images on their way in.
const programBytes = 28 << 20

// foldGradients is how many gradients of a layer a diagnosis sums up, one for each fold.
const foldGradients = 4

// elementBytes is the size of a weight in memory.
const elementBytes = 4

// room is what a command takes of --memory, in bytes, besides what can be had in less
// memory: activations, which may lie in a file, and gradients, which may be taken in turn.
type room struct {
	weights []int // that are differentiated
	beside  int64 // what is always held
	least   int64 // the least of what can be had in less
}

// memory is what activations and gradients may take where the model runs, and
// activations on a host beside it, in bytes, given what --memory allows. On a GPU that
// is half of what is free: the rest is for the batch that is computed. On the processor
// --memory is for all that the program holds, so that what else there is comes off, and
// the heap is collected when it is reached. Pages of the model's file are not part of it:
// the system takes them back when it has to.
func (m *loaded) memory(allowed int64, r room) (device, host int64) {
	if m.gpu != nil {
		return m.gpu.Memory() / 2, allowed
	}
	beside := programBytes + m.runner.WorkingBytes(r.weights) + r.beside
	if least := beside + r.least; least > allowed {
		m.run.console.warn("--memory: about %d MiB is the least that full batches take; --run-batch makes them smaller", (least+1<<20-1)>>20)
		m.collectAt(least + least/8)
		return max(r.least, 1), 0
	}
	m.collectAt(allowed)
	return max(allowed-beside, 1), 0
}

// collectAt makes the heap be collected when the program holds so many bytes, if not before.
func (m *loaded) collectAt(bytes int64) {
	before := debug.SetMemoryLimit(bytes)
	if m.limit == nil {
		m.limit = &before
	}
}

// roomOfDiagnosis is that of a diagnosis of layers: the weights of one as they are
// tried, along a path of several steps with two more vectors of that size, and at least
// the gradients of one.
func (m *loaded) roomOfDiagnosis(layers []diag.Layer, opt diag.Options) (r room) {
	var largest int64
	for _, l := range layers {
		bytes := int64(0)
		for _, w := range l.Weights {
			bytes += int64(m.runner.WeightElements(w)) * elementBytes
		}
		r.weights = append(r.weights, l.Weights...)
		largest = max(largest, bytes)
	}
	vectors, gradients := int64(1), int64(foldGradients)
	if opt.Direction == diag.Descent {
		vectors += 2
	}
	if opt.Training != nil {
		gradients++
	}
	return room{r.weights, vectors * largest, gradients * largest}
}

// roomOfTraining is that of a training by a plan: of what is updated the values, their
// momentum, the gradient, and those of the best and the previous epoch; of what is
// perturbed the gradient and the displaced values.
func (m *loaded) roomOfTraining(plan pol.Plan) (r room) {
	for _, group := range []struct {
		layers  []diag.Layer
		vectors int64
	}{{plan.Update, 5}, {plan.Perturb, 2}} {
		for _, l := range group.layers {
			for _, w := range l.Weights {
				r.weights = append(r.weights, w)
				r.beside += group.vectors * int64(m.runner.WeightElements(w)) * elementBytes
			}
		}
	}
	return r
}
