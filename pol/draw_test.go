package pol

import (
	"errors"
	"fmt"
	"math/rand/v2"
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

// TestStreamsAreIndependent: what an update sees does not depend on how many
// numbers perturbations take.
func TestStreamsAreIndependent(t *testing.T) {
	const images, views, size = 40, 3, 12
	one, other := newDraws(7, 2, images, views), newDraws(7, 2, images, views)
	for step := range images / size {
		one.perturbBatch(9)
		other.perturbBatch(31)
		other.perturbBatch(4)
		one.gamma.Float64()
		if !slices.Equal(one.updateBatch(step, size), other.updateBatch(step, size)) {
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
		d := newDraws(7, epoch, images, views)
		for _, stream := range []*rand.Rand{d.update, d.perturb, d.gamma} {
			x := stream.Uint64()
			if seen[x] {
				t.Errorf("epoch %d repeats a stream", epoch)
			}
			seen[x] = true
		}
	}
	// The perturbation's examples are not the update's.
	d := newDraws(7, 2, images, 1)
	if slices.Equal(d.perturbBatch(size), d.updateBatch(0, size)) {
		t.Error("the perturbation is drawn like the update")
	}
}

// TestDraws: an epoch takes each image at most once, in a random order; a
// perturbation takes any image at most once; views are drawn at random and
// belong to their image.
func TestDraws(t *testing.T) {
	const images, views, size = 20, 3, 6
	updated, perturbed := make([]int, images*views), make([]int, images*views)
	const epochs = 200
	for epoch := range epochs {
		d := newDraws(1, epoch, images, views)
		var seen []int
		for step := range images / size {
			batch := d.updateBatch(step, size)
			for _, entry := range batch {
				updated[entry]++
				seen = append(seen, entry/views)
			}
			batch = d.perturbBatch(size)
			var drawn []int
			for _, entry := range batch {
				perturbed[entry]++
				drawn = append(drawn, entry/views)
			}
			if slices.Sort(drawn); len(slices.Compact(drawn)) != size {
				t.Fatalf("epoch %d: a perturbation of images %v", epoch, drawn)
			}
		}
		if slices.Sort(seen); len(slices.Compact(seen)) != images/size*size {
			t.Fatalf("epoch %d: updates by images %v", epoch, seen)
		}
	}
	// Each of 60 entries is drawn 3600/60 = 60 times on average, √60 its standard
	// deviation: five of them are allowed.
	for entry := range updated {
		near(t, fmt.Sprintf("updates by entry %d", entry), float64(updated[entry]), 60, 39)
		near(t, fmt.Sprintf("perturbations by entry %d", entry), float64(perturbed[entry]), 60, 39)
	}
	if all := newDraws(1, 0, images, 1).perturbBatch(images); len(all) != images {
		t.Errorf("a perturbation of all images has %d", len(all))
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
