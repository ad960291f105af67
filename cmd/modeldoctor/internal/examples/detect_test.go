package examples

import (
	"context"
	"errors"
	"image/color"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// twoColours are n images of two classes whose channels all tell them apart, each
// otherwise.
func twoColours(n int) colours {
	images := make(colours, n)
	for i := range images {
		images[i] = color.NRGBA{228, 128, 200, 255}
		if i%2 == 1 {
			images[i] = color.NRGBA{28, 128, 60, 255}
		}
	}
	return images
}

// TestDetectsEveryPreset has, for every preset and order of channels, a model that
// knows the values that it makes and guesses at all others.
func TestDetectsEveryPreset(t *testing.T) {
	images := twoColours(80)
	for _, channels := range []int{3, 1} {
		in := graph.InputSpec{Layout: graph.NCHW, Channels: channels, Height: 2, Width: 2}
		running, err := candidates(in, Given{})
		if err != nil || len(running) != map[int]int{3: 15, 1: 5}[channels] {
			t.Fatalf("%d candidates, %v", len(running), err)
		}
		for _, p := range running {
			values := make([]float32, 2*in.Elements())
			made := New(images, p, in)
			for i := range 2 {
				if err := made.Read(i, values[i*in.Elements():][:in.Elements()]); err != nil {
					t.Fatal(err)
				}
			}
			model := reds{bright: values[0], dark: values[in.Elements()], elements: in.Elements()}
			found, err := DetectPreprocess(context.Background(), nntest.On(model), images, in, Given{}, func(string, int, int) {})
			if err != nil {
				t.Errorf("%s: %v", candidateName(p), err)
				continue
			}
			if got, want := found.Flags(), "--preprocess "+candidateName(p); got != want || !found.Decided {
				t.Errorf("%d channels: found %s (%s), want %s", channels, got, found.Best.Source, want)
			}
		}
	}
}

// TestBytesAreLeftAlone: a model that takes whole numbers gets the bytes as they are; what
// order its channels have is tried.
func TestBytesAreLeftAlone(t *testing.T) {
	images := twoColours(80)
	for _, c := range []struct {
		channels     int
		bright, dark float32
		want         string
	}{{1, 0, 0, "raw255"}, {3, 228, 28, "raw255"}, {3, 200, 60, "raw255 --channels bgr"}} {
		in := graph.InputSpec{DType: onnx.Uint8, Layout: graph.NCHW, Channels: c.channels, Height: 2, Width: 2}
		model := reds{bright: c.bright, dark: c.dark, elements: in.Elements()}
		found, err := DetectPreprocess(context.Background(), nntest.On(model), images, in, Given{}, func(string, int, int) {})
		if err != nil {
			t.Fatal(err)
		}
		if got := candidateName(found.Best); got != c.want || !found.Decided || !found.Best.KeepsBytes() {
			t.Errorf("%d channels: found %s (%s), want %s", c.channels, got, found.Best.Source, c.want)
		}
	}
}

// TestDetectionNeedsMoreImages: only one image in six says anything, so that 64
// do not decide, and more are taken.
func TestDetectionNeedsMoreImages(t *testing.T) {
	in := graph.InputSpec{Layout: graph.NCHW, Channels: 3, Height: 2, Width: 2}
	images := twoColours(1000)
	for i := range images {
		if i/2%6 != 0 {
			images[i] = color.NRGBA{100, 100, 100, 255}
		}
	}
	found, err := DetectPreprocess(context.Background(), nntest.On(reds{bright: 228.0 / 255, dark: 28.0 / 255}), images, in, Given{}, func(string, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if n := found.Best.Source; found.Best.Name != "raw01" || !found.Decided || strings.Contains(n, "on 64 images") || strings.Contains(n, "on 1000 images") {
		t.Errorf("found %s, %s", found.Best.Name, n)
	}
}

// TestUndecided: where the model sees no difference, that is said, and the loss as
// it is decides.
func TestUndecided(t *testing.T) {
	in := graph.InputSpec{Layout: graph.NCHW, Channels: 3, Height: 2, Width: 2}
	images := make(colours, 100)
	for i := range images {
		images[i] = color.NRGBA{uint8(128 + (1-2*(i%2))*100), 90, uint8(128 + (1-2*(i%2))*100), 255} // red and blue are the same
	}
	found, err := DetectPreprocess(context.Background(), nntest.On(reds{bright: 228.0 / 255, dark: 28.0 / 255}), images, in, Given{}, func(string, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	if found.Decided || found.Best.Name != "raw01" || found.RunnerUp.Name != "raw01" || found.RunnerUp.Channels == found.Best.Channels || !strings.Contains(found.Best.Source, "do not tell apart") {
		t.Errorf("found %s, runner-up %s, %s", found.Flags(), candidateName(found.RunnerUp), found.Best.Source)
	}
	given, err := DetectPreprocess(context.Background(), nntest.On(reds{bright: 228.0 / 255, dark: 28.0 / 255}), images, in, Given{Orders: []dataset.Channels{dataset.BGR}}, func(string, int, int) {})
	if err != nil || !given.Decided || given.Flags() != "--preprocess raw01 --channels bgr" {
		t.Errorf("with the order given: %s, %v", given.Flags(), err)
	}
	var chance *diag.ChanceError
	if _, err := DetectPreprocess(context.Background(), nntest.On(reds{}), images, in, Given{}, func(string, int, int) {}); !errors.As(err, &chance) {
		t.Errorf("a model that guesses gives %v", err)
	}
}
