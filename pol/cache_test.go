package pol

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestPerturbEvery scans at the first of every K steps of an epoch, and at the
// first of each epoch.
func TestPerturbEvery(t *testing.T) {
	_, layers, _ := newProblem()
	for every, want := range map[int]int{1: 15, 2: 9, 3: 6, 4: 6, 5: 3, 100: 3} {
		m, _, data := newProblem()
		opt := smallOptions()
		opt.Batch, opt.PerturbEvery = 8, every // 3 epochs of 5 steps
		scans, rejected, scanning := 0, 0, false
		plan := plans(t, layers)["pol below"]
		r := treat(t, m, data, plan, opt)
		for _, c := range m.calls {
			// The scans are the only evaluations of a model that is differentiated
			// before and after, of 7 + 7 + 3 examples at the neck of P.
			switch {
			case c.kind == "gradients":
				scanning = false
			case c.kind == "evaluate" && !scanning && c.examples == 7:
				scans, scanning = scans+1, true
			}
		}
		for _, e := range r.Epochs {
			rejected += e.Rejected
		}
		// Evaluations of V and H look alike: V before, 3 times V and H.
		if scans -= 1 + 3; rejected > 0 || scans != want {
			t.Errorf("every %d: %d scans, want %d; %d steps rejected", every, scans, want, rejected)
		}
	}
}

// TestPassesBelow counts the passes through the stages below P and U: with a
// cache none from the images after it is filled, without one those of [firstUses],
// and below P one for each example of a step.
func TestPassesBelow(t *testing.T) {
	_, layers, _ := newProblem()
	for name, plan := range plans(t, layers) {
		for _, noCache := range []bool{false, true} {
			m, _, data := newProblem()
			opt := smallOptions()
			opt.NoCache = noCache
			r := treat(t, m, data, plan, opt)
			p, u := newGroup(nntest.On(m), plan.Perturb...).neck, newGroup(nntest.On(m), plan.Update...).neck
			neck := u
			if plan.Recipe.Rule != Unperturbed {
				neck = min(p, u)
			}
			examples := map[[2]int]int{}
			for _, c := range m.calls {
				if c.kind == "advance" {
					examples[[2]int{c.from, c.to}] += c.examples
				}
				if c.kind != "advance" && c.from < neck {
					t.Fatalf("%s: %s from neck %d, below all that changes", name, c.kind, c.from)
				}
			}
			want := map[[2]int]int{}
			if neck > 0 {
				want[[2]int{0, neck}] = data.Validation.Len() + data.Holdout.Len()
				if noCache {
					want[[2]int{0, neck}] += (1+opt.Epochs)*data.Validation.Len() + firstUses(data, plan, opt)
				} else {
					want[[2]int{0, neck}] += data.Train.Len()
				}
			}
			if p > neck && p < m.Necks()-1 {
				want[[2]int{neck, p}] = r.Steps * opt.PerturbBatch
			}
			if u > neck {
				want[[2]int{neck, u}] = r.Steps * opt.Batch
			}
			if fmt.Sprint(examples) != fmt.Sprint(want) {
				t.Errorf("%s, NoCache %v: examples brought from neck to neck: %v, want %v", name, noCache, examples, want)
			}
			if wantBytes := int64(0); noCache && r.Cache.Bytes != wantBytes ||
				!noCache && r.Cache.Bytes != int64(4*m.NeckElements(neck)*(data.Train.Len()+data.Validation.Len())) {
				t.Errorf("%s, NoCache %v: the cache has %d bytes", name, noCache, r.Cache.Bytes)
			}
			if r.Cache.Neck != neck || noCache != (r.Cache.Place == nn.Nowhere) || r.Cache.Place > nn.OnDevice {
				t.Errorf("%s: cache %+v, want neck %d", name, r.Cache, neck)
			}
		}
	}
}

// firstUses counts the training examples that a step uses and the step before did not.
func firstUses(data Data, plan Plan, opt Options) int {
	perturb, steps, uses := 0, data.images(true)/opt.Batch, 0
	if plan.Recipe.Rule == Search {
		perturb = min(opt.PerturbBatch, data.images(true))
	}
	before := map[int]bool{}
	var d *draws
	for k := range opt.Epochs * steps {
		if k%steps == 0 {
			d = newDraws(opt.Seed, k/steps, data.images(true), data.views())
		}
		now := map[int]bool{}
		for _, entry := range d.step(k%steps, opt.Batch, perturb).all() {
			if now[entry] = true; !before[entry] {
				uses++
				before[entry] = true // an entry may be of the update and of the perturbation
			}
		}
		before = now
	}
	return uses
}

