package kernels_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

// TestPTXIsOfSource fails when the sources have changed since ptx.sh ran.
func TestPTXIsOfSource(t *testing.T) {
	hash := sha256.New()
	err := fs.WalkDir(kernels.Source, "src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := kernels.Source.ReadFile(path)
		hash.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("// SHA-256 of src: %x\n", hash.Sum(nil))
	if got, _, _ := strings.Cut(string(kernels.PTX), "\n"); got+"\n" != want {
		t.Errorf("kernels.ptx is of other sources: run go generate with nvcc at hand\n%s\n%s", got, want)
	}
	for _, line := range []string{"\n.version 6.3\n", "\n.target sm_75\n"} {
		if !strings.Contains(string(kernels.PTX), line) {
			t.Errorf("kernels.ptx has no line %q", strings.TrimSpace(line))
		}
	}
}
