package op

// families lists the operators of this package, a line a family.
func families() [][]Entry {
	return [][]Entry{
		elementwise(),
		layout(),
		linearAlgebra(),
		controlFlow(),
		quantization(),
	}
}
