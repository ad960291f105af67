package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
)

// examples gives a labelled set in the layout of a network's input. With views,
// each image has that many entries, one after the other, augmented at random but
// always alike.
type examples struct {
	set        dataset.Set
	preprocess dataset.Preprocess
	input      graph.InputSpec
	views      int                 // 0: the images as they are
	seed       uint64              // of the views
	planes     []float32           // one image as channels, rows, columns
	read       func()              // called before an image is read; may be nil
	digests    [][sha256.Size]byte // of what has been read, by entry; zero where nothing has
}

var _ diag.Examples = (*examples)(nil)

func newExamples(set dataset.Set, p dataset.Preprocess, n *graph.Network) *examples {
	return &examples{
		set: set, preprocess: p, input: n.Input,
		planes:  make([]float32, 3*n.Input.Height*n.Input.Width),
		digests: make([][sha256.Size]byte, set.Len()),
	}
}

// augmented returns the examples with so many views of each image.
func (e *examples) augmented(views int, seed uint64) *examples {
	e.views, e.seed = views, seed
	e.digests = make([][sha256.Size]byte, e.Len())
	return e
}

func (e *examples) perImage() int   { return max(1, e.views) }
func (e *examples) Len() int        { return e.set.Len() * e.perImage() }
func (e *examples) Label(i int) int { return e.set.Label(i / e.perImage()) }

// Read prepares one entry.
func (e *examples) Read(i int, dst []float32) error {
	if e.read != nil {
		e.read()
	}
	image := i / e.perImage()
	img, err := e.set.Image(image)
	if err != nil {
		return err
	}
	planes := e.planes
	if direct := e.input.Layout == graph.NCHW && e.input.Channels == 3; direct {
		planes = dst
	}
	if err := e.preprocess.Apply(img, planes); err != nil {
		return fmt.Errorf("%s: %w", dataset.Where(e.set, image), err)
	}
	if e.views > 0 {
		e.preprocess.FlipCrop(planes, rand.New(rand.NewPCG(e.seed, uint64(i))))
	}
	e.arrange(planes, dst)
	if e.digests[i] == ([sha256.Size]byte{}) {
		e.digests[i] = digest(dst)
	}
	return nil
}

// arrange brings planes into the layout of the input.
func (e *examples) arrange(planes, dst []float32) {
	pixels := e.input.Height * e.input.Width
	switch {
	case e.input.Channels == 1: // a grey model sees the mean of the three planes
		for p := range pixels {
			dst[p] = (planes[p] + planes[pixels+p] + planes[2*pixels+p]) / 3
		}
	case e.input.Layout == graph.NHWC:
		for p := range pixels {
			for ch := range 3 {
				dst[3*p+ch] = planes[ch*pixels+p]
			}
		}
	}
}

// digest is the SHA-256 of values, as little-endian float32.
func digest(values []float32) [sha256.Size]byte {
	bytes := make([]byte, 0, 4*len(values))
	for _, x := range values {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(x))
	}
	return sha256.Sum256(bytes)
}

// SHA256 is the digest of all entries as the model sees them, with their labels,
// in hexadecimal. What has not been read yet is read.
func (e *examples) SHA256() (string, error) {
	entry := make([]float32, e.input.Elements())
	all := sha256.New()
	for i := range e.Len() {
		if e.digests[i] == ([sha256.Size]byte{}) {
			if err := e.Read(i, entry); err != nil {
				return "", err
			}
		}
		all.Write(e.digests[i][:])
		all.Write(binary.LittleEndian.AppendUint64(nil, uint64(e.Label(i))))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// inCommon counts the entries of e that another set has too, of those that have
// been read.
func (e *examples) inCommon(other *examples) int {
	known := make(map[[sha256.Size]byte]bool, len(other.digests))
	for _, d := range other.digests {
		known[d] = d != [sha256.Size]byte{}
	}
	n := 0
	for _, d := range e.digests {
		if known[d] {
			n++
		}
	}
	return n
}
