package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUpToDate fails when the sources have changed since kernels.ptx was made of
// them. Whether nvcc would write the same again is not asked: few have it.
func TestUpToDate(t *testing.T) {
	dir := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(dir, "kernels.ptx"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := header(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); first+"\n" != want {
		t.Errorf("kernels.ptx is of other sources: run go generate where nvcc is\n%s\n%s", first, want)
	}
	for _, line := range []string{"\n.version " + version + "\n", "\n.target sm_" + architecture + "\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("kernels.ptx has no line %q", strings.TrimSpace(line))
		}
	}
	for i, b := range text {
		if b >= 0x80 {
			t.Fatalf("byte %d of kernels.ptx is not ASCII: ptxas refuses it", i)
		}
	}
}
