//go:build gpu && linux && cgo

package fake

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

//go:embed src
var source embed.FS

// ErrNoCompiler is returned by Build where there is no g++.
var ErrNoCompiler = errors.New("the fake device needs g++")

// Products and sums are rounded one by one, as nvcc compiles the kernels.
var compiler = []string{"g++", "-std=c++17", "-O2", "-ftree-vectorize", "-ffp-contract=off", "-Wall", "-shared", "-fPIC"}

// Build returns the path of the library, compiled if it is not in the cache.
var Build = sync.OnceValues(func() (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, compiler)
	files := map[string][]byte{}
	for _, tree := range []embed.FS{kernels.Source, source} {
		err := fs.WalkDir(tree, "src", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := tree.ReadFile(path)
			files[d.Name()] = text
			fmt.Fprintf(hash, "%s %d\n%s", d.Name(), len(text), text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	library := filepath.Join(cache, "modeldoctor", fmt.Sprintf("fake-device-%x.so", hash.Sum(nil)[:12]))
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	return library, compile(files, library)
})

func compile(files map[string][]byte, library string) error {
	if _, err := exec.LookPath(compiler[0]); err != nil {
		return ErrNoCompiler
	}
	if err := os.MkdirAll(filepath.Dir(library), 0o755); err != nil {
		return err
	}
	// Next to the library, so that it can be renamed: two tests may build at once.
	dir, err := os.MkdirTemp(filepath.Dir(library), "build")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	built := filepath.Join(dir, "fake.so")
	command := exec.Command(compiler[0], append(compiler[1:], "-o", built, filepath.Join(dir, "fake.cpp"))...)
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("compiling the fake device: %w\n%s", err, text)
	}
	return os.Rename(built, library)
}
