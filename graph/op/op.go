package op

import (
	"github.com/modeldoctor/modeldoctor/graph/kernel"
)

// Op is one operation with all its parameters decided. Implementations are
// immutable values; one may appear at several places of a program.
type Op interface {
	// Name is the operation's standard name, such as MatMul or Softmax, for
	// errors and profiles.
	Name() string
	// Infer checks the inputs' types and returns the result's. Its error says
	// what was expected and what was found.
	Infer(in []Type) (Type, error)
	// Forward overwrites every element of out. The inputs are not changed; out
	// shares no memory with them. Shapes have been checked by Infer. The result
	// does not depend on the context's number of threads.
	Forward(c *kernel.Context, out Array, in []Array)
}

// View marks an Op whose result has its only input's elements in the same
// order: it costs nothing at run time, the result shares the input's memory and
// Forward is called for constants only.
type View interface {
	Op
	IsView()
}