// TestOnePassBelow: without a cache each image is brought to the neck once an epoch,
// whatever of it a step takes, and those of the last perturbations beyond the last epoch.
func TestOnePassBelow(t *testing.T) {
	m, layers, s := newPerceptron(300)
	for _, views := range []int{1, 2} {
		for _, every := range []int{1, 3} {
			opt := smallOptions()
			opt.NoCache, opt.PerturbEvery = true, every
			data := Data{Views: views, Validation: s.part(240, 270), Holdout: s.part(270, 300)}
			for _, name := range []string{"pol above", "pol same layer"} { // others have their neck at the images
				read, total := map[int]int{}, 0
				data.Train = &observed{s.part(0, 240), func(i int) { read[i/views]++; total++ }}
				r := treat(t, m, data, plans(t, layers)[name], opt)
				if most := r.Steps*opt.Batch + opt.PerturbBatch; total > most || total < most*9/10 {
					t.Errorf("%s, %d views, every %d: %d passes, want up to %d", name, views, every, total, most)
				}
				for image, n := range read {
					if n > opt.Epochs+1 {
						t.Errorf("%s: image %d is computed %d times", name, image, n)
					}
				}
			}
		}
	}
}

// TestUncachedSameBits: without a cache the weights are the same, for few images and
// many, and for a rate that is found by trial steps.
func TestUncachedSameBits(t *testing.T) {
	m, layers, data := newProblem()
	all := data.Train.(*samples)
	for name, plan := range plans(t, layers) {
		for images := 12; images <= 40; images += 7 {
			for _, views := range []int{1, 2} {
				for _, rate := range []float64{0.05, 3, 0} {
					opt := smallOptions()
					opt.Batch, opt.Rate, opt.PerturbEvery = 6, rate, 1+images%2
					data.Train, data.Views = all.part(0, images), views
					want := treat(t, m, data, plan, opt)
					opt.NoCache = true
					if got := treat(t, m, data, plan, opt); !sameWeights(got.Weights, want.Weights) || *got.Gain != *want.Gain {
						t.Errorf("%s, %d images, %d views, rate %v: other weights without a cache", name, images, views, rate)
					}
				}
			}
		}
	}
}

// TestMemory takes the host's memory for what does not fit, then a file, and leaves
// none behind.
func TestMemory(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol above"], smallOptions()
	want := treat(t, m, data, plan, opt) // 40 and 25 examples of 7 numbers
	for _, test := range []struct {
		memory, host int64
		place        nn.Place
	}{
		{0, 0, nn.OnDevice}, {65*7*4 + 1, 0, nn.OnDevice},
		{65 * 7 * 4, 0, nn.InFile}, {30 * 7 * 4, 0, nn.InFile}, {1, 0, nn.InFile},
		{65 * 7 * 4, 25 * 7 * 4, nn.OnHost}, {30 * 7 * 4, 40 * 7 * 4, nn.OnHost}, {1, 65 * 7 * 4, nn.OnHost},
		{30 * 7 * 4, 40*7*4 - 1, nn.InFile}, {1, 65*7*4 - 1, nn.InFile},
	} {
		opt.Memory, opt.HostMemory, opt.TempDir = test.memory, test.host, t.TempDir()
		r := treat(t, m, data, plan, opt)
		if r.Cache.Place != test.place || r.Cache.Bytes != 65*7*4 || !sameWeights(r.Weights, want.Weights) {
			t.Errorf("with %+v: cache %+v, or other weights", test, r.Cache)
		}
		expectEmpty(t, opt.TempDir)
		expectClosed(t, opt.TempDir)
	}
	opt.HostMemory = 0
	opt.TempDir += "/missing"
	check := untouched(&m.weightTable)
	if _, err := Treat(t.Context(), nntest.On(m), data, plan, opt); err == nil || !strings.Contains(err.Error(), "temporary file") {
		t.Errorf("error %v with a folder that is missing", err)
	}
	check(t)
}

// expectClosed fails if a file of a folder is open, where the system can tell.
func expectClosed(t *testing.T, folder string) {
	t.Helper()
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if file, err := os.Readlink(fd); err == nil && strings.HasPrefix(file, folder) {
			t.Errorf("%s is still open", file)
		}
	}
}
