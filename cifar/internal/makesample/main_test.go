package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/modeldoctor/modeldoctor/cifar/internal/residual"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
)

// TestUpToDate makes the sample again. Images are compared, not files,
// because another release of Go may deflate differently.
func TestUpToDate(t *testing.T) {
	out := t.TempDir()
	if err := run(shareddata.Path(t, "data", "cifar-100-binary"), out); err != nil {
		t.Fatal(err)
	}
	for _, split := range []string{"train", "validation", "holdout"} {
		var parts [2]part
		for i, dir := range []string{out, "../../sample"} {
			data, err := os.ReadFile(filepath.Join(dir, split+".residual"))
			if err != nil {
				t.Fatal(err)
			}
			if parts[i].labels, parts[i].pixels, err = residual.Decode(data); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(parts[0].labels, parts[1].labels) || !bytes.Equal(parts[0].pixels, parts[1].pixels) {
			t.Errorf("the embedded %s part is not what makesample writes: make it again with go run ./cifar/internal/makesample", split)
		}
	}
}
