package pol

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/nn/nntest"
)

// TestDataErrors gives examples that do not suit.
func TestDataErrors(t *testing.T) {
	_, layers, _ := newProblem()
	plan := plans(t, layers)["pol above"]
	label := func(s *samples, l int) *samples {
		s = s.part(0, s.Len())
		s.labels = slices.Clone(s.labels)
		s.labels[3] = l
		return s
	}
	tests := map[string]struct {
		change func(d *Data)
		want   string
	}{
		"fewer images than a batch": {func(d *Data) { d.Train = d.Train.(*samples).part(0, 11) }, "11 training images"},
		"fewer images with views":   {func(d *Data) { d.Views = 4 }, "10 training images"},
		"no training images":        {func(d *Data) { d.Train = &samples{} }, "training set has no examples"},
		"no validation images":      {func(d *Data) { d.Validation = &samples{} }, "validation set has no examples"},
		"no hold-out images":        {func(d *Data) { d.Holdout = &samples{} }, "hold-out set has no examples"},
		"a label too high":          {func(d *Data) { d.Train = label(d.Train.(*samples), 3) }, "example 3 of the training set has label 3"},
		"a label below zero":        {func(d *Data) { d.Validation = label(d.Validation.(*samples), -1) }, "example 3 of the validation set has label -1"},
		"a label of another set":    {func(d *Data) { d.Holdout = label(d.Holdout.(*samples), 99) }, "example 3 of the hold-out set has label 99"},
	}
	for name, test := range tests {
		m, _, data := newProblem()
		test.change(&data)
		r, err := Treat(t.Context(), nntest.On(m), data, plan, smallOptions())
		var d *DataError
		if !errors.As(err, &d) || !strings.Contains(err.Error(), test.want) || d.Hint() == "" || r != nil {
			t.Errorf("%s: error %v, want a DataError with a hint, of %q", name, err, test.want)
		}
		if _, err := EstimateCost(t.Context(), nntest.On(m), data, plan, smallOptions()); !errors.As(err, &d) {
			t.Errorf("%s: Estimate's error is %v", name, err)
		}
		if len(m.calls) > 0 {
			t.Errorf("%s: the model has run", name)
		}
	}
}

// TestOneBatch trains where there are just as many images as a batch has, and
// drops what is left over of an epoch otherwise.
func TestOneBatch(t *testing.T) {
	m, layers, data := newProblem()
	for images, steps := range map[int]int{12: 1, 23: 1, 24: 2} {
		data.Train = data.Train.(*samples).part(0, images)
		if r := treat(t, m, data, plans(t, layers)["sgd"], smallOptions()); r.Epochs[0].Steps != steps {
			t.Errorf("%d images: %d steps an epoch, want %d", images, r.Epochs[0].Steps, steps)
		}
		_, _, data = newProblem()
	}
}

// TestPerturbBatchLargerThanT takes all of T then.
func TestPerturbBatchLargerThanT(t *testing.T) {
	m, layers, data := newProblem()
	plan, opt := plans(t, layers)["pol below"], smallOptions()
	opt.PerturbBatch = 40
	want := treat(t, m, data, plan, opt)
	opt.PerturbBatch = 1000
	if got := treat(t, m, data, plan, opt); !sameWeights(got.Weights, want.Weights) {
		t.Error("a batch larger than T is not all of T")
	}
}

// TestStreamsAreIndependent: what an update sees does not depend on the perturbation,
// and no two epochs or seeds draw the same.
func TestStreamsAreIndependent(t *testing.T) {
	const images, views, size = 40, 3, 12
	one, other := newDraws(7, 2, images, views), newDraws(7, 2, images, views)
	for step := range images / size {
		one.gamma.Float64()
		one.perturb.Uint64()
		if !slices.Equal(one.step(step, size, 9).update, other.step(step, size, 0).update) {
			t.Fatalf("step %d: the update's batch depends on the perturbation's", step)
		}
	}
	if one, other := newDraws(7, 2, images, views), newDraws(7, 2, images, views); one.gamma.Float64() != other.gamma.Float64() {
		t.Error("gamma depends on more than the seed and the epoch")
	}
	// Seed and epoch both matter, and are not one number.
	order := newDraws(7, 2, images, views).order
	for _, different := range []*draws{newDraws(8, 2, images, views), newDraws(7, 3, images, views), newDraws(2, 7, images, views)} {
		if slices.Equal(order, different.order) {
			t.Error("another seed or epoch draws the same")
		}
	}
	// No two streams of any epochs are the same.
	seen := map[uint64]bool{}
	for epoch := range 10 {
		for _, p := range []purpose{drawOrder, drawPerturb, drawGamma, drawMix} {
			x := stream(7, p, epoch).Uint64()
			if seen[x] {
				t.Errorf("epoch %d repeats a stream", epoch)
			}
			seen[x] = true
		}
	}
}

