package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestFixExports treats one model of each exporter and storage form, in its own
// folder and into another, and looks at the file that comes out without the help
// of verify: other values in the treated layer, one more entry, nothing else.
func TestFixExports(t *testing.T) {
	images := map[int]string{}
	for _, classes := range []int{10, 100} {
		images[classes] = noiseImages(t, classes, 24)
	}
	for _, c := range []struct {
		fixture string
		classes int
	}{
		{"hf-vit-dynamo-default-ext", 10}, {"timm-softmax-out-dynamo20", 10}, {"tv-dynamo20-fp16", 10},
		{"tv-legacy14-fixed1-onnxsim", 10}, {"tv-legacy17", 100},
	} {
		for _, recipe := range []struct {
			name  string
			flags []string
			layer string // whose weights move; empty: those that scale the logits
		}{
			{"sgd", []string{"--batch", "8", "--update", "head", "--epochs", "1", "--lr", "0.01"}, "head"},
			{"pol", []string{"--batch", "8", "--perturb", "head", "--update", "blocks.1", "--epochs", "1", "--perturb-batch", "16", "--lr", "0.05", "--calibration", "none"}, "blocks.1"},
			{"temperature", nil, ""},
		} {
			t.Run(c.fixture+"/"+recipe.name, func(t *testing.T) {
				folder := filepath.Join(t.TempDir(), "model")
				if err := os.CopyFS(folder, os.DirFS(filepath.Join("..", "..", "fixtures", c.fixture))); err != nil {
					t.Fatal(err)
				}
				before := folderContents(t, folder)
				model := filepath.Join(folder, "model.onnx")
				treat := func(model, out, seed string) {
					t.Helper()
					args := append([]string{"fix", "--recipe", recipe.name, "--force", "--seed", seed,
						"--data", images[c.classes], "--preprocess", "imagenet", "--config", "none", "--quiet", "-o", out, model}, recipe.flags...)
					command(t, exitOK, args...)
				}

				out := filepath.Join(folder, "out.onnx")
				treat(model, out, "0")
				checkTreated(t, model, out, recipe.layer)
				command(t, exitFailed, "verify", "--config", "none", model, out)

				elsewhere := filepath.Join(t.TempDir(), "out.onnx")
				treat(model, elsewhere, "0")
				checkTreated(t, model, elsewhere, recipe.layer)
				command(t, exitOK, "verify", "--config", "none", out, elsewhere)

				// A second treatment replaces the note on the first.
				again := filepath.Join(folder, "again.onnx")
				treat(out, again, "7")
				checkTreated(t, out, again, recipe.layer)

				after := folderContents(t, folder)
				for _, name := range []string{"out.onnx", "again.onnx"} {
					delete(after, name)
				}
				if !maps.Equal(before, after) {
					t.Errorf("besides the output the folder has changed: %v, was %v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
				}
			})
		}
	}
}

// command runs the program in this process. Not in parallel: the library's own
// flags, of help and version, are global variables.
func command(t *testing.T, code int, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(context.Background(), append([]string{"modeldoctor"}, args...), &stdout, &stderr); got != code {
		t.Fatalf("modeldoctor %q: exit status %d, want %d\n%s%s", args, got, code, &stdout, &stderr)
	}
}

// checkTreated compares two files tensor by tensor: of b only the weights of the
// layer, all of them, may have other values.
func checkTreated(t *testing.T, a, b, layer string) {
	t.Helper()
	from, network := openForTest(t, a)
	to, _ := openForTest(t, b)
	treated, err := treatedTensors(network, layer)
	if err != nil {
		t.Fatal(err)
	}
	was, is := from.Weights(), to.Weights()
	if len(was) != len(is) {
		t.Fatalf("%d floating-point constants, was %d", len(is), len(was))
	}
	for i, w := range was {
		x, y := w.Tensor, is[i].Tensor
		old, err1 := x.Float64s()
		values, err2 := y.Float64s()
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		switch same := slices.Equal(old, values); {
		case x.Name != y.Name || x.DType != y.DType || !slices.Equal(x.Shape, y.Shape):
			t.Errorf("tensor %s %v %v, was %s %v %v", y.Name, y.DType, y.Shape, x.Name, x.DType, x.Shape)
		case treated[x.Name] && same:
			t.Errorf("tensor %s of the treated layer has its old values", x.Name)
		case !treated[x.Name] && !same:
			t.Errorf("tensor %s is not of the treated layer and has other values", x.Name)
		}
	}
	if len(from.Nodes) != len(to.Nodes) {
		t.Fatalf("%d nodes, was %d", len(to.Nodes), len(from.Nodes))
	}
	for i, n := range from.Nodes {
		if m := to.Nodes[i]; n.OpType != m.OpType || !slices.Equal(n.Inputs, m.Inputs) || !slices.Equal(n.Outputs, m.Outputs) {
			t.Errorf("node %s has become %s", n.Label(), m.Label())
		}
	}
	var note struct {
		Source string `json:"source_sha256"`
	}
	if err := json.Unmarshal([]byte(to.Metadata[metadataKey]), &note); err != nil {
		t.Errorf("metadata: %v", err)
	}
	if sha256, err := from.SHA256(); err != nil || note.Source != sha256 {
		t.Errorf("the metadata name the source %s, want %s (%v)", note.Source, sha256, err)
	}
	data, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte(metadataKey)); n != 1 {
		t.Errorf("%d entries of metadata, want 1", n)
	}
}

func openForTest(t *testing.T, path string) (*onnx.Model, *graph.Network) {
	t.Helper()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	n, err := graph.Build(m, graph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, n
}

// treatedTensors names the tensors of a block, or those that scale the logits.
func treatedTensors(n *graph.Network, layer string) (map[string]bool, error) {
	var weights []int
	if layer == "" {
		var err error
		if weights, err = n.LogitScale(); err != nil {
			return nil, err
		}
	}
	for _, l := range n.Layers(graph.ByBlock) {
		if l.Name == layer {
			weights = l.Weights
		}
	}
	if len(weights) == 0 {
		return nil, fmt.Errorf("no layer %q", layer)
	}
	names := map[string]bool{}
	for _, w := range weights {
		names[n.Weights[w].Tensor.Name] = true
	}
	return names, nil
}

// noiseImages writes class folders of random images: in train some 30, in test
// some 80, so that there are validation and hold-out images of every class.
func noiseImages(t *testing.T, classes, size int) string {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(classes), 0))
	for _, split := range []struct {
		name  string
		total int
	}{{"train", 30}, {"test", 80}} {
		for class := range classes {
			folder := filepath.Join(dir, split.name, fmt.Sprintf("%03d", class))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range max(2, split.total/classes) {
				img := image.NewRGBA(image.Rect(0, 0, size, size))
				for p := range img.Pix {
					img.Pix[p] = byte(rng.Uint32())
					if p%4 == 3 {
						img.Pix[p] = 255
					}
				}
				var file bytes.Buffer
				if err := png.Encode(&file, img); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.png", i)), file.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return dir
}

// folderContents are the files of a folder by name.
func folderContents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}
