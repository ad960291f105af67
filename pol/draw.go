package pol

import "math/rand/v2"

// purpose keeps the streams of random numbers apart, so that none depends on
// how many numbers another took.
type purpose uint64

const (
	drawUpdate  purpose = iota + 1 // order and views of the update's examples
	drawPerturb                    // examples of the perturbation
	drawGamma
)

// draws are the random numbers of one epoch. They depend on the seed, the
// purpose and the epoch alone, so that a resumed run needs no state of them.
type draws struct {
	update, perturb, gamma *rand.Rand
	order                  []int // images, in the order of the epoch's updates
	shuffled               []int // images, being shuffled for perturbations
	views                  int
}

func newDraws(seed uint64, epoch, images, views int) *draws {
	stream := func(p purpose) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(p)<<32|uint64(epoch))) }
	d := &draws{update: stream(drawUpdate), perturb: stream(drawPerturb), gamma: stream(drawGamma), views: views}
	d.order = d.update.Perm(images)
	d.shuffled = consecutive(0, images)
	return d
}

// stepEntries are the entries of the training set that a step takes.
type stepEntries struct {
	perturb []int // of a perturbation by Search
	update  []int
}

// first are those that are taken first.
func (e stepEntries) first() []int {
	if len(e.perturb) > 0 {
		return e.perturb
	}
	return e.update
}

// step is so many entries for the update and the perturbation of the epoch's step of
// the given number. Steps are drawn in their order.
func (d *draws) step(number, update, perturb int) stepEntries {
	return stepEntries{perturb: d.perturbBatch(perturb), update: d.updateBatch(number, update)}
}

// updateBatch is the entries of the training set for the epoch's step of the
// given number, a random view of each image.
func (d *draws) updateBatch(step, size int) []int {
	return d.entries(d.update, d.order[step*size:][:size])
}

// perturbBatch is size entries of the training set drawn without replacement,
// independently of everything before.
func (d *draws) perturbBatch(size int) []int {
	// The first steps of a Fisher–Yates shuffle, whatever the order was before.
	for i := range size {
		j := i + d.perturb.IntN(len(d.shuffled)-i)
		d.shuffled[i], d.shuffled[j] = d.shuffled[j], d.shuffled[i]
	}
	return d.entries(d.perturb, d.shuffled[:size])
}

// entries picks a view of each image.
func (d *draws) entries(random *rand.Rand, images []int) []int {
	entries := make([]int, len(images))
	for i, image := range images {
		entries[i] = image * d.views
		if d.views > 1 {
			entries[i] += random.IntN(d.views)
		}
	}
	return entries
}
