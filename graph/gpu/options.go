package gpu

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Options say which device to open, and how it computes.
type Options struct {
	Ordinal   int
	Precision driver.Precision // of the factors of matrix products
	Memory    int64            // bytes of the device's memory that may be taken; 0: all that is free
	Threads   int              // of operations that run on the host; 0: all processors
}
