// Package shareddata finds the material that tests use where it is present:
// reference values, a zoo of exported models, the ONNX node tests and CIFAR-100.
// It is not part of the repository and nothing in it is needed to build or to use
// the program; a test that asks for an absent part is skipped, and says so.
package shareddata

import (
	"fmt"
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
	if _, err := folder(); err != nil {
		t.Fatal(err)
	}
	path, err := Find(part...)
	if err != nil {
		t.Skip(err)
	}
	return path
}

// Find returns the path of a part of the material. The error says what is missing.
func Find(part ...string) (string, error) {
	folder, err := folder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, filepath.Join(part...))
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("needs test data that are not part of this repository: %w (see %s in CONTRIBUTING.md)", err, Environment)
	}
	return path, nil
}

// folder is where the material should be. It is an error if [Environment] names a
// folder that is not there.
func folder() (string, error) {
	if folder := os.Getenv(Environment); folder != "" {
		if _, err := os.Stat(folder); err != nil {
			return "", fmt.Errorf("%s: %w", Environment, err)
		}
		return folder, nil
	}
	repository, err := repository()
	return filepath.Join(repository, "..", "shared"), err
}

// repository returns the folder of go.mod: the working folder, which of a test is
// that of its package, or one above it.
func repository() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not in the repository", start)
		}
	}
}
