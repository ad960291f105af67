package nn

import (
	"fmt"
	"math"
	"slices"
)

// A Vector is a value for each of some weights of a model, in its device's memory:
// new weights, or a gradient. Weights are named by their number.
type Vector struct {
	model    Model
	weights  []int // ascending
	tensors  []Memory
	borrowed bool                        // the memory is somebody else's, and not to be changed
	terms    []Memory                    // of Combine
	add      func(w int, x Memory) error // the method Add, made once
}

// NewVector returns a vector of zeros.
func NewVector(m Model, weights []int) (*Vector, error) {
	return newVector(m, weights, func(w int) (Memory, error) { return m.Device().Alloc(m.WeightElements(w)) })
}

// Checkpoint returns the weights as the model came, to be read only. It takes no
// memory.
func Checkpoint(m Model, weights []int) (*Vector, error) {
	v, err := newVector(m, weights, m.Checkpoint)
	if v != nil {
		v.borrowed = true
	}
	return v, err
}

// Import returns a vector of given values, by weight, to be read only. They must
// not change as long as it is in use.
func Import(m Model, values map[int][]float32) (*Vector, error) {
	weights := make([]int, 0, len(values))
	for w := range values {
		weights = append(weights, w)
	}
	return newVector(m, weights, func(w int) (Memory, error) { return m.Device().Import(values[w]) })
}

func newVector(m Model, weights []int, tensor func(w int) (Memory, error)) (*Vector, error) {
	v := &Vector{model: m}
	v.add = v.Add
	for _, w := range slices.Compact(slices.Sorted(slices.Values(weights))) {
		t, err := tensor(w)
		if err != nil {
			v.Free()
			return nil, fmt.Errorf("memory for weights: %w", err)
		}
		v.weights, v.tensors = append(v.weights, w), append(v.tensors, t)
	}
	return v, nil
}

// tensor is the memory of a weight that the vector has.
func (v *Vector) tensor(w int) Memory {
	i, found := slices.BinarySearch(v.weights, w)
	if !found {
		panic(fmt.Sprintf("nn: a vector without weight %d", w))
	}
	return v.tensors[i]
}

// Has reports whether the vector has a value of a weight.
func (v *Vector) Has(w int) bool {
	_, found := slices.BinarySearch(v.weights, w)
	return found
}

// Clear sets all elements to zero.
func (v *Vector) Clear() error {
	for _, t := range v.tensors {
		if err := v.model.Device().Clear(t); err != nil {
			return err
		}
	}
	return nil
}

// Copy takes over the values of x, which has at least the vector's weights.
func (v *Vector) Copy(x *Vector) error {
	for i, w := range v.weights {
		if err := v.model.Device().Copy(v.tensors[i], x.tensor(w)); err != nil {
			return err
		}
	}
	return nil
}

// Add adds x to the value of one weight.
func (v *Vector) Add(w int, x Memory) error { return v.model.Device().Add(v.tensor(w), x) }

// Combine sets one weight to base + Σ_k c[k]·x[k], where base may be the vector
// itself. See [Arithmetic].
func (v *Vector) Combine(w int, base *Vector, c []float64, x ...*Vector) error {
	v.terms = v.terms[:0]
	for _, term := range x {
		v.terms = append(v.terms, term.tensor(w))
	}
	return v.model.Device().Combine(v.tensor(w), base.tensor(w), c, v.terms)
}

// Scale multiplies one weight by c.
func (v *Vector) Scale(w int, c float64) error { return v.model.Device().Scale(v.tensor(w), c) }

// SGD makes one step of all weights, with the momentum buffers b and the summed
// gradients sum, which have the same weights.
func (v *Vector) SGD(b, sum *Vector, s SGD) error {
	for i, w := range v.weights {
		if err := v.model.Device().SGD(v.tensors[i], b.tensor(w), sum.tensor(w), s); err != nil {
			return err
		}
	}
	return nil
}

// Override makes the vector's values of some of its weights those of the model,
// which sees every later change of them.
func (v *Vector) Override(weights ...int) {
	for _, w := range weights {
		v.model.Override(w, v.tensor(w))
	}
}

// Restore gives a model the checkpoint's values of weights back.
func Restore(m Model, weights ...int) {
	for _, w := range weights {
		m.Override(w, nil)
	}
}

// Values are the values of one weight. They are valid until the vector is changed,
// and must not be changed.
func (v *Vector) Values(w int) ([]float32, error) {
	d, t := v.model.Device(), v.tensor(w)
	if values := d.InPlace(t); values != nil {
		return values, nil
	}
	values := make([]float32, v.model.WeightElements(w))
	return values, d.Download(values, t)
}

// SetValues sets one weight.
func (v *Vector) SetValues(w int, values []float32) error {
	return v.model.Device().Upload(v.tensor(w), values)
}

// Free gives the memory of some weights back, or of all where none is named. The
// vector has them no longer. A nil vector has none.
func (v *Vector) Free(weights ...int) {
	if v == nil {
		return
	}
	if len(weights) == 0 {
		weights = slices.Clone(v.weights)
	}
	for _, w := range weights {
		if i, found := slices.BinarySearch(v.weights, w); found {
			if !v.borrowed {
				v.model.Device().Free(v.tensors[i])
			}
			v.weights, v.tensors = slices.Delete(v.weights, i, i+1), slices.Delete(v.tensors, i, i+1)
		}
	}
}

// Dot is the inner product of the values that two vectors have of one weight.
func Dot(w int, a, b *Vector) (float64, error) {
	return a.model.Device().Dot(0, a.tensor(w), b.tensor(w))
}

// Norm is the Euclidean norm of v over all its weights.
func Norm(v *Vector) (norm float64, err error) {
	squares := 0.0
	for _, t := range v.tensors {
		if squares, err = v.model.Device().Dot(squares, t, t); err != nil {
			return 0, err
		}
	}
	return math.Sqrt(squares), nil
}

// Distance is the Euclidean norm of v − x over the weights of v.
func Distance(v, x *Vector) (distance float64, err error) {
	squares := 0.0
	for i, w := range v.weights {
		if squares, err = v.model.Device().SquaredDistance(squares, v.tensors[i], x.tensor(w)); err != nil {
			return 0, err
		}
	}
	return math.Sqrt(squares), nil
}
