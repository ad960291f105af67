package exec

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// StepError says which step of a plan could not be computed.
type StepError struct {
	Op    string  // name of the operation
	Node  string  // label of the node, see [op.Graph.SetLabel]; "" where it has none
	Type  op.Type // of the result
	Err   error   // what went wrong; what the Op panicked with, if that was an error
	Stack []byte  // of the goroutine that ran the plan, at the panic; nil without one
}

func (e *StepError) Error() string {
	at := ""
	if e.Node != "" {
		at = " at " + e.Node
	}
	return fmt.Sprintf("%s%s (result %v): %v", e.Op, at, e.Type, e.Err)
}

// Unwrap returns Err.
func (e *StepError) Unwrap() error { return e.Err }
