// Package examples brings labelled images into the layout of a network's input.
package examples

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
	views      int       // 0: the images as they are
	seed       uint64    // of the views
	planes     sync.Pool // of *[]float32: one image as channels, rows, columns
	digests    digests
	plain      *Set // the images as they are; the set itself without views
}

// digests of the entries of a set. They may be asked for, and added to, at once.
type digests struct {
	mu sync.Mutex
	of [][sha256.Size]byte // by entry; zero where nothing has been read
}

var _ nn.Examples = (*Set)(nil)

// New returns the images, one entry each. A model of one channel sees their
// luminance.
func New(images dataset.Set, p dataset.Preprocess, in graph.InputSpec) *Set {
	p.Grey = in.Channels == 1
	s := &Set{images: images, preprocess: p, input: in, digests: digests{of: make([][sha256.Size]byte, images.Len())}}
	s.planes.New = func() any {
		planes := make([]float32, max(3, in.Channels)*in.Height*in.Width)
		return &planes
	}
	s.plain = s
	return s
}

// NewViews returns so many entries for each image, one after the other: views of
// it, flipped and cropped at random. The same seed gives the same views.
func NewViews(images dataset.Set, p dataset.Preprocess, in graph.InputSpec, views int, seed uint64) *Set {
	s := New(images, p, in)
	s.plain = New(images, p, in)
	s.views, s.seed = views, seed
	s.digests.of = make([][sha256.Size]byte, s.Len())
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
	s.digests.remember(i, dst)
	return nil
}

// remember keeps the digest of an entry that is read for the first time.
func (d *digests) remember(i int, values []float32) {
	if d.known(i) {
		return
	}
	sum := digest(values)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.of[i] = sum
}

// known reports whether an entry has been read.
func (d *digests) known(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.of[i] != [sha256.Size]byte{}
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
	if err := s.readAll(context.Background(), func() {}); err != nil {
		return "", err
	}
	all := sha256.New()
	for i, d := range s.digests.of {
		all.Write(d[:])
		all.Write(binary.LittleEndian.AppendUint64(nil, uint64(s.Label(i))))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// readAll reads what has not been read yet, and says so after each entry.
func (s *Set) readAll(ctx context.Context, read func()) error {
	entry := make([]float32, s.input.Elements())
	for i := range s.Len() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.digests.known(i) {
			if err := s.Read(i, entry); err != nil {
				return err
			}
		}
		read()
	}
	return nil
}

// ReadPlain reads the images as they are without views, for [Shared], and
// says so after each.
func (s *Set) ReadPlain(ctx context.Context, read func()) error { return s.plain.readAll(ctx, read) }

// Shared finds the images of s that another set has too, pixel by pixel as the model
// sees them without views: pairs of their positions, one for each such image of s,
// in order. What has not been read, by [Set.ReadPlain] or without views by a model, is
// left out.
func Shared(s, other *Set) [][2]int {
	at := make(map[[sha256.Size]byte]int, other.Images())
	for i, d := range other.plain.digests.of {
		if _, known := at[d]; !known && d != ([sha256.Size]byte{}) {
			at[d] = i
		}
	}
	var pairs [][2]int
	for i, d := range s.plain.digests.of {
		if j, shared := at[d]; shared {
			pairs = append(pairs, [2]int{i, j})
		}
	}
	return pairs
}

// Where says where an image comes from, for a message.
func (s *Set) Where(image int) string { return dataset.Where(s.images, image) }

// Without is the set without some of its images, given in order.
func (s *Set) Without(images []int) *Set {
	var kept []int
	for i := range s.images.Len() {
		if _, out := slices.BinarySearch(images, i); !out {
			kept = append(kept, i)
		}
	}
	some := dataset.Subset(s.images, fmt.Sprintf("%s without %d", s.Name(), len(images)), kept)
	if s.views > 0 {
		return NewViews(some, s.preprocess, s.input, s.views, s.seed)
	}
	return New(some, s.preprocess, s.input)
}
