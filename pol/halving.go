package pol

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
)

// Rung is one round of a successive halving: each of so many candidates is trained
// anew for so many epochs.
type Rung struct {
	Candidates int
	Epochs     int
}

// Rungs is the course of a successive halving (Jamieson and Talwalkar, AISTATS 2016)
// that ends in a round of so many epochs: from round to round the better half of the
// candidates is left, rounded up, and the epochs double, as long as the first round
// has one. Of the last round the best candidate wins. Both numbers are at least 1.
func Rungs(candidates, epochs int) []Rung {
	halvings := bits.Len(uint(candidates - 1)) // until one is left
	rounds := min(bits.Len(uint(epochs)), max(1, halvings))
	rungs := make([]Rung, rounds)
	for r := range rungs {
		rungs[r] = Rung{candidates, epochs >> (rounds - 1 - r)}
		candidates = half(candidates)
	}
	return rungs
}

// half is the better half of n candidates, rounded up.
func half(n int) int { return (n + 1) / 2 }

// TotalEpochs is the number of epochs that all rounds train, where no candidate
// diverges.
func TotalEpochs(rungs []Rung) int {
	total := 0
	for _, r := range rungs {
		total += r.Candidates * r.Epochs
	}
	return total
}

// lossResolution is how finely losses are told apart, in nats: those that are the same
// to it are a tie. It lies below what a thousand images can tell.
const lossResolution = 1e-3

// Place is what has become of a candidate.
type Place struct {
	Rung     int  // the last round that it was in, from 0
	Rank     int  // in that round, from 1
	Of       int  // candidates of that round
	Diverged bool // it had no finite loss there
	// Tied says that it was dropped for its work: its loss was that of a candidate that
	// went on.
	Tied bool
	Won  bool
}

// Halve finds the best of some candidates by rounds of a successive halving. try trains
// candidates, which are given by their numbers from 0, for a round, and returns their
// losses in that order; one that is not finite is that of a candidate that diverged.
// Of candidates whose losses are the same to 0.001 nats the one of less work is the
// better, and then the first. Nobody wins where all have diverged. Its error is try's.
func Halve(rungs []Rung, work []int, try func(rung int, candidates []int) ([]float64, error)) ([]Place, error) {
	places := make([]Place, len(work))
	left := consecutive(0, len(work))
	for r := range rungs {
		losses, err := try(r, left)
		if err != nil {
			return nil, err
		}
		of := map[int]float64{}
		for i, c := range left {
			of[c] = resolved(losses[i])
		}
		slices.SortFunc(left, func(a, b int) int {
			return cmp.Or(cmp.Compare(of[a], of[b]), cmp.Compare(work[a], work[b]), cmp.Compare(a, b))
		})
		stay := half(len(left))
		if r == len(rungs)-1 {
			stay = 1
		}
		for i, c := range left {
			places[c] = Place{Rung: r, Rank: i + 1, Of: len(left), Diverged: !metric.IsFinite(of[c])}
			places[c].Tied = i >= stay && !places[c].Diverged && of[c] == of[left[stay-1]]
		}
		left = left[:stay]
		for len(left) > 0 && places[left[len(left)-1]].Diverged {
			left = left[:len(left)-1]
		}
		if len(left) == 0 {
			return places, nil
		}
		slices.Sort(left)
	}
	places[left[0]].Won = true
	return places, nil
}

// resolved is a loss to lossResolution; what is not finite is above all.
func resolved(loss float64) float64 {
	if !metric.IsFinite(loss) {
		return math.Inf(1)
	}
	return math.Round(loss / lossResolution)
}

// Work is what a step of a plan computes, in stages of the network times examples: a
// measure of its cost that, other than time, is the same on every machine. A scan by
// Search takes a gradient, three passes, and about twenty losses; the update's
// gradient three passes. Only what lies above the perturbed or updated weights is
// computed.
func (p Plan) Work(stages int, opt *Options) int {
	const passes, losses = 3, 20
	above := func(n int) int { return stages - n }
	lowest := stages
	for _, l := range p.Update {
		lowest = min(lowest, l.Neck)
	}
	perturbed := stages
	for _, l := range p.Perturb {
		perturbed = min(perturbed, l.Neck)
	}
	work := passes * opt.Batch * above(min(lowest, perturbed))
	if p.Recipe.Rule == Search {
		work += (passes + losses) * opt.PerturbBatch * above(perturbed)
	}
	return work
}

// SearchTime is what a search takes, with the treatment of the winner and without the
// diagnosis: on average over which candidates go on, and where those that cost most do.
// costs are those of one epoch of each candidate.
func SearchTime(costs []Cost, rungs []Rung) (mean, most time.Duration) {
	var pass time.Duration // of the activations that the candidates of a round share
	for _, c := range costs {
		pass = max(pass, c.CacheTime)
	}
	round := func(epochs, candidates int, each func(c *Cost) time.Duration) {
		times := make([]time.Duration, len(costs))
		var sum time.Duration
		for i := range costs {
			times[i] = each(&costs[i]) + costs[i].Choosing() + time.Duration(epochs)*costs[i].Training() + costs[i].Validating(epochs)
			sum += times[i]
		}
		slices.Sort(times)
		mean += sum * time.Duration(candidates) / time.Duration(len(costs))
		for _, t := range times[len(times)-candidates:] {
			most += t
		}
	}
	for _, r := range rungs {
		mean, most = mean+pass, most+pass
		round(r.Epochs, r.Candidates, func(*Cost) time.Duration { return 0 })
	}
	round(rungs[len(rungs)-1].Epochs, 1, func(c *Cost) time.Duration { return c.CacheTime + c.HoldoutTime })
	return mean, most
}
