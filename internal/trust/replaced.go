package main

import "github.com/modeldoctor/modeldoctor/nn"

// A replaced model has other values of some weights, and gives them out as its
// checkpoint.
type replaced struct {
	nn.Model
	values map[int]nn.Memory
}

// replace gives a model other values of some weights. They must not change until
// it is restored.
func replace(m nn.Model, values map[int][]float32) (*replaced, error) {
	r := &replaced{m, map[int]nn.Memory{}}
	for w, v := range values {
		memory, err := m.Device().Import(v)
		if err != nil {
			r.restore()
			return nil, err
		}
		r.values[w] = memory
		m.Override(w, memory)
	}
	return r, nil
}

// restore gives the model the weights back that it came with.
func (r *replaced) restore() {
	for w, memory := range r.values {
		r.Model.Override(w, nil)
		r.Device().Free(memory)
	}
}

// Checkpoint is weight i as it was replaced.
func (r *replaced) Checkpoint(i int) (nn.Memory, error) {
	if memory, ok := r.values[i]; ok {
		return memory, nil
	}
	return r.Model.Checkpoint(i)
}

// Override makes w the value of weight i; nil restores the replaced one.
func (r *replaced) Override(i int, w nn.Memory) {
	if memory, ok := r.values[i]; ok && w == nil {
		w = memory
	}
	r.Model.Override(i, w)
}
