package nn_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestResults: losses and logits are the host's where they are too many to come back from
// a device together, and each failure of the device comes back.
func TestResults(t *testing.T) {
	const n, classes = 10, 1 << 20 // three examples at a time
	run := func(m nn.Model) (losses []float64, logits []float32, counts []int, err error) {
		a := nn.Open(m, &numbered{n: n}, []int{7, 1, 2, 9, 4, 5, 6, 0, 8, 3}, nn.Holding{Necks: []int{1}})
		defer a.Close()
		if err := a.Advance(t.Context(), 1, ignore); err != nil {
			return nil, nil, nil, err
		}
		losses, logits = make([]float64, n-1), make([]float32, (n-1)*classes)
		err = a.Evaluate(t.Context(), 1, 1, losses, logits, func(examples int) { counts = append(counts, examples) })
		for i, l := range losses {
			losses[i] = float64(float32(l))
		}
		return losses, logits, counts, err
	}
	model := func() nntest.Slices { return &counting{sizes: []int{4, 2, classes}} }
	want, wantLogits, _, err := run(nntest.On(model()))
	if err != nil {
		t.Fatal(err)
	}
	for failing := 0; ; failing++ {
		d := nntest.NewDevice()
		d.FailAt = failing
		losses, logits, counts, err := run(nntest.OnDevice(model(), d))
		if left := d.Live(); len(left) > 0 {
			t.Errorf("call %d failed: %v left", failing, left)
		}
		if failing > d.Calls {
			break
		}
		switch {
		case failing > 0:
			if !errors.Is(err, nntest.ErrDevice) {
				t.Errorf("call %d failed: error %v", failing, err)
			}
		case err != nil || !slices.Equal(counts, []int{3, 3, 3}):
			t.Errorf("examples %v, error %v", counts, err)
		case !slices.Equal(losses, want) || !slices.Equal(logits, wantLogits):
			t.Errorf("losses %v, want %v, or logits differ", losses, want)
		}
	}
}
