package dataset

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFlipCrop: every view is the image, mirrored or not, shifted by at most an
// eighth, with black beyond; all shifts occur, and the same seed gives the same.
func TestFlipCrop(t *testing.T) {
	const h, w = 16, 8 // shifts of up to 2 and 1
	p := Preprocess{Size: [2]int{h, w}}
	image := make([]byte, 3*h*w)
	for i := range image {
		image[i] = byte(1 + i%255) // no two of a plane alike, none black
	}
	seen := map[[3]int]bool{}
	for seed := range uint64(400) {
		view := slices.Clone(image)
		p.FlipCrop(view, rand.New(rand.NewPCG(seed, 0)))
		again := slices.Clone(image)
		p.FlipCrop(again, rand.New(rand.NewPCG(seed, 0)))
		if !slices.Equal(view, again) {
			t.Fatal("the same seed gives another view")
		}
		found := false
		for mirrored := range 2 {
			for dy := -2; dy <= 2; dy++ {
				for dx := -1; dx <= 1; dx++ {
					if slices.Equal(view, shifted(image, h, w, mirrored == 1, dy, dx)) {
						found = true
						seen[[3]int{mirrored, dy, dx}] = true
					}
				}
			}
		}
		if !found {
			t.Fatalf("seed %d: no shifted or mirrored image", seed)
		}
	}
	if len(seen) != 2*5*3 {
		t.Errorf("%d of 30 views seen", len(seen))
	}
}

// shifted is written plane by plane and pixel by pixel, from the target's side.
func shifted(image []byte, h, w int, mirrored bool, dy, dx int) []byte {
	out := make([]byte, len(image))
	for i := range out {
		c, y, x := i/(h*w), i/w%h, i%w
		if mirrored {
			x = w - 1 - x
		}
		y, x = y+dy, x+dx
		if y < 0 || y >= h || x < 0 || x >= w {
			continue
		}
		out[i] = image[(c*h+y)*w+x]
	}
	return out
}
