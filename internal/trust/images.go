package main

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
	"github.com/modeldoctor/modeldoctor/internal/stratify"
)

// examples are some of the test images, ready for the model, which all of them
// share.
type examples struct {
	pixels  []float32 // of all test images, one after the other
	size    int       // elements of an image
	indices []int
	labels  []int // of the images with these indices
}

func (e *examples) Len() int        { return len(e.indices) }
func (e *examples) Label(i int) int { return e.labels[i] }

func (e *examples) Read(i int, dst []float32) error {
	copy(dst, e.pixels[e.indices[i]*e.size:][:e.size])
	return nil
}

// part is the images at some positions.
func (e *examples) part(positions []int) *examples {
	p := &examples{pixels: e.pixels, size: e.size}
	for _, i := range positions {
		p.indices, p.labels = append(p.indices, e.indices[i]), append(p.labels, e.labels[i])
	}
	return p
}

// sample is n of the images, in the order by class evenly spaced.
func (e *examples) sample(n int) *examples { return e.part(stratify.Sample(e.labels, n)) }

// shuffled is the same images with each other's labels.
func (e *examples) shuffled(seed uint64) *examples {
	random := rand.New(rand.NewPCG(seed, 0))
	s := *e
	s.labels = slices.Clone(e.labels)
	random.Shuffle(len(s.labels), func(i, j int) { s.labels[i], s.labels[j] = s.labels[j], s.labels[i] })
	return &s
}

// testImages are CIFAR-100's test images.
func testImages() (dataset.Set, error) {
	folder, err := shareddata.Find("data")
	if err != nil {
		return nil, err
	}
	source, err := cifar.Open(folder)
	if err != nil {
		return nil, err
	}
	return source.Split(dataset.Test)
}

// prepare brings images into the form that a model takes.
func prepare(set dataset.Set, n *graph.Network) (*examples, error) {
	path := n.Model.Path
	if err := dataset.CheckLabels(set, n.Classes); err != nil {
		return nil, err
	}
	found, err := dataset.FindPreprocess(dataset.ModelFile{Path: path, Metadata: n.Model.Metadata})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no preprocessing beside the model: put its preprocessor_config.json there", path)
	}
	if n.Input.Layout != graph.NCHW || n.Input.Channels != 3 {
		return nil, fmt.Errorf("%s: expected a model that takes images as 3 planes", path)
	}
	preprocess, err := found.ForInput(n.Input.Height, n.Input.Width)
	if err != nil {
		return nil, err
	}
	e := &examples{size: n.Input.Elements(), labels: dataset.Labels(set)}
	e.pixels = make([]float32, set.Len()*e.size)
	for i := range set.Len() {
		e.indices = append(e.indices, i)
		img, err := set.Image(i)
		if err != nil {
			return nil, err
		}
		if err := preprocess.Apply(img, e.pixels[i*e.size:][:e.size]); err != nil {
			return nil, fmt.Errorf("%s: %w", dataset.Where(set, i), err)
		}
	}
	return e, nil
}

// A draw is some disjoint sets of images of one size, drawn at random, or so that
// each has about as many images of every class.
type draw struct {
	sets, size int
	seed       uint64
	stratified bool
}

// String says how many images are drawn, and how.
func (d draw) String() string {
	how := "random"
	if d.stratified {
		how = "stratified"
	}
	return fmt.Sprintf("%d %s V of %s images", d.sets, how, thousands(d.size))
}

// parts are the positions of each set's images among those with the given labels.
func (d draw) parts(labels []int) [][]int {
	order := rand.New(rand.NewPCG(d.seed, uint64(d.size))).Perm(len(labels))
	var parts [][]int
	if d.stratified {
		drawn := make([]int, len(order))
		for i, k := range order {
			drawn[i] = labels[k]
		}
		for _, fold := range stratify.Folds(drawn, len(labels)/d.size)[:d.sets] {
			var part []int
			for _, i := range fold[:d.size] {
				part = append(part, order[i])
			}
			slices.Sort(part)
			parts = append(parts, part)
		}
		return parts
	}
	for i := range d.sets {
		part := order[i*d.size:][:d.size]
		slices.Sort(part)
		parts = append(parts, part)
	}
	return parts
}

// without is the numbers below n that are not among some, which are ascending.
func without(n int, some []int) []int {
	var rest []int
	for i := range n {
		if _, used := slices.BinarySearch(some, i); !used {
			rest = append(rest, i)
		}
	}
	return rest
}
