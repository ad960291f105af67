//go:build gpu && linux && cgo

package driver

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// In the test's program, so that it can be carried to a machine with a GPU.
//
//go:embed testdata include cublas.h
var sources embed.FS

// fakes makes a folder of the package's C files and compiles the libraries of testdata there.
var fakes = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "fake-cuda")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, sources); err != nil {
		return "", err
	}
	for _, library := range [][]string{
		{"libcuda", "testdata/libcuda.c"},
		{"libcublasLt", "testdata/libcublasLt.c"},
		{"libcublas", "testdata/libcublas.c", "-Wl,--no-as-needed", "-L.", "-lcublasLt", "-Wl,-rpath,$ORIGIN"},
		{"libcublas-alone", "testdata/libcublas.c"},
	} {
		compile := exec.Command(compiler(), append([]string{"-shared", "-fPIC", "-O2", "-Iinclude", "-I.", "-o", library[0] + ".so"}, library[1:]...)...)
		compile.Dir = dir
		if out, err := compile.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, out)
		}
	}
	return dir, nil
})

func compiler() string {
	if cc := os.Getenv("CC"); cc != "" {
		return cc
	}
	return "cc"
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := fakes(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// compiledFakes returns the folder of fakes, or skips the test.
func compiledFakes(t testing.TB) string {
	t.Helper()
	if _, err := exec.LookPath(compiler()); err != nil {
		t.Skipf("no C compiler for the fake libraries: %v", err)
	}
	dir, err := fakes()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// useFakes has the test load the libraries of testdata, with the variables given as name and value set for them.
func useFakes(t testing.TB, variables ...string) {
	t.Helper()
	dir := compiledFakes(t)
	setLibraries(t, filepath.Join(dir, "libcuda.so"), filepath.Join(dir, "libcublas.so"))
	for i := 0; i < len(variables); i += 2 {
		t.Setenv(variables[i], variables[i+1])
	}
}

// setLibraries has the test load these files.
func setLibraries(t testing.TB, cuda, cublas string) {
	t.Setenv(cudaVariable, cuda)
	t.Setenv(cublasVariable, cublas)
	forget := func() {
		loadCUDA, loadCUBLAS = sync.OnceValues(initCUDA), sync.OnceValues(initCUBLAS)
	}
	forget()
	t.Cleanup(forget)
}

// openDevice opens the first GPU of this machine or, where there is none, the fake one.
func openDevice(t testing.TB) *Device {
	t.Helper()
	if _, err := List(); err != nil {
		useFakes(t)
	}
	d, err := Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}
