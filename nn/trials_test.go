package nn_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestTrials: the means are those of Evaluate, in order of the trials, however many
// there are room for and batches they take, and each failure of the device comes back.
func TestTrials(t *testing.T) {
	run := func(t *testing.T, m nn.Model) error {
		b := nn.NewActivations(m)
		a := nn.Open(m, &numbered{n: 10}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, nn.Holding{Necks: []int{1}})
		trials := nn.NewTrials(b)
		defer a.Close()
		defer b.Close()
		defer trials.Free()
		if err := a.Advance(t.Context(), 1, ignore); err != nil {
			return err
		}
		for _, positions := range [][]int{{3, 1, 4, 9, 5, 2, 6}, {8}, {7, 0, 3, 1, 4, 2, 9, 5}} {
			if err := b.Gather(t.Context(), a, positions, 1, nil); err != nil {
				return err
			}
			losses := make([]float64, len(positions))
			if err := b.Evaluate(t.Context(), 0, 1, losses, nil, ignore); err != nil {
				return err
			}
			for _, n := range []int{2, 0, 3, 1} {
				if err := trials.Begin(n); err != nil {
					return err
				}
				var want []float64
				for range n {
					want = append(want, metric.Mean(losses))
					if err := trials.Add(t.Context(), 1); err != nil {
						return err
					}
				}
				got, err := trials.Means()
				if err != nil {
					return err
				}
				if !slices.Equal(got, want) {
					t.Errorf("%v: means %v, want %v", positions, got, want)
				}
			}
		}
		return nil
	}
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		if err := run(t, on(&counting{sizes: []int{4, 2, 8, 3}})); err != nil || len(live()) > 0 {
			t.Errorf("error %v, %v left", err, live())
		}
	})
	for n := 1; ; n++ {
		d := nntest.NewDevice()
		d.FailAt = n
		err := run(t, nntest.OnDevice(&counting{sizes: []int{4, 2, 8, 3}}, d))
		if left := d.Live(); len(left) > 0 {
			t.Errorf("call %d failed: %v left", n, left)
		}
		if err == nil && d.Calls < n {
			break
		}
		if !errors.Is(err, nntest.ErrDevice) {
			t.Errorf("call %d failed: error %v", n, err)
		}
	}
}

// TestTrialsDiffer: each trial is of the weights that the model had at it, though they
// are changed before the losses are asked for.
func TestTrialsDiffer(t *testing.T) {
	devices(t, func(t *testing.T, on func(nntest.Slices) nn.Model, live func() []string) {
		weights := &shifted{counting: counting{sizes: []int{4, 2, 2}}}
		m := on(weights)
		a := nn.Open(m, &numbered{n: 5}, []int{0, 1, 2, 3, 4}, nn.Holding{Necks: []int{1}})
		trials := nn.NewTrials(a)
		if err := errors.Join(a.Advance(t.Context(), 1, ignore), trials.Begin(3)); err != nil {
			t.Fatal(err)
		}
		for _, by := range []float64{0, 2, -1} {
			weights.by = by
			if err := trials.Add(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		weights.by = 100
		means, err := trials.Means()
		if err != nil || len(means) != 3 || means[1]-means[0] != 2 || means[2]-means[0] != -1 {
			t.Errorf("means %v, error %v", means, err)
		}
		trials.Free()
		if err := a.Close(); err != nil || len(live()) > 0 {
			t.Errorf("error %v, %v left", err, live())
		}
	})
}

// shifted is counting with all losses moved by a number, which stands for its weights.
type shifted struct {
	counting
	by float64
}

func (s *shifted) Evaluate(ctx context.Context, from int, in []float32, labels []int, invT float64, losses []float64, logits []float32) error {
	err := s.counting.Evaluate(ctx, from, in, labels, invT, losses, logits)
	for i := range losses {
		losses[i] += s.by
	}
	return err
}
