// Package shareddata finds the material that tests may use when it is present
// beside the repository: reference values, a zoo of exported models, the ONNX
// node tests and CIFAR-100. Nothing in it is needed to build or to use the
// program; a test that asks for it is skipped where it is absent.
package shareddata

import (
	"os"
	"path/filepath"
	"testing"
)

// Environment is the variable that names the folder when it does not lie
// beside the repository.
const Environment = "MODELDOCTOR_SHARED"

// Dir returns the folder's path, or skips t, saying why.
func Dir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv(Environment); dir != "" {
		if _, err := os.Stat(dir); err != nil {
			t.Fatalf("%s: %v", Environment, err)
		}
		return dir
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			shared := filepath.Join(filepath.Dir(dir), "shared")
			if _, err := os.Stat(filepath.Join(shared, "METHOD.md")); err == nil {
				return shared
			}
			break
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.Skipf("no shared folder beside the repository and %s is not set", Environment)
	return ""
}
