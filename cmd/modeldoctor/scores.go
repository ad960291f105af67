package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/nn"
)

// classesIn returns what tells the number of classes in the folder or archive at a
// path, 0 where that cannot be told.
func classesIn(path string) func() int {
	return func() int {
		open := dataset.Open
		switch {
		case path == "":
			return 0
		case cifar.Detect(path):
			open = func(path string) (dataset.Source, error) { return cifar.Open(path) }
		}
		source, err := open(path) // what is wrong is said when the data are drawn
		if err != nil || len(source.Splits()) == 0 {
			return 0
		}
		set, err := source.Split(source.Splits()[0])
		if err != nil {
			return 0
		}
		return len(set.Classes())
	}
}

// scoredImages is how many images scores are looked at for.
const scoredImages = 32

// checkScores looks at what a model gives out for some of the images. Scores that
// are probabilities are refused, unless the graph has a softmax above them; what
// may be probabilities is warned of. What the graph itself tells, it has told by now;
// see [graph.Ending].
func checkScores(ctx context.Context, m *loaded, set *examples.Set, con *console) error {
	if m.network.LinearLogits() {
		return nil
	}
	n := min(set.Len(), scoredImages)
	some := make([]int, n)
	for i := range some {
		some[i] = i * set.Len() / n
	}
	logits := make([]float32, n*m.network.Classes)
	images := nn.Open(m.runner, set, some, nn.Holding{})
	err := images.Evaluate(ctx, 0, 1, make([]float64, n), logits, func(int) {})
	if err := errors.Join(err, images.Close()); err != nil {
		return err
	}
	return judgeScores(m, logits, con)
}

// judgeScores is checkScores once the scores are known, one row per image.
func judgeScores(m *loaded, logits []float32, con *console) error {
	what := scoringOf(logits, m.network.Classes)
	switch ending := m.network.Ending; {
	case what == ordinary || m.network.LinearLogits() || ending.Binary && ending.Op != "":
	case ending.Binary:
		return unreadable(
			fmt.Errorf("%s: output %q: one number per image, all of them between 0 and 1: they are probabilities, and no sigmoid that makes them was recognised", m.network.Model.Path, m.network.Output),
			"export the model with the logit, or name an output that holds it with --output")
	case ending.Op != "":
		con.warn("what enters the %s at the end lies between 0 and 1 throughout: two layers make probabilities of the scores, one after the other", ending.Op)
	case what == probabilities:
		return unreadable(
			fmt.Errorf("%s: output %q: the values of each image are between 0 and 1, or 0 and 100, and add up to that: they are probabilities, and no softmax that makes them was recognised", m.network.Model.Path, m.network.Output),
			"export the model with its logits, or name an output that holds them with --output")
	default:
		con.warn("output %q: all values are between 0 and 1: if they are probabilities and not logits, every loss here is wrong (export the logits, or name their output with --output)", m.network.Output)
	}
	return nil
}

// scoring is what scores may be taken for by their values.
type scoring int

const (
	ordinary      scoring = iota // some are below 0 or above 1
	fractions                    // all are from 0 to 1
	probabilities                // and add up to 1 for each image, or from 0 to 100 and to 100
)

// sumTolerance is how far the sum of an image's probabilities may be from 1: half
// types and tables of three digits are no nearer.
const sumTolerance = 5e-3

// scoringOf tells what scores may be, of so many classes each.
func scoringOf(scores []float32, classes int) scoring {
	least, most := math.Inf(1), math.Inf(-1)
	for _, x := range scores {
		least, most = min(least, float64(x)), max(most, float64(x))
	}
	addUpTo := func(total float64) bool {
		for lo := 0; lo < len(scores); lo += classes {
			sum := 0.0
			for _, x := range scores[lo : lo+classes] {
				sum += float64(x)
			}
			if !(math.Abs(sum/total-1) <= sumTolerance) {
				return false
			}
		}
		return true
	}
	switch {
	case !(least >= 0) || len(scores) == 0:
		return ordinary
	case most <= 1+sumTolerance && addUpTo(1), most > 1 && most <= 100*(1+sumTolerance) && addUpTo(100):
		return probabilities
	case most <= 1:
		return fractions
	}
	return ordinary
}
