package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The assembly in the tree is what the generator writes.
func TestUpToDate(t *testing.T) {
	dir := t.TempDir()
	if err := generateAll(dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 22 {
		t.Fatalf("wrote %v (%v), want 22 files", files, err)
	}
	for _, f := range files {
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../..", filepath.Base(f)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not up to date: run go generate in graph/kernel", filepath.Base(f))
		}
	}
}
