package gpu

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Options say which device to open, and how it computes.
type Options struct {
	Ordinal   int
	Precision driver.Precision // of the factors of matrix products
	Threads   int              // of operations that run on the host; 0: all processors
}
