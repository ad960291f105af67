package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/report"
)

// TestUntie treats one block of models in which tensors serve several blocks:
// refused by itself; with --shared update all of their uses change; with
// --shared untie every parameter of the block has other values afterwards, and
// every other parameter those that it had.
func TestUntie(t *testing.T) {
	zoo := shareddata.Path(t, "zoo")
	images := noiseImages(t, 10, 24)
	for _, c := range []struct {
		name, layer string
		own         []string // shared parameters of the layer
	}{
		{"timm-tied-dynamo20", "blocks.1", []string{"blocks.1.mlp.fc1.bias", "blocks.1.mlp.fc2.bias"}},
		{"tv-dynamo20-merged", "blocks.0", []string{
			"encoder.layers.encoder_layer_0.ln_1.weight", "encoder.layers.encoder_layer_0.ln_2.weight",
			"encoder.layers.encoder_layer_0.self_attention.in_proj_bias"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			model, out := filepath.Join(zoo, c.name, "model.onnx"), filepath.Join(t.TempDir(), "out.onnx")
			args := []string{"fix", "--recipe", "sgd", "--update", c.layer, "--force", "--overwrite", "--epochs", "1", "--batch", "8", "--lr", "0.01",
				"--data", images, "--preprocess", "imagenet", "--config", "none", "--quiet", "-o", out, model}
			command(t, exitUnreadable, args...)
			_, before := openForTest(t, model)
			was := parameters(t, before)

			command(t, exitOK, append(args, "--shared", "update")...)
			_, updated := openForTest(t, out)
			is := parameters(t, updated)
			for _, name := range c.own {
				if slices.Equal(is[name], was[name]) {
					t.Errorf("update: %s has its old values", name)
				}
			}

			command(t, exitOK, append(args, "--shared", "untie")...)
			_, untied := openForTest(t, out)
			is = parameters(t, untied)
			own := map[string]bool{}
			for _, l := range untied.Layers(graph.ByBlock) {
				for _, w := range l.Weights {
					own[untied.Weights[w].Name] = l.Name == c.layer
				}
			}
			for _, name := range c.own {
				if !own[name] {
					t.Errorf("untie: %s is not in %s", name, c.layer)
				}
			}
			if len(is) != len(was) {
				t.Errorf("untie: %d parameters, was %d", len(is), len(was))
			}
			for name, values := range was {
				switch same := slices.Equal(is[name], values); {
				case own[name] && same:
					t.Errorf("untie: %s has its old values", name)
				case !own[name] && !same:
					t.Errorf("untie: %s is not in %s and has other values", name, c.layer)
				}
			}
		})
	}
}

// parameters are the values of everything that a tensor serves as, by name.
func parameters(t *testing.T, n *graph.Network) map[string][]float32 {
	t.Helper()
	values := map[string][]float32{}
	for i, w := range n.Weights {
		data, err := w.Tensor.Float32s()
		if err != nil {
			t.Fatal(err)
		}
		values[w.Name] = data
		for _, u := range n.Shared(i) {
			values[u.Path] = data
		}
	}
	return values
}

// TestSearchAmongTied: a search leaves out pairs that would train a shared weight, and
// with --shared untie or update it tries them.
func TestSearchAmongTied(t *testing.T) {
	model := filepath.Join(shareddata.Path(t, "zoo"), "timm-tied-dynamo20", "model.onnx")
	_, network := openForTest(t, model)
	images, out := noiseImages(t, 10, 24), filepath.Join(t.TempDir(), "report.json")
	for shared, tried := range map[string]bool{"": false, "update": true, "untie": true} {
		args := []string{"fix", "--search-layers", "--search-candidates", "4", "--granularity", "block", "--trial", "--epochs", "1", "--batch", "8", "--lr", "1e-4",
			"--data", images, "--preprocess", "imagenet", "--config", "none", "--quiet", "--format", "json=" + out, model}
		if shared != "" {
			args = append(args, "--shared", shared)
		}
		command(t, exitFailed, args...) // too few hold-out images
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		read, err := report.ReadFix(f)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, c := range read.Search.Candidates {
			found = found || network.CheckUnshared([]string{c.Update}) != nil
			if c.Trials[0].ValLoss == nil || c.Trials[0].Steps == 0 {
				t.Errorf("--shared %q: %s → %s: %+v", shared, c.Perturb, c.Update, c.Trials[0])
			}
		}
		if found != tried {
			t.Errorf("--shared %q: a layer with shared weights is among the candidates: %v", shared, found)
		}
	}
}
