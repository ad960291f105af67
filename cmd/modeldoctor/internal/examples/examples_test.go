package examples

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// colours is a set of images of 2×2 pixels of one colour each.
type colours []color.NRGBA

func (c colours) Name() string      { return "colours" }
func (c colours) Len() int          { return len(c) }
func (c colours) Classes() []string { return nil }
func (c colours) Label(i int) int   { return i % 2 }
func (c colours) Image(i int) (image.Image, error) {
	if c[i].A == 0 {
		return nil, fmt.Errorf("no image %d", i)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	for p := range 4 {
		img.SetNRGBA(p%2, p/2, c[i])
	}
	return img, nil
}

// striped are the same with a black right half.
type striped struct{ colours }

func (s striped) Image(i int) (image.Image, error) {
	img, err := s.colours.Image(i)
	if err == nil {
		draw.Draw(img.(draw.Image), image.Rect(1, 0, 2, 2), image.Black, image.Point{}, draw.Src)
	}
	return img, err
}

func raw01(t *testing.T) dataset.Preprocess {
	t.Helper()
	for _, p := range dataset.Presets() {
		if p.Name == "raw01" {
			p, err := p.ForInput(2, 2)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatal("there is no preset raw01")
	panic("unreachable")
}

// reds is a model of two classes that knows two values of an image's first pixel,
// and guesses where it sees another.
type reds struct {
	nntest.Slices         // what detection does not call
	bright, dark  float32 // of the classes 0 and 1
	elements      int     // of an image; 0: 12
}

func (reds) Batch() int               { return 7 }
func (reds) Classes() int             { return 2 }
func (reds) Necks() int               { return 2 }
func (m reds) NeckElements(k int) int { return []int{cmp.Or(m.elements, 12), 2}[k] }

func (m reds) Evaluate(_ context.Context, _ int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	near := func(a, b float32) bool { return max(a-b, b-a) < 1e-4 }
	for i, label := range labels {
		z := []float32{0, 0}
		switch x := in[cmp.Or(m.elements, 12)*i]; {
		case near(x, m.bright):
			z[0] = 5
		case near(x, m.dark):
			z[1] = 5
		}
		losses[i] = math.Log1p(math.Exp(invT * float64(z[1-label]-z[label])))
		if logits != nil {
			copy(logits[2*i:], z)
		}
	}
	return nil
}

// TestRead brings a colour into every layout of an input.
func TestRead(t *testing.T) {
	images := colours{{255, 0, 0, 255}, {51, 102, 153, 255}}
	const grey = 93.0 / 255 // 0.299·51 + 0.587·102 + 0.114·153
	for _, c := range []struct {
		layout   graph.Layout
		channels int
		want     []float32
	}{
		{graph.NCHW, 3, []float32{0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6}},
		{graph.NHWC, 3, []float32{0.2, 0.4, 0.6, 0.2, 0.4, 0.6, 0.2, 0.4, 0.6, 0.2, 0.4, 0.6}},
		{graph.NCHW, 1, []float32{grey, grey, grey, grey}},
		{graph.NHWC, 1, []float32{grey, grey, grey, grey}},
		{graph.NHW, 1, []float32{grey, grey, grey, grey}},
		{graph.FlatCHW, 1, []float32{grey, grey, grey, grey}},
		{graph.FlatCHW, 3, []float32{0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6}},
		{graph.FlatHWC, 3, []float32{0.2, 0.4, 0.6, 0.2, 0.4, 0.6, 0.2, 0.4, 0.6, 0.2, 0.4, 0.6}},
		{graph.NCHW, 4, []float32{0.2, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6, 1, 1, 1, 1}},
		{graph.NHWC, 4, []float32{0.2, 0.4, 0.6, 1, 0.2, 0.4, 0.6, 1, 0.2, 0.4, 0.6, 1, 0.2, 0.4, 0.6, 1}},
	} {
		in := graph.InputSpec{Layout: c.layout, Channels: c.channels, Height: 2, Width: 2}
		got := make([]float32, in.Elements())
		if err := New(images, raw01(t), in).Read(1, got); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, c.want, func(a, b float32) bool { return max(a-b, b-a) < 1e-6 }) {
			t.Errorf("%v with %d channels: %v, want %v", c.layout, c.channels, got, c.want)
		}
	}
}

// TestViews: each image has its label in all of its views, and the seed decides
// on what they are.
func TestViews(t *testing.T) {
	in := graph.InputSpec{Layout: graph.NCHW, Channels: 3, Height: 2, Width: 2}
	images := striped{colours{{255, 0, 0, 255}, {0, 255, 0, 255}}}
	views := func(seed uint64) *Set { return NewViews(images, raw01(t), in, 16, seed) }
	s := views(1)
	if s.Len() != 32 || s.Images() != 2 || s.Label(15) != 0 || s.Label(16) != 1 {
		t.Errorf("%d entries of %d images, labels %d and %d", s.Len(), s.Images(), s.Label(15), s.Label(16))
	}
	digests := map[uint64]string{}
	for _, seed := range []uint64{1, 2} {
		a, err1 := views(seed).SHA256()
		b, err2 := views(seed).SHA256()
		if err := errors.Join(err1, err2); err != nil || a != b {
			t.Errorf("seed %d gives %s and %s, %v", seed, a, b, err)
		}
		digests[seed] = a
	}
	if digests[1] == digests[2] {
		t.Error("two seeds give the same views")
	}
}

// TestShared finds equal images whether or not one set has views of them, and
// leaves them out.
func TestShared(t *testing.T) {
	in := graph.InputSpec{Layout: graph.NCHW, Channels: 3, Height: 2, Width: 2}
	red, green, blue := color.NRGBA{255, 0, 0, 255}, color.NRGBA{0, 255, 0, 255}, color.NRGBA{0, 0, 255, 255}
	for name, b := range map[string]*Set{
		"plain": New(striped{colours{green, blue}}, raw01(t), in),
		"views": NewViews(striped{colours{green, blue}}, raw01(t), in, 5, 1),
	} {
		a := New(striped{colours{red, green, green}}, raw01(t), in)
		n := 0
		for _, s := range []*Set{a, b} {
			if err := s.ReadPlain(t.Context(), func() { n++ }); err != nil {
				t.Fatal(err)
			}
		}
		if n != 5 {
			t.Errorf("%s: told of %d images, want 5", name, n)
		}
		if got, want := Shared(a, b), [][2]int{{1, 0}, {2, 0}}; !slices.Equal(got, want) {
			t.Errorf("%s: %v shared, want %v", name, got, want)
		}
		if na, nb := Repeated(a), Repeated(b); na != 1 || nb != 0 {
			t.Errorf("%s: %d and %d images are there before, want 1 and 0", name, na, nb)
		}
		rest := a.Without([]int{1, 2})
		if err := rest.ReadPlain(t.Context(), func() {}); err != nil {
			t.Fatal(err)
		}
		if rest.Images() != 1 || Shared(rest, b) != nil || len(Shared(rest, a)) != 1 {
			t.Errorf("%s: %d images are left, of which %v are shared", name, rest.Images(), Shared(rest, b))
		}
	}
}

// TestUnreadable: an image that cannot be read is an error of all that needs it, the
// first one where there are several.
func TestUnreadable(t *testing.T) {
	in := graph.InputSpec{Layout: graph.NCHW, Channels: 3, Height: 2, Width: 2}
	images := colours{{}, {0, 255, 0, 255}}
	if _, err := New(images, raw01(t), in).SHA256(); err == nil {
		t.Error("the digest has no error")
	}
	many := make(colours, 40)
	for i := range 7 {
		many[i].A = 255
	}
	if err := New(many, raw01(t), in).ReadPlain(t.Context(), func() {}); err == nil || err.Error() != "no image 7" {
		t.Errorf("of many that cannot be read: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(many[:7], raw01(t), in).ReadPlain(ctx, func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := DetectPreprocess(context.Background(), nntest.On(reds{}), images, in, Given{}, func(string, int, int) {}); err == nil {
		t.Error("detection has no error")
	}
}

// TestDetectPreprocess finds the preset that a model was trained with, and says
// how far it is.
func TestDetectPreprocess(t *testing.T) {
	in := graph.InputSpec{Layout: graph.NCHW, Channels: 3, Height: 2, Width: 2}
	images := make(colours, 80)
	for i := range images {
		images[i] = color.NRGBA{uint8(128 + (1-2*(i%2))*100), 128, 128, 255}
	}
	calls, last := 0, 0
	found, err := DetectPreprocess(context.Background(), nntest.On(reds{bright: 228.0 / 255, dark: 28.0 / 255}), images, in, Given{}, func(phase string, done, total int) {
		if phase != "preprocessing" || done != calls || total != 64*15 {
			t.Fatalf("%s: %d of %d, want call %d", phase, done, total, calls)
		}
		calls++
		last = total
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls != last {
		t.Errorf("%d calls for %d images", calls, last)
	}
	if p := found.Best; p.Name != "raw01" || !strings.HasPrefix(p.Source, "detected on 64 images: loss ") || !found.Decided || found.Flags() != "--preprocess raw01" {
		t.Errorf("found %s, %s", p.Name, p.Source)
	}
	var chance *diag.ChanceError
	if _, err := DetectPreprocess(context.Background(), nntest.On(reds{}), images, in, Given{}, func(string, int, int) {}); !errors.As(err, &chance) {
		t.Errorf("a model that guesses gives %v", err)
	}
}
