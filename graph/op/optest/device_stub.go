//go:build !(gpu && linux && cgo)

package optest

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// There is no device, and neither function is called.

func forward(testing.TB, testdevice.Device, op.Op, op.Array, []op.Array) {}

func download(_ testing.TB, _ testdevice.Device, a op.Array) op.Array { return a }
