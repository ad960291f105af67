// Package examples brings labelled images into the layout of a network's input.
package examples

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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
	code       nn.Code
	perImage   int       // entries
	seed       uint64    // of the views
	room       sync.Pool // of *room
	digests    digests
	plain      *Set // the images as they are; the set itself without views
}

// room is for one entry: as planes, and in the layout of the input.
type room struct{ planes, entry []byte }

// digests of the entries of a set. They may be asked for, and added to, at once.
type digests struct {
	mu sync.Mutex
	of [][sha256.Size]byte // by entry; zero where nothing has been read
}

var _ nn.Coded = (*Set)(nil)

// New returns the images, one entry each. A model of one channel sees their
// luminance.
func New(images dataset.Set, p dataset.Preprocess, in graph.InputSpec) *Set {
	p.Grey = in.Channels == 1
	s := &Set{images: images, preprocess: p, input: in, code: codeOf(&p, in), perImage: 1, digests: digests{of: make([][sha256.Size]byte, images.Len())}}
	s.room.New = func() any {
		return &room{make([]byte, max(3, in.Channels)*in.Height*in.Width), make([]byte, in.Elements())}
	}
	s.plain = s
	return s
}

// codeOf is the code of images that p has made bytes of. Where there is a fourth
// channel, opacity, all are scaled alike: see [dataset.Preprocess.AlphaBytes].
func codeOf(p *dataset.Preprocess, in graph.InputSpec) nn.Code {
	colours := p.Values()
	code := nn.Code{Values: append(colours[:], colours[0])[:in.Channels], Run: in.Height * in.Width}
	if in.Layout.ChannelsLast() {
		code.Run = 1
	}
	return code
}

// NewViews returns so many entries for each image, one after the other: views of
// it, flipped and cropped at random. The same seed gives the same views.
func NewViews(images dataset.Set, p dataset.Preprocess, in graph.InputSpec, views int, seed uint64) *Set {
	s := New(images, p, in)
	s.plain = New(images, p, in)
	s.perImage, s.seed = views, seed
	s.digests.of = make([][sha256.Size]byte, s.Len())
	return s
}

// Name is that of the images.
func (s *Set) Name() string { return s.images.Name() }

// Images is the number of images, of which each may have several entries.
func (s *Set) Images() int { return s.images.Len() }

// Len is the number of entries.
func (s *Set) Len() int { return s.images.Len() * s.perImage }

// Label is the class of entry i.
func (s *Set) Label(i int) int { return s.images.Label(i / s.perImage) }

// Code says which values the bytes of [Set.ReadBytes] stand for.
func (s *Set) Code() *nn.Code { return &s.code }

// Read writes entry i to dst, which has as many elements as the input has for an
// example.
func (s *Set) Read(i int, dst []float32) error {
	r := s.room.Get().(*room)
	defer s.room.Put(r)
	if err := s.ReadBytes(i, r.entry); err != nil {
		return err
	}
	s.code.Decode(dst, r.entry)
	return nil
}

// ReadBytes is Read in bytes.
func (s *Set) ReadBytes(i int, dst []byte) error {
	image := i / s.perImage
	img, err := s.images.Image(image)
	if err != nil {
		return err
	}
	r := s.room.Get().(*room)
	defer s.room.Put(r)
	planes := dst
	if direct := !s.input.Layout.ChannelsLast() && s.input.Channels >= 3; !direct {
		planes = r.planes
	}
	colours := planes[:3*s.input.Height*s.input.Width]
	err = s.preprocess.Bytes(img, colours)
	if err == nil && s.input.Channels == 4 {
		err = s.preprocess.AlphaBytes(img, planes[len(colours):])
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dataset.Where(s.images, image), err)
	}
	if s.plain != s {
		s.preprocess.FlipCrop(planes, rand.New(rand.NewPCG(s.seed, uint64(i))))
	}
	arrange(s.input, planes, dst)
	if !s.digests.known(i) {
		s.digests.remember(i, digest(&s.code, dst))
	}
	return nil
}

// remember keeps the digest of an entry.
func (d *digests) remember(i int, sum [sha256.Size]byte) {
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

// arrange brings planes into the layout of the input, unless they are there.
func arrange(in graph.InputSpec, planes, dst []byte) {
	pixels := in.Height * in.Width
	switch {
	case in.Channels == 1: // the planes are the same
		copy(dst, planes[:pixels])
	case in.Layout.ChannelsLast():
		for p := range pixels {
			for ch := range in.Channels {
				dst[in.Channels*p+ch] = planes[ch*pixels+p]
			}
		}
	}
}

// digest is the SHA-256 of the values that the bytes of an entry stand for, as
// little-endian float32.
func digest(code *nn.Code, entry []byte) [sha256.Size]byte {
	var block [1 << 14]byte
	all, n := sha256.New(), 0
	for lo, run := 0, 0; lo < len(entry); lo, run = lo+code.Run, run+1 {
		values := &code.Values[run%len(code.Values)]
		for _, b := range entry[lo : lo+code.Run] {
			binary.LittleEndian.PutUint32(block[n:n+4], math.Float32bits(values[b]))
			if n += 4; n == len(block) {
				all.Write(block[:])
				n = 0
			}
		}
	}
	all.Write(block[:n])
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

// readAll reads what has not been read yet, on all threads, and says so after each
// entry, from one goroutine at a time. Of several errors it returns that of the first
// entry.
func (s *Set) readAll(ctx context.Context, read func()) error {
	var (
		next  atomic.Int64
		mu    sync.Mutex // guards the calls of read and what follows
		bad   = s.Len()  // the first entry that cannot be read
		first error      // why
		all   sync.WaitGroup
	)
	work := func() {
		entry := make([]byte, s.input.Elements())
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= s.Len() {
				return
			}
			var err error
			if !s.digests.known(i) {
				err = s.ReadBytes(i, entry)
			}
			mu.Lock()
			switch {
			case err == nil:
				read()
			case i < bad:
				bad, first = i, err
				next.Store(int64(s.Len())) // those before it are under way
			}
			mu.Unlock()
		}
	}
	for range min(runtime.GOMAXPROCS(0), s.Len()) {
		all.Go(work)
	}
	all.Wait()
	return cmp.Or(ctx.Err(), first)
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

// Repeated is how many images of s are there before, pixel by pixel as in [Shared].
func Repeated(s *Set) int {
	n := 0
	seen := make(map[[sha256.Size]byte]bool, s.Images())
	for _, d := range s.plain.digests.of {
		if d == ([sha256.Size]byte{}) {
			continue
		}
		if seen[d] {
			n++
		}
		seen[d] = true
	}
	return n
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
	if s.plain != s {
		return NewViews(some, s.preprocess, s.input, s.perImage, s.seed)
	}
	return New(some, s.preprocess, s.input)
}
