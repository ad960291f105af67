package op

func families() [][]Entry {
	return [][]Entry{elementwise(), layout(), linearAlgebra(), stubs()}
}