// imagesOf are the images of entries, ascending, without repetitions.
func imagesOf(entries []int, views int) []int {
	var images []int
	for _, e := range entries {
		images = append(images, e/views)
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// TestDraws: an epoch takes each image at most once, and a perturbation as many images
// as it should; over many epochs every entry is taken equally often by either.
func TestDraws(t *testing.T) {
	const images, views, size, perturb, epochs = 20, 3, 6, 10, 400
	updated, perturbed := make([]int, images*views), make([]int, images*views)
	for epoch := range epochs {
		d := newDraws(1, epoch, images, views)
		var trained []int
		for step := range images / size {
			e := d.step(step, size, perturb)
			for _, entry := range e.update {
				updated[entry]++
			}
			for _, entry := range e.perturb {
				perturbed[entry]++
			}
			trained = append(trained, e.update...)
			if len(e.update) != size || len(e.perturb) != perturb || len(imagesOf(e.perturb, views)) != perturb {
				t.Fatalf("epoch %d: an update by %v, a perturbation by %v", epoch, e.update, e.perturb)
			}
		}
		if len(imagesOf(trained, views)) != images/size*size {
			t.Fatalf("epoch %d: updates by entries %v", epoch, trained)
		}
	}
	// Each of 60 entries is updated with 7200/60 = 120 times on average, √120 its
	// standard deviation: five of them are allowed. A perturbation takes it 200 times,
	// up to three times in a row.
	for entry := range updated {
		near(t, fmt.Sprintf("updates by entry %d", entry), float64(updated[entry]), 120, 55)
		near(t, fmt.Sprintf("perturbations by entry %d", entry), float64(perturbed[entry]), 200, 5*math.Sqrt(3*200))
	}
}

// TestPerturbBatchIsIndependent: whatever the update's batch is, each set of images is
// the perturbation's equally often, within an epoch and across its end.
func TestPerturbBatchIsIndependent(t *testing.T) {
	const images, size, perturb, each = 5, 2, 3, 400
	for step := range 2 {
		count := map[string]int{}
		for seed := range uint64(100 * each) {
			d := newDraws(seed, 0, images, 1)
			for range step {
				d.step(0, size, perturb)
			}
			e := d.step(step, size, perturb)
			count[fmt.Sprint(imagesOf(e.update, 1), imagesOf(e.perturb, 1))]++
		}
		if len(count) != 100 { // 10 pairs, and 10 triples
			t.Errorf("step %d: %d combinations, want 100", step, len(count))
		}
		for sets, n := range count {
			near(t, fmt.Sprintf("step %d: %s", step, sets), float64(n), each, 5*math.Sqrt(each))
		}
	}
}

// TestPerturbBatchComesNext: what a perturbation takes besides its update's own is what
// the updates after it take, of the same views, and goes on in the next epoch, which is
// drawn by itself.
func TestPerturbBatchComesNext(t *testing.T) {
	const images, views, size, perturb = 50, 3, 8, 15
	const steps = images / size
	for seed := range uint64(20) {
		d, next := newDraws(seed, 4, images, views), newDraws(seed, 5, images, views)
		trained := d.order[:steps*size] // the rest is dropped
		for k := range steps {
			e := d.step(k, size, perturb)
			var want []int
			for _, entry := range e.perturb {
				if slices.Contains(e.update, entry) {
					want = append(want, entry)
				}
			}
			for _, entry := range trained[(k+1)*size:] {
				if len(want) < perturb {
					want = append(want, entry)
				}
			}
			for _, entry := range next.order {
				if len(want) < perturb && !slices.Contains(imagesOf(append(slices.Clone(want), e.update...), views), entry/views) {
					want = append(want, entry)
				}
			}
			if !slices.Equal(e.perturb, want) {
				t.Fatalf("seed %d, step %d: a perturbation by %v, want %v", seed, k, e.perturb, want)
			}
		}
	}
}

// TestPerturbBatchOfSmallT: a perturbation may take any number of images, to all of
// them, however few there are.
func TestPerturbBatchOfSmallT(t *testing.T) {
	const views, size = 2, 4
	for images := size; images < 12; images++ {
		for perturb := 1; perturb <= images; perturb++ {
			d := newDraws(3, 1, images, views)
			for k := range images / size {
				if e := d.step(k, size, perturb); len(e.perturb) != perturb || len(imagesOf(e.perturb, views)) != perturb {
					t.Errorf("%d images: an update by %v, a perturbation by %v", images, e.update, e.perturb)
				}
			}
		}
	}
}

// TestViews trains on entries that all belong to complete images: the entry of
// an image that has not all its views is never read.
func TestViews(t *testing.T) {
	m, layers, data := newProblem()
	data.Views = 3 // 40 entries: 13 images and a rest
	opt := smallOptions()
	opt.NoCache, opt.Epochs = true, 20
	read := map[int]int{}
	data.Train = &observed{data.Train.(*samples), func(i int) { read[i]++ }}
	treat(t, m, data, plans(t, layers)["pol below"], opt)
	if read[39] > 0 || len(read) != 39 {
		t.Errorf("%d entries were read, the one of no image %d times", len(read), read[39])
	}
}

// observed tells of each example that is read.
type observed struct {
	*samples
	tell func(i int)
}

func (o *observed) Read(i int, dst []float32) error {
	o.tell(i)
	return o.samples.Read(i, dst)
}
