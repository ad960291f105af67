// Package examples brings labelled images into the layout of a network's input.
package examples

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Set is a labelled set in the layout of a network's input. It remembers the
// digests of what has been read.
type Set struct {
	images     dataset.Set
	preprocess dataset.Preprocess
	input      graph.InputSpec
	views      int                 // 0: the images as they are
	seed       uint64              // of the views
	planes     sync.Pool           // of *[]float32: one image as channels, rows, columns
	mu         sync.Mutex          // guards digests
	digests    [][sha256.Size]byte // by entry; zero where nothing has been read
}

var _ nn.Examples = (*Set)(nil)

// New returns the images, one entry each. A model of one channel sees their
// luminance.
func New(images dataset.Set, p dataset.Preprocess, in graph.InputSpec) *Set {
	p.Grey = in.Channels == 1
	s := &Set{images: images, preprocess: p, input: in, digests: make([][sha256.Size]byte, images.Len())}
	s.planes.New = func() any {
		planes := make([]float32, max(3, in.Channels)*in.Height*in.Width)
		return &planes
	}
	return s
}

// NewViews returns so many entries for each image, one after the other: views of
// it, flipped and cropped at random. The same seed gives the same views.
func NewViews(images dataset.Set, p dataset.Preprocess, in graph.InputSpec, views int, seed uint64) *Set {
	s := New(images, p, in)
	s.views, s.seed = views, seed
	s.digests = make([][sha256.Size]byte, s.Len())
	return s
}

// Name is that of the images.
func (s *Set) Name() string { return s.images.Name() }

// Images is the number of images, of which each may have several entries.
func (s *Set) Images() int { return s.images.Len() }

func (s *Set) perImage() int { return max(1, s.views) }

// Len is the number of entries.
func (s *Set) Len() int { return s.images.Len() * s.perImage() }

// Label is the class of entry i.
func (s *Set) Label(i int) int { return s.images.Label(i / s.perImage()) }

// Read writes entry i to dst, which has as many elements as the input has for an
// example.
func (s *Set) Read(i int, dst []float32) error {
	image := i / s.perImage()
	img, err := s.images.Image(image)
	if err != nil {
		return err
	}
	planes := dst
	if direct := !s.input.Layout.ChannelsLast() && s.input.Channels >= 3; !direct {
		room := s.planes.Get().(*[]float32)
		defer s.planes.Put(room)
		planes = *room
	}
	colours := planes[:3*s.input.Height*s.input.Width]
	err = s.preprocess.Apply(img, colours)
	if err == nil && s.input.Channels == 4 {
		err = s.preprocess.ApplyAlpha(img, planes[len(colours):])
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dataset.Where(s.images, image), err)
	}
	if s.views > 0 {
		s.preprocess.FlipCrop(colours, rand.New(rand.NewPCG(s.seed, uint64(i))))
	}
	s.arrange(planes, dst)
	s.remember(i, dst)
	return nil
}

// remember keeps the digest of an entry that is read for the first time.
func (s *Set) remember(i int, values []float32) {
	if s.known(i) {
		return
	}
	d := digest(values)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digests[i] = d
}

// known reports whether an entry has been read.
func (s *Set) known(i int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digests[i] != [sha256.Size]byte{}
}

// arrange brings planes into the layout of the input.
func (s *Set) arrange(planes, dst []float32) {
	pixels := s.input.Height * s.input.Width
	switch {
	case s.input.Channels == 1: // the planes are the same
		copy(dst, planes[:pixels])
	case s.input.Layout.ChannelsLast():
		for p := range pixels {
			for ch := range s.input.Channels {
				dst[s.input.Channels*p+ch] = planes[ch*pixels+p]
			}
		}
	}
}

// digest is the SHA-256 of values, as little-endian float32.
func digest(values []float32) [sha256.Size]byte {
	var block [1 << 14]byte
	all := sha256.New()
	for len(values) > 0 {
		n := min(len(values), len(block)/4)
		for i, x := range values[:n] {
			binary.LittleEndian.PutUint32(block[4*i:], math.Float32bits(x))
		}
		all.Write(block[:4*n])
		values = values[n:]
	}
	return [sha256.Size]byte(all.Sum(nil))
}

// SHA256 is the digest of all entries as the model sees them, with their labels,
// in hexadecimal. What has not been read yet is read.
func (s *Set) SHA256() (string, error) {
	entry := make([]float32, s.input.Elements())
	all := sha256.New()
	for i := range s.Len() {
		if !s.known(i) {
			if err := s.Read(i, entry); err != nil {
				return "", err
			}
		}
		all.Write(s.digests[i][:])
		all.Write(binary.LittleEndian.AppendUint64(nil, uint64(s.Label(i))))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// InCommon counts the entries of s that another set has too, of those that have
// been read.
func (s *Set) InCommon(other *Set) int {
	known := make(map[[sha256.Size]byte]bool, len(other.digests))
	for _, d := range other.digests {
		known[d] = d != [sha256.Size]byte{}
	}
	n := 0
	for _, d := range s.digests {
		if known[d] {
			n++
		}
	}
	return n
}
