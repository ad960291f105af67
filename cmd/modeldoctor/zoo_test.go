package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
)

// TestZooRoundTrip takes every model of the zoo through the whole program, as a
// user of an untrained one would: check diagnoses it, fix treats a layer in the
// middle, verify finds that nothing else has changed, and fix treats its own
// output. A model that is to be refused is refused by every command, by name.
func TestZooRoundTrip(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole zoo")
	}
	paths, err := filepath.Glob(filepath.Join(shareddata.Path(t, "zoo"), "*", "case.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	images := map[int]string{}
	passed, refused := 0, 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Name     string   `json:"name"`
			Classes  int      `json:"classes"`
			Expect   string   `json:"expect"`
			Mentions []string `json:"expect_mentions"`
		}
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if c.Name == dynamicCase {
			c.Expect = ""
		}
		if images[c.Classes] == "" {
			images[c.Classes] = noiseImages(t, c.Classes, 24)
		}
		ok := t.Run(c.Name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "model")
			if err := os.CopyFS(folder, os.DirFS(filepath.Dir(path))); err != nil {
				t.Fatal(err)
			}
			model := filepath.Join(folder, "model.onnx")
			if c.Expect == "refuse" {
				refusedByName(t, model, images[c.Classes], c.Mentions)
				return
			}
			roundTrip(t, model, images[c.Classes])
		})
		switch {
		case ok && c.Expect == "refuse":
			refused++
		case ok:
			passed++
		}
	}
	t.Logf("%d passed check, fix, verify and a second fix, %d refused as listed", passed, refused)
}

// dynamicCase has dynamic quantisation, which its record asks to be refused.
const dynamicCase = "hf-vit-legacy14-quantdyn"

// roundTrip checks, treats, verifies and treats again.
func roundTrip(t *testing.T, model, images string) {
	_, n := openForTest(t, model)
	layers := n.Layers(graph.ByBlock)
	update := layers[len(layers)/2].Name
	data := []string{"--config", "none", "--quiet", "--data", images, "--preprocess", "imagenet", "--seed", "1"}

	command(t, exitOK, "inspect", "--config", "none", model)
	command(t, exitOK, append([]string{"check", "--fail-on", "never", model}, data...)...)

	folder := filepath.Dir(model)
	treat := func(from, to string) {
		t.Helper()
		command(t, exitOK, append([]string{"fix", "--force", "--recipe", "sgd", "--update", update, "--shared", "update",
			"--epochs", "1", "--batch", "8", "--lr", "0.05", "--calibration", "none", "-o", to, from}, data...)...)
		checkTreated(t, from, to, update)
		command(t, exitFailed, "verify", "--config", "none", from, to) // the weights differ
	}
	once, twice := filepath.Join(folder, "once.onnx"), filepath.Join(folder, "twice.onnx")
	treat(model, once)
	treat(once, twice)
}

// refusedByName expects exit status 3 and one of the names in what is printed.
func refusedByName(t *testing.T, model, images string, names []string) {
	out := filepath.Join(filepath.Dir(model), "out.onnx")
	for _, args := range [][]string{
		{"inspect", model},
		{"check", "--data", images, "--preprocess", "imagenet", model},
		{"fix", "--data", images, "--preprocess", "imagenet", "-o", out, model},
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), append([]string{"modeldoctor"}, args...), &stdout, &stderr)
		named := slices.ContainsFunc(names, func(name string) bool { return strings.Contains(stderr.String(), name) })
		if code != exitUnreadable || !named {
			t.Errorf("%s: exit status %d, want %d; none of %q in\n%s", args[0], code, exitUnreadable, names, &stderr)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("fix wrote a file")
	}
}
