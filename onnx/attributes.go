package onnx

import "slices"

// attributes are a node's, by name: *Tensor, what onnx-go decodes (float32, int64,
// string and slices of them), or otherAttribute.
type attributes map[string]any

// otherAttribute stands for a value of a type that no operator reads: graphs,
// types, sparse tensors.
type otherAttribute struct{}

// Has reports whether the attribute is present, of whatever type.
func (a attributes) Has(name string) bool {
	_, ok := a[name]
	return ok
}

// Attributes returns the names of the attributes, sorted.
func (a attributes) Attributes() []string {
	names := make([]string, 0, len(a))
	for name := range a {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// attribute returns the attribute if it is present and of type T, else def.
func attribute[T any](a attributes, name string, def T) T {
	if v, ok := a[name].(T); ok {
		return v
	}
	return def
}

// Int returns an INT attribute, def where it is absent or of another type.
func (a attributes) Int(name string, def int64) int64 { return attribute(a, name, def) }

// Ints returns an INTS attribute, nil where it is absent or of another type.
// The slice is shared.
func (a attributes) Ints(name string) []int64 { return attribute[[]int64](a, name, nil) }

// Float returns a FLOAT attribute, def where it is absent or of another type.
func (a attributes) Float(name string, def float32) float32 { return attribute(a, name, def) }

// Floats returns a FLOATS attribute, nil where it is absent or of another type.
// The slice is shared.
func (a attributes) Floats(name string) []float32 { return attribute[[]float32](a, name, nil) }

// Str returns a STRING attribute, def where it is absent or of another type.
func (a attributes) Str(name, def string) string { return attribute(a, name, def) }

// Strings returns a STRINGS attribute, nil where it is absent or of another
// type. The slice is shared.
func (a attributes) Strings(name string) []string { return attribute[[]string](a, name, nil) }

// Tensor returns a TENSOR attribute, nil where it is absent or of another type.
func (a attributes) Tensor(name string) *Tensor { return attribute[*Tensor](a, name, nil) }
