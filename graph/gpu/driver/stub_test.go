//go:build !(gpu && linux && cgo)

package driver

import (
	"strings"
	"testing"
)

func TestWithoutSupport(t *testing.T) {
	const want = "built without GPU support (rebuild with -tags gpu"
	if _, err := List(); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("List: %v", err)
	}
	if d, err := Open(0); d != nil || err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Open: %v, %v", d, err)
	}
}
