//go:build !(gpu && linux && cgo)

package optest

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
)

// Device does nothing: these tests were built without GPU support.
func Device(*testing.T, op.Op, op.Array, ...op.Array) {}

func checkDevice(*testing.T, func(p *op.Program, in []*op.Value) (*op.Value, error), []op.Array, []int) {
}
