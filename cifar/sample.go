package cifar

import (
	"embed"
	"fmt"
	"slices"
	"sync"

	"github.com/modeldoctor/modeldoctor/cifar/internal/residual"
	"github.com/modeldoctor/modeldoctor/dataset"
)

// Not made by go generate: internal/makesample needs CIFAR-100, which is not part
// of this repository, and releases of Go may deflate differently.
//
//go:embed sample
var sampleFiles embed.FS

// sample is the built-in source. It implements [dataset.Source].
type sample struct {
	sets map[string]func() *records
}

// sampleSplits are the splits of the sample, in the order they are listed.
func sampleSplits() []string {
	return []string{dataset.Train, dataset.Validation, dataset.Holdout}
}

// Sample returns the built-in sample of CIFAR-100: 1,000 images for validation
// and 2,000 for hold-out, of the test set, and 2,000 for training, 20 of each
// class. The parts are disjoint and each is decoded when it is asked for.
func Sample() dataset.Source {
	s := &sample{sets: map[string]func() *records{}}
	for _, split := range sampleSplits() {
		s.sets[split] = sync.OnceValue(func() *records { return decodeSample(split) })
	}
	return s
}

// decodeSample decodes a part of the sample. What is embedded cannot fail.
func decodeSample(split string) *records {
	names, err := sampleFiles.ReadFile("sample/fine_label_names.txt")
	if err != nil {
		panic(err)
	}
	classes, err := dataset.ParseLines(names)
	if err != nil {
		panic(err)
	}
	data, err := sampleFiles.ReadFile("sample/" + split + ".residual")
	if err != nil {
		panic(err)
	}
	labels, pixels, err := residual.Decode(data)
	if err != nil {
		panic(fmt.Sprintf("cifar: the built-in sample's %s part: %v", split, err))
	}
	return &records{name: split, classes: classes, labels: labels, pixels: pixels}
}

func (s *sample) Name() string { return "built-in CIFAR-100 sample" }

func (s *sample) Splits() []string { return slices.Clone(sampleSplits()) }

func (s *sample) Split(name string) (dataset.Set, error) {
	set, ok := s.sets[dataset.CanonicalSplit(name)]
	if !ok {
		return nil, dataset.UnknownSplit(s, name)
	}
	return set(), nil
}
