// Package arrays reads labelled images that lie in files of arrays: MNIST's IDX
// files, and NumPy's .npz. Their classes have no names.
//
// IDX files (http://yann.lecun.com/exdb/mnist) come in pairs, compressed or not:
// train-images-idx3-ubyte with train-labels-idx1-ubyte, and t10k-… for the test
// split. An .npz has arrays of images and of labels for each split, as Keras
// (x_train, y_train, x_test, y_test) and MedMNIST (train_images, train_labels, …)
// name them.
//
// Nothing in a file is trusted: sizes are bounded, and nothing is unpickled.
package arrays

import (
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// maxBytes bounds one array: MNIST's training images have 47 MB.
const maxBytes = 1 << 31

// An array is numbers in rows, the last dimension the fastest.
type array struct {
	shape []int
	bytes []byte  // of images, one each
	ints  []int64 // of labels
}

// split are the arrays of a part of a data set, read when they are asked for.
type split struct {
	name           string
	images, labels func() (*array, error)
	path           string // for errors
}

// source is a set of arrays. It implements [dataset.Source].
type source struct {
	name   string
	splits []split
	sets   []func() (*set, error)
}

// Detect reports whether path is an .npz, an IDX file of images, or a folder that
// holds such. It reads no more than a few bytes.
func Detect(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		return len(findIDX(path)) > 0
	}
	return strings.EqualFold(filepath.Ext(path), ".npz") || isIDX(path)
}

// Open opens a data set of arrays. Images are kept in memory once their split is
// asked for. Errors are of type [*dataset.Error].
func Open(path string) (dataset.Source, error) {
	var splits []split
	var err error
	info, statErr := os.Stat(path)
	switch {
	case statErr != nil:
		return nil, &dataset.Error{Path: path, Msg: "cannot open the data", Err: statErr}
	case info.IsDir():
		splits = findIDX(path)
	case isIDX(path):
		splits, err = singleIDX(path)
	default:
		splits, err = openNPZ(path)
	}
	if err != nil {
		return nil, err
	}
	s := &source{name: filepath.Base(path), splits: splits}
	for i, part := range splits {
		for _, other := range splits[:i] {
			if other.name == part.name {
				return nil, &dataset.Error{Path: path, Msg: fmt.Sprintf("two sets of arrays for the %s split", part.name), Hint: "keep one of them"}
			}
		}
		s.sets = append(s.sets, sync.OnceValues(part.read))
	}
	return s, nil
}

func (s *source) Name() string { return s.name }

func (s *source) Splits() []string {
	names := make([]string, len(s.splits))
	for i, part := range s.splits {
		names[i] = part.name
	}
	return names
}

func (s *source) Split(name string) (dataset.Set, error) {
	i, err := dataset.SplitIndex(s, name)
	if err != nil {
		return nil, err
	}
	set, err := s.sets[i]()
	if err != nil {
		return nil, err // not the nil *set in an interface
	}
	return set, nil
}

// read reads both arrays of a split and brings them together.
func (p split) read() (*set, error) {
	fail := func(err error) error {
		return &dataset.Error{Path: p.path, Msg: "cannot read the " + p.name + " split", Hint: "give uint8 images [N, H, W] or [N, H, W, 3] and whole-number labels [N]", Err: err}
	}
	images, err := p.images()
	if err != nil {
		return nil, fail(err)
	}
	labels, err := p.labels()
	if err != nil {
		return nil, fail(err)
	}
	s := &set{name: p.name, pixels: images.bytes}
	if s.height, s.width, s.channels, s.planes, err = layout(images.shape); err != nil {
		return nil, fail(err)
	}
	n := images.shape[0]
	if len(labels.ints) != n || n == 0 || len(labels.shape) > 2 || len(labels.shape) == 2 && labels.shape[1] != 1 {
		return nil, fail(fmt.Errorf("labels of shape %v for %d images: expected [%d]", labels.shape, n, n))
	}
	for i, l := range labels.ints {
		if l < 0 || l > math.MaxInt32 {
			return nil, fail(fmt.Errorf("label %d of example %d", l, i))
		}
		s.labels = append(s.labels, int(l))
	}
	return s, nil
}

// layout finds height, width and channels of images, and whether these come as
// planes.
func layout(shape []int) (height, width, channels int, planes bool, err error) {
	isChannels := func(c int) bool { return c == 1 || c == 3 || c == 4 }
	switch {
	case len(shape) == 3:
		return shape[1], shape[2], 1, false, nil
	case len(shape) == 4 && isChannels(shape[3]):
		return shape[1], shape[2], shape[3], false, nil
	case len(shape) == 4 && isChannels(shape[1]):
		return shape[2], shape[3], shape[1], true, nil
	}
	return 0, 0, 0, false, fmt.Errorf("images of shape %v", shape)
}

// set is a split in memory. It implements [dataset.Set].
type set struct {
	name                    string
	height, width, channels int
	planes                  bool // the channels come one after the other
	pixels                  []byte
	labels                  []int
}

func (s *set) Name() string      { return s.name }
func (s *set) Len() int          { return len(s.labels) }
func (s *set) Label(i int) int   { return s.labels[i] }
func (s *set) Classes() []string { return nil }

// ClassCount is one more than the largest label of the split.
func (s *set) ClassCount() int { return slices.Max(s.labels) + 1 }

// Image never fails.
func (s *set) Image(i int) (image.Image, error) {
	area := s.height * s.width
	values := s.pixels[i*area*s.channels : (i+1)*area*s.channels]
	bounds := image.Rect(0, 0, s.width, s.height)
	if s.channels == 1 {
		img := image.NewGray(bounds)
		copy(img.Pix, values)
		return img, nil
	}
	img := image.NewNRGBA(bounds)
	for p := range area {
		pixel := img.Pix[4*p : 4*p+4]
		pixel[3] = 255
		for c := range s.channels {
			if s.planes {
				pixel[c] = values[c*area+p]
			} else {
				pixel[c] = values[s.channels*p+c]
			}
		}
	}
	return img, nil
}
