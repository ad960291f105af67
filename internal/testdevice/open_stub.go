//go:build !(gpu && linux && cgo)

package testdevice

import "testing"

// device is none: what was built without GPU support runs on the host.
func device() string { return "" }

func openDefault(*testing.T) Device { return nil }
