package examples

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// firstImages is how many images the first round of a detection has. Each further
// round has twice as many, until one candidate is left or all images are used.
const firstImages = 64

// farAway is from how many standard errors of the difference of their losses on a
// candidate is out of the running, and leastApart how many nats it must at least be
// worse: where all answers are right, any difference is left, and means nothing.
const (
	farAway    = 3
	leastApart = 1e-3
)

// Detection is the preprocessing that fits a model best.
type Detection struct {
	Best     dataset.Preprocess
	RunnerUp dataset.Preprocess
	// Decided says that the images tell the two apart.
	Decided bool
}

// Given is what of the preprocessing is known.
type Given struct {
	Orders []dataset.Channels // of the channels; nil: any
	EXIF   bool               // whether images are turned
}

// DetectPreprocess returns the preset that has the lowest loss after its best
// temperature. It takes some of the images, evenly spaced in order of class, and
// more of them for the candidates that these do not tell apart. Between those that
// all images do not tell apart the loss as it is decides. Where the model is better
// than guessing with none of them, the error is a [*diag.ChanceError]. A preset that is
// the only one that fits the input is not tried.
func DetectPreprocess(ctx context.Context, m nn.Model, images dataset.Set, in graph.InputSpec, given Given, progress func(phase string, done, total int)) (Detection, error) {
	running, err := candidates(in, given)
	if err != nil {
		return Detection{}, err
	}
	if len(running) == 1 {
		only := running[0]
		only.Source = fmt.Sprintf("the only one for an input of type %v", in.DType)
		return Detection{Best: only, RunnerUp: only, Decided: true}, nil
	}
	byName := map[string]dataset.Preprocess{}
	for _, p := range running {
		byName[candidateName(p)] = p
	}
	for n := firstImages; ; n *= 2 {
		some := dataset.Sample(images, images.Name(), n)
		scores, err := score(ctx, m, some, in, running, progress)
		last := some.Len() == images.Len()
		var chance *diag.ChanceError
		if errors.As(err, &chance) && !last {
			continue // with more images, a weak model can be told from chance
		}
		if err != nil {
			return Detection{}, err
		}
		close := contenders(scores)
		if len(close) == 1 || last {
			slices.SortStableFunc(scores[:len(close)], func(a, b diag.Score) int { return cmp.Compare(loss(a), loss(b)) })
			runnerUp := scores[1]
			found := Detection{Best: byName[scores[0].Name], RunnerUp: byName[runnerUp.Name], Decided: len(close) == 1}
			found.Best.Source = fmt.Sprintf("detected on %d images: loss %s, next best %s with %s", some.Len(), lossText(scores[0]), runnerUp.Name, lossText(runnerUp))
			if !found.Decided {
				found.Best.Source += ", which they do not tell apart"
			}
			return found, nil
		}
		running = running[:0:0]
		for _, s := range close {
			running = append(running, byName[s.Name])
		}
	}
}

// FirstRound is a preset that fits an input, and how many images are computed in the
// first round of [DetectPreprocess], one preset after the other.
func FirstRound(in graph.InputSpec, given Given) (one dataset.Preprocess, images int, err error) {
	running, err := candidates(in, given)
	if err != nil {
		return one, 0, err
	}
	return running[0], firstImages * len(running), nil
}

// candidates are the presets, and the usual ones among them with the channels in
// the other order, for an input. One channel has no order.
func candidates(in graph.InputSpec, given Given) ([]dataset.Preprocess, error) {
	var found []dataset.Preprocess
	for _, p := range dataset.Presets() {
		own := []dataset.Channels{p.Channels}
		switch {
		case in.Channels == 1 && !p.OneNormalisation(), in.Integers() && !p.KeepsBytes():
			continue
		case in.Channels == 1:
		case given.Orders != nil:
			own = given.Orders
		case slices.Contains([]string{"imagenet", "inception", "raw01", "raw255"}, p.Name):
			own = []dataset.Channels{dataset.RGB, dataset.BGR}
		}
		for _, order := range own {
			p, err := p.WithChannels(order).ForInput(in.Height, in.Width)
			if err != nil {
				return nil, err
			}
			p.EXIF = given.EXIF
			found = append(found, p)
		}
	}
	return found, nil
}

// candidateName is the name of a preset with the flag that it takes besides.
func candidateName(p dataset.Preprocess) string {
	for _, preset := range dataset.Presets() {
		if preset.Name != p.Name || preset.Channels == p.Channels {
			continue
		}
		if p.Channels == dataset.BGR {
			return p.Name + " --channels bgr"
		}
		return p.Name + " --channels rgb"
	}
	return p.Name
}

// Flags are what a detected preprocessing is named by on the command line.
func (d *Detection) Flags() string { return "--preprocess " + candidateName(d.Best) }

// score runs one round.
func score(ctx context.Context, m nn.Model, some dataset.Set, in graph.InputSpec, running []dataset.Preprocess, progress func(phase string, done, total int)) ([]diag.Score, error) {
	var mu sync.Mutex // guards done
	done := 0
	list := make([]diag.Candidate, len(running))
	for i, p := range running {
		list[i] = diag.Candidate{Name: candidateName(p), Examples: &announced{New(some, p, in), func() {
			mu.Lock()
			defer mu.Unlock()
			progress("preprocessing", done, some.Len()*len(running))
			done++
		}}}
	}
	return diag.Detect(ctx, m, list)
}

// contenders are those of the scores, which are in order, that the images do not
// tell from the first one.
func contenders(scores []diag.Score) []diag.Score {
	best := scores[0]
	n := 1
	for i, s := range scores[1:] {
		if s.Calibrated == nil || best.BeatsChance() && !s.BeatsChance() {
			continue
		}
		worse := make([]float64, len(s.Calibrated))
		for k := range worse {
			worse[k] = s.Calibrated[k] - best.Calibrated[k]
		}
		if d := metric.NewEstimate(worse); d.Mean <= max(farAway*d.SE, leastApart) {
			scores[n], scores[i+1] = scores[i+1], scores[n]
			n++
		}
	}
	return scores[:n]
}

// announced examples say so before one is read.
type announced struct {
	*Set
	reading func()
}

func (a *announced) Read(i int, dst []float32) error {
	a.reading()
	return a.Set.Read(i, dst)
}

func (a *announced) ReadBytes(i int, dst []byte) error {
	a.reading()
	return a.Set.ReadBytes(i, dst)
}

// loss is the loss as it is, or infinity.
func loss(s diag.Score) float64 {
	if s.Loss == nil {
		return math.Inf(1)
	}
	return *s.Loss
}

func lossText(s diag.Score) string {
	if s.Loss == nil {
		return "one that is not finite"
	}
	return fmt.Sprintf("%.3f (%.3f after the best temperature)", *s.Loss, s.CalibratedLoss())
}
