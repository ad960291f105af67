// Package shareddata finds the material that tests use where it is present:
// reference values, a zoo of exported models, the ONNX node tests and CIFAR-100.
// It is not part of the repository and nothing in it is needed to build or to use
// the program; a test that asks for an absent part is skipped, and says so.
package shareddata

import (
	"os"
	"path/filepath"
	"testing"
)

// Environment is the variable that names the folder when it is not the one
// called shared that lies beside the repository.
const Environment = "MODELDOCTOR_SHARED"

// Path returns the path of a part of the material, such as "zoo", or skips t,
// saying what is missing. A folder that [Environment] names must be there.
func Path(t testing.TB, part ...string) string {
	t.Helper()
	folder := os.Getenv(Environment)
	if folder == "" {
		folder = filepath.Join(repository(t), "..", "shared")
	} else if _, err := os.Stat(folder); err != nil {
		t.Fatalf("%s: %v", Environment, err)
	}
	path := filepath.Join(folder, filepath.Join(part...))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs test data that are not part of this repository: %v (see %s in CONTRIBUTING.md)", err, Environment)
	}
	return path
}

// repository returns the folder of go.mod: the working folder of a test, which
// is that of its package, or one above it.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the working folder is not in the repository")
		}
		dir = filepath.Dir(dir)
	}
}
