//go:build !(gpu && linux && cgo)

package optest

import (
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/op"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// forward is not called: there is no device.
func forward(testing.TB, testdevice.Device, op.Op, op.Array, []op.Array) {}
