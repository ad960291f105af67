package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Limits on one image, so that a small file cannot ask for all the memory.
const (
	maxImagePixels = 1 << 26 // 64 Mpx, 256 MiB decoded
	maxImageBytes  = 1 << 28
)

// fileImage is an image with what its file says besides.
type fileImage struct {
	image.Image
	orientation int  // EXIF's, 1 where there is none
	clipped     bool // whether it was grey of 16 bits, some of them above 255
}

// Orientation is how an image is meant to be turned, by its EXIF block or else its
// XMP, 1 to 8: 1, upright, where its file says nothing, and for TIFF, which is turned
// already, as Pillow does.
func Orientation(img image.Image) int {
	if file, ok := img.(*fileImage); ok {
		return file.orientation
	}
	return 1
}

// A codec decodes images of one format.
type codec struct {
	format string
	magic  []string // how its files begin; ? is any byte
	config func(io.Reader) (image.Config, error)
	decode func(data []byte) (image.Image, error)
}

// plain adapts a decoder whose images are as Pillow has them.
func plain(decode func(io.Reader) (image.Image, error)) func([]byte) (image.Image, error) {
	return func(data []byte) (image.Image, error) { return decode(bytes.NewReader(data)) }
}

// codecs are the formats that are read. What a file is called does not matter.
var codecs = []codec{
	{"PNG", []string{"\x89PNG\r\n\x1a\n"}, png.DecodeConfig, plain(png.Decode)},
	{"JPEG", []string{"\xff\xd8"}, jpeg.DecodeConfig, plain(jpeg.Decode)},
	{"GIF", []string{"GIF87a", "GIF89a"}, gif.DecodeConfig, decodeGIF},
	{"WebP", []string{"RIFF????WEBPVP8"}, webp.DecodeConfig, decodeWebP},
	{"BMP", []string{"BM????\x00\x00\x00\x00"}, bmp.DecodeConfig, plain(bmp.Decode)},
	{"TIFF", []string{"II\x2a\x00", "MM\x00\x2a"}, tiff.DecodeConfig, decodeTIFF},
}

// matches reports whether data begins like the pattern.
func matches(data []byte, pattern string) bool {
	if len(data) < len(pattern) {
		return false
	}
	for i := range len(pattern) {
		if pattern[i] != '?' && data[i] != pattern[i] {
			return false
		}
	}
	return true
}

// Decode reads an image file's contents, having looked at its size first. An error
// says what the file is in place of an image, where that can be told.
func Decode(data []byte) (image.Image, error) {
	for _, c := range codecs {
		for _, magic := range c.magic {
			if matches(data, magic) {
				return c.read(data)
			}
		}
	}
	if what := notData(data); what != "" {
		return nil, errors.New(what)
	}
	return nil, errors.New("not an image in a known format (PNG, JPEG, WebP, GIF, BMP, TIFF)")
}

func (c *codec) read(data []byte) (img image.Image, err error) {
	defer func() { // images are read on many threads, where nobody else would catch it
		if r := recover(); r != nil {
			img, err = nil, c.fail(fmt.Errorf("%v", r))
		}
	}()
	config, err := c.config(bytes.NewReader(data))
	if err != nil {
		return nil, c.fail(err)
	}
	if w, h := config.Width, config.Height; w <= 0 || h <= 0 || w > maxImagePixels/h {
		return nil, fmt.Errorf("image of %d×%d pixels, more than the %d allowed", w, h, maxImagePixels)
	}
	img, err = c.decode(data)
	if err != nil {
		return nil, c.fail(err)
	}
	file := &fileImage{Image: img, orientation: storedOrientation(data)}
	_, grey := img.(*image.Gray16)
	if grey || c.format == "PNG" && data[24] == 16 && data[25] == 0 { // depth, and the type grey
		file.clip()
	}
	if c.format == "TIFF" && file.orientation != 1 { // Pillow turns these, and no others, as it reads them
		file.Image, file.orientation = upright(file.Image, file.orientation), 1
	}
	if file.orientation == 1 && !file.clipped {
		return file.Image, nil
	}
	return file, nil
}

// fail says of a file that begins like an image what is wrong with the rest.
func (c *codec) fail(err error) error {
	truncated := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
	for _, symptom := range []string{"EOF", "not enough pixel data", "short Huffman data", "too little image data", "not enough image data", "short chunk"} {
		truncated = truncated || strings.Contains(err.Error(), symptom)
	}
	if truncated {
		return fmt.Errorf("a %s file that is truncated (%w)", c.format, err)
	}
	if strings.Contains(err.Error(), "unsupported JPEG feature: unknown marker") {
		return fmt.Errorf("a JPEG file whose coding cannot be read, such as arithmetic coding (%w)", err)
	}
	return fmt.Errorf("a %s file that cannot be decoded: %w", c.format, err)
}

// clip makes grey of 16 bits 8 bits by clipping at 255, as Pillow's convert("RGB")
// does with its mode I;16.
func (f *fileImage) clip() {
	bounds := f.Bounds()
	var at func(x, y int) uint16
	switch img := f.Image.(type) {
	case *image.Gray16:
		at = func(x, y int) uint16 { return img.Gray16At(x, y).Y }
	case *image.NRGBA64: // a PNG's, in which one grey is transparent
		at = func(x, y int) uint16 { return img.NRGBA64At(x, y).R }
	default:
		return
	}
	grey := image.NewGray(bounds)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			v := at(x, y)
			f.clipped = f.clipped || v > 255
			grey.Pix[grey.PixOffset(x, y)] = byte(min(v, 255))
		}
	}
	f.Image = grey
}

// What a file may be in place of data.
const (
	lfsPointer = "a Git LFS pointer, not the file itself"
	lfsHint    = "fetch the file itself with `git lfs pull`"
)

// notData says what a file is that was saved in place of another: "" where that
// cannot be told.
func notData(data []byte) string {
	start := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(data[:min(len(data), 1024)], []byte("\ufeff")), " \t\r\n"))
	switch {
	case len(data) == 0:
		return "an empty file"
	case bytes.HasPrefix(start, []byte("version https://git-lfs")):
		return lfsPointer
	case bytes.HasPrefix(start, []byte("<!doctype")), bytes.HasPrefix(start, []byte("<html")):
		return "a web page (HTML), not an image"
	case bytes.HasPrefix(start, []byte("<?xml")), bytes.HasPrefix(start, []byte("<svg")):
		return "an XML or SVG file, not a raster image"
	case len(bytes.Trim(data[:min(len(data), 64)], "\x00")) == 0:
		return "a file of zeros"
	case len(data) >= 12 && string(data[4:8]) == "ftyp":
		return fmt.Sprintf("a file of type %q (HEIC, AVIF or video), which cannot be read", data[8:12])
	case matches(data, "II\x2b\x00"), matches(data, "MM\x00\x2b"):
		return "a BigTIFF file, which cannot be read: TIFF is"
	case isText(start):
		return "a text file, not an image"
	}
	return ""
}

// isText reports whether bytes are printable ASCII.
func isText(data []byte) bool {
	for _, b := range data {
		if b >= 0x7f || b < ' ' && b != '\t' && b != '\r' && b != '\n' {
			return false
		}
	}
	return len(data) > 0
}
