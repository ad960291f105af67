package graph

import (
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
)

// TestLosses: the losses and logits that are left in the device's memory are the bits
// that Evaluate returns. Labels, temperature and the number of examples change from call to call, and each is
// compared with a runner that is asked for nothing else.
func TestLosses(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		n := openFixture(t, "tv-legacy17", Options{Batch: 3})
		in, labels := randomBatch(n, 3)
		r := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
		defer r.Close()
		images, err := r.Device().Import(in)
		if err != nil {
			t.Fatal(err)
		}
		losses, err := r.Device().Alloc(5)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := r.Device().Alloc(3 * n.Classes)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Device().Free(logits)
		defer r.Device().Free(losses)
		defer r.Device().Free(images)
		for _, c := range []struct {
			labels []int
			invT   float64
		}{{labels, 1}, {labels, 0.5}, {labels[:2], 0.5}, {[]int{1, 0, 1}, 0.5}, {[]int{1, 0, 1}, 0.5}, {labels[:1], 2}} {
			if err := r.Losses(t.Context(), 0, images, c.labels, c.invT, r.Device().Slice(losses, 1, 5), logits); err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 5)
			if err := r.Device().Download(got, losses); err != nil {
				t.Fatal(err)
			}
			gotLogits := make([]float32, len(c.labels)*n.Classes)
			if err := r.Device().Download(gotLogits, logits); err != nil {
				t.Fatal(err)
			}
			fresh := NewRunner(n, RunnerOptions{Threads: 1, Device: on.Device})
			want := make([]float64, len(c.labels))
			wantLogits := make([]float32, len(gotLogits))
			if err := fresh.Evaluate(t.Context(), 0, images, c.labels, c.invT, want, wantLogits); err != nil {
				t.Fatal(err)
			}
			fresh.Close()
			if !slices.Equal(gotLogits, wantLogits) {
				t.Errorf("%v at %v: logits %v, want %v", c.labels, c.invT, gotLogits, wantLogits)
			}
			for i, w := range want {
				if float64(got[1+i]) != w {
					t.Errorf("%v at %v: losses %v, want %v", c.labels, c.invT, got[1:], want)
				}
			}
			if got[0] != 0 || slices.Contains(want, 0) {
				t.Errorf("losses %v beside %v", got, want)
			}
		}
	})
}
