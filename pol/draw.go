package pol

import (
	"math/rand/v2"
	"slices"
)

// purpose keeps the streams of random numbers apart, so that none depends on
// how many numbers another took.
type purpose uint64

const (
	drawOrder   purpose = iota + 1 // order and views of an epoch's images
	drawPerturb                    // which of an update's images its perturbation takes, too
	drawGamma
	drawMix // partners and shares of mixed examples
)

// draws are the random numbers of one epoch. They depend on the seed, the
// purpose and the epoch alone, so that a resumed run needs no state of them.
type draws struct {
	perturb, gamma, mix *rand.Rand
	views               int
	order               []int // an entry of the training set for each image, in the order of the epoch's updates
	after               []int // the same of the epoch that follows
}

func newDraws(seed uint64, epoch, images, views int) *draws {
	return &draws{
		perturb: stream(seed, drawPerturb, epoch), gamma: stream(seed, drawGamma, epoch), mix: stream(seed, drawMix, epoch), views: views,
		order: epochOrder(seed, epoch, images, views), after: epochOrder(seed, epoch+1, images, views),
	}
}

// stream is the random numbers of a purpose in an epoch, whose number is taken as one of
// 32 bits, so that the epoch after the last that an int of 32 bits can hold has its own.
func stream(seed uint64, p purpose, epoch int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(p)<<32|uint64(uint32(epoch))))
}

// epochOrder is all images in a random order, a random view of each.
func epochOrder(seed uint64, epoch, images, views int) []int {
	random := stream(seed, drawOrder, epoch)
	entries := random.Perm(images)
	if views > 1 {
		for i, image := range entries {
			entries[i] = image*views + random.IntN(views)
		}
	}
	return entries
}

// stepEntries are the entries of the training set that a step takes.
type stepEntries struct {
	perturb []int // B', of a perturbation by Search
	update  []int // B
}

// first are those that are taken first.
func (e stepEntries) first() []int {
	if len(e.perturb) > 0 {
		return e.perturb
	}
	return e.update
}

// all are those of the update and of the perturbation. An entry may be of both.
func (e stepEntries) all() []int { return slices.Concat(e.update, e.perturb) }

// step is so many entries for the update (B) and the perturbation (B', at most all
// images) of the epoch's step of the given number. Steps are drawn in their order.
//
// B is the next part of the epoch's random order, and B' a uniformly random subset of
// all images, independent of B. Each image of B is taken with the probability that it
// has in such a sample (Knuth, The Art of Computer Programming 3.4.2, algorithm S). The
// rest are the images that come after B, whose order is random whatever B is: what is
// left of those that the epoch trains on, then the next epoch's in their order, each
// image once and none of B. An entry of B' is of the view that its image will be trained
// on. So what lies below the treated layers is computed once for a step's B' and the
// updates that follow. The B' of successive steps are not independent of each other:
// they have about |B'| − |B| images in common.
func (d *draws) step(number, update, perturb int) stepEntries {
	trained := len(d.order) / update * update // what is left over is dropped
	b, rest := d.order[:trained][number*update:][:update], d.order[(number+1)*update:trained]
	drawn := make([]int, 0, perturb)
	taken := make(map[int]bool, update+perturb) // images
	for i, entry := range b {
		taken[entry/d.views] = true
		if perturb > 0 && d.perturb.IntN(len(d.order)-i) < perturb-len(drawn) {
			drawn = append(drawn, entry)
		}
	}
	for _, entry := range slices.Concat(rest[:min(perturb, len(rest))], d.after) {
		if image := entry / d.views; len(drawn) < perturb && !taken[image] {
			taken[image] = true
			drawn = append(drawn, entry)
		}
	}
	return stepEntries{perturb: drawn, update: b}
}
