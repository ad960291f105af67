package pol

import (
	"errors"
	"slices"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestRecipes: every recipe ends with the same weights and gain on each backend, with and
// without a cache. Elements of vectors are computed in float64 and rounded once
// everywhere; only inner products are sums in another order.
func TestRecipes(t *testing.T) {
	_, layers, _ := newProblem()
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for name, plan := range plans(t, layers) {
			for _, noCache := range []bool{false, true} {
				m, _, data := newProblem()
				opt := smallOptions()
				opt.NoCache = noCache
				want := treat(t, m, data, plan, opt)
				check := untouched(&m.weightTable)
				got, err := Treat(t.Context(), nntest.OnBackend(t, m, on.Device), data, plan, opt)
				if err != nil {
					t.Fatal(err)
				}
				check(t)
				if len(got.Weights) != len(want.Weights) || got.Best != want.Best {
					t.Fatalf("%s: %d weights of epoch %d, want %d of %d", name, len(got.Weights), got.Best, len(want.Weights), want.Best)
				}
				for w, values := range want.Weights {
					testdevice.CloseTo(t, name+": weight", widen(got.Weights[w]), widen(values), testdevice.Operation)
				}
				testdevice.Near(t, name+": gain", got.Gain.Mean, want.Gain.Mean, testdevice.Operation)
			}
		}
	})
}

// TestDevice: a device whose memory the host cannot look into gives the same
// weights, with and without a cache, and nothing stays behind there. Where a call
// of it fails its error comes back.
func TestDevice(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, change := range []func(*Options){
			func(*Options) {},
			func(o *Options) { o.NoCache = true },
			func(o *Options) { o.Memory, o.HostMemory = 1, 1<<20 },
			func(o *Options) { o.Memory, o.Temperature, o.Classifier = 1, 0, layers[2] },
			func(o *Options) { o.Mix, o.Goal, o.Temperature, o.Classifier = 0.5, LowerError, 0, layers[2] },
			func(o *Options) {
				o.Stored = func(_ int, values []float32) ([]float32, error) { return values, nil }
			},
		} {
			m, _, data := newProblem()
			opt := smallOptions()
			opt.Epochs, opt.TempDir = 1, t.TempDir()
			change(&opt)
			check := untouched(&m.weightTable)
			in32 := nntest.InFloat32(m)
			want := treat(t, in32, data, plan, opt)
			treatOn := func(failAt int) (*Result, nntest.Device, error) {
				d := nntest.NewDevice()
				d.FailAt = failAt
				r, err := Treat(t.Context(), nntest.OnDevice(in32, d), data, plan, opt)
				if left := d.Live(); len(left) > len(m.checkpoint) { // which the model keeps
					t.Fatalf("%s, call %d failed: %d allocations are left: %v", name, failAt, len(left), left)
				}
				check(t)
				return r, d, err
			}
			got, d, err := treatOn(0)
			if err != nil || !sameWeights(got.Weights, want.Weights) || *got.Gain != *want.Gain {
				t.Errorf("%s: other weights, or error %v", name, err)
			}
			for n := 1; n <= d.Calls; n += 1 + n/10 {
				if _, _, err := treatOn(n); !errors.Is(err, nntest.ErrDevice) {
					t.Errorf("%s, call %d of %d failed: error %v", name, n, d.Calls, err)
				}
			}
		}
	}
}

// TestTryOnDevice: trials that share activations are the same on a device, leave nothing
// there, and give its errors back.
func TestTryOnDevice(t *testing.T) {
	_, layers, _ := newProblem()
	pol := recipe(t, "pol")
	all := []Plan{{pol, layers[2:], layers[2:]}, {pol, layers[2:], layers[1:2]}, {pol, layers[:1], layers[2:]}}
	for name, change := range map[string]func(*Options){
		"kept": func(*Options) {}, "not kept": func(o *Options) { o.NoCache = true }, "on the host": func(o *Options) { o.Memory, o.HostMemory = 1, 1<<20 },
	} {
		opt := searchOptions(layers)
		opt.Epochs, opt.TempDir = 1, t.TempDir()
		change(&opt)
		tryOn := func(failAt int) ([]float64, nntest.Device, error) {
			m, _, data := newProblem()
			check := untouched(&m.weightTable)
			d := nntest.NewDevice()
			d.FailAt = failAt
			losses := make([]float64, len(all))
			err := Try(t.Context(), nntest.OnDevice(nntest.InFloat32(m), d), data, all, opt, Tryout{func(int) {}, func(i int, r Trial) error { losses[i] = *r.Loss; return nil }})
			if left := d.Live(); len(left) > len(m.checkpoint) { // which the model keeps
				t.Fatalf("%s, call %d failed: %d allocations are left: %v", name, failAt, len(left), left)
			}
			check(t)
			return losses, d, err
		}
		got, d, err := tryOn(0)
		if err != nil {
			t.Fatal(err)
		}
		m, _, data := newProblem()
		want := make([]float64, len(all))
		if err := Try(t.Context(), nntest.On(nntest.InFloat32(m)), data, all, opt, Tryout{func(int) {}, func(i int, r Trial) error { want[i] = *r.Loss; return nil }}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: losses %v, want %v", name, got, want)
		}
		for n := 1; n <= d.Calls; n += 1 + n/10 {
			if _, _, err := tryOn(n); !errors.Is(err, nntest.ErrDevice) {
				t.Errorf("%s, call %d of %d failed: error %v", name, n, d.Calls, err)
			}
		}
	}
}
