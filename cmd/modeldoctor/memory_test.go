package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// TestMemory: check keeps to --memory within 5 % where it would take more, the pages of
// the model's file and of the program's aside.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("diagnoses a model of 6 M weights twice")
	}
	path := filepath.Join(t.TempDir(), "vit.onnx")
	v := onnxtest.ViT{Image: 32, Patch: 8, Width: 256, Depth: 8, Heads: 4, Hidden: 1024, Classes: 100}
	if err := v.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const programPages = 40 << 20
	mapped := info.Size() + programPages
	peak := func(memory string) int64 {
		_, peak := runHostile(t, exitOK, "check", "-q", "--fail-on", "never", "--preprocess", "cifar100", "--samples", "16", "--race", "1", "--memory", memory, path)
		return peak
	}
	free := peak("4GiB")
	if free == 0 {
		t.Skip("the system does not tell how much memory a process has taken")
	}
	const allowed = 96 << 20
	bound := allowed + allowed/20 + mapped
	if free <= bound {
		t.Fatalf("without a limit it takes %d MiB: this test would show nothing", free>>20)
	}
	if got := peak("96MiB"); got > bound {
		t.Errorf("--memory 96MiB: %d MiB with %d MiB of files, want at most %d", got>>20, mapped>>20, bound>>20)
	}
}
