package dataset

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"slices"
)

// A Resize says how an image is brought to size.
type Resize string

// The ways of resizing.
const (
	ResizeNone     Resize = "none"     // the image is used as it is
	ResizeExact    Resize = "exact"    // to ResizeSize, aspect ratio or not
	ResizeShortest Resize = "shortest" // the shorter edge to ResizeSize[0], the longer one in proportion, rounded down
	ResizeCover    Resize = "cover"    // in proportion, to the smallest size that covers ResizeSize
)

// An Interpolation is one of Pillow's resampling filters. All but nearest widen
// with the reduction (antialiasing).
type Interpolation string

// The filters.
const (
	Nearest  Interpolation = "nearest"
	Box      Interpolation = "box"
	Bilinear Interpolation = "bilinear"
	Hamming  Interpolation = "hamming"
	Bicubic  Interpolation = "bicubic" // a = −0.5
	Lanczos  Interpolation = "lanczos" // 3 lobes
)

// A Crop says where the centre of an image is when its margins are of unequal
// width. An image smaller than the crop gets a black margin.
type Crop string

// The ways of cropping.
const (
	CropNone  Crop = "none"
	CropFloor Crop = "floor" // the smaller margin above and to the left: transformers
	CropRound Crop = "round" // margins rounded half to even: torchvision and timm
)

// Channels is the order of an image's channels in a model's input.
type Channels string

// The orders.
const (
	RGB Channels = ""
	BGR Channels = "bgr"
)

// A Preprocess is what happens to an image before a model sees it: resize, then
// crop the centre, then for each channel c
//
//	x = (byte·Rescale − Mean[c]) / Std[c]
//
// in float64, rounded once to float32. It is plain data; copies are
// independent.
type Preprocess struct {
	Name          string        `json:"name"`          // of the preset, or of the file
	Source        string        `json:"source"`        // "preset", or the path of the file; the caller may refine it
	Size          [2]int        `json:"size"`          // height and width of the result; 0, 0: left to the model (see ForInput)
	Resize        Resize        `json:"resize"`        //
	ResizeSize    [2]int        `json:"resize_size"`   // height and width
	Interpolation Interpolation `json:"interpolation"` //
	Crop          Crop          `json:"crop"`          // to Size
	Rescale       float64       `json:"rescale"`       //
	Mean          [3]float64    `json:"mean"`          // of the channels in the model's order
	Std           [3]float64    `json:"std"`           // likewise; more than 0
	Channels      Channels      `json:"channels"`      // the model's order of them
	Grey          bool          `json:"grey"`          // colours become their luminance first, as Pillow's mode L
	EXIF          bool          `json:"exif"`          // images are turned as their EXIF orientation says
}

// maxEdge bounds the sizes that a file may ask for, in pixels.
const maxEdge = 1 << 13

// ForInput returns p for a model whose input is h×w pixels. Where p leaves the
// size open it is set; where p makes images of another size, that is an error.
func (p Preprocess) ForInput(h, w int) (Preprocess, error) {
	if h <= 0 || w <= 0 {
		panic(fmt.Sprintf("dataset: model input of %d×%d pixels", h, w))
	}
	switch size := [2]int{h, w}; p.Size {
	case size:
	case [2]int{}:
		p.Size = size
		if p.Resize == ResizeCover && p.ResizeSize == [2]int{} {
			p.ResizeSize = size
		}
	default:
		return p, &Error{
			Path: p.Name,
			Msg:  fmt.Sprintf("makes images of %d×%d pixels, the model's input has %d×%d", p.Size[0], p.Size[1], h, w),
			Hint: "is it this model's file? --preprocess takes another, or a preset, which follows the model's input",
		}
	}
	return p, nil
}

// Apply preprocesses an image into dst, which holds 3·H·W values: a plane for each
// channel in the model's order, each row by row. An image that p does not bring to size
// is an error. Apply may be called from several goroutines at once.
func (p *Preprocess) Apply(img image.Image, dst []float32) error {
	planes := make([]byte, len(dst))
	if err := p.Bytes(img, planes); err != nil {
		return err
	}
	for c, values := range p.Values() {
		lo, hi := c*len(planes)/3, (c+1)*len(planes)/3
		for i, b := range planes[lo:hi] {
			dst[lo+i] = values[b]
		}
	}
	return nil
}

// Values is what each byte of each channel, in the model's order, becomes.
func (p *Preprocess) Values() (values [3][256]float32) {
	for c := range values {
		for b := range values[c] {
			values[c][b] = float32((float64(float64(b)*p.Rescale) - p.Mean[c]) / p.Std[c])
		}
	}
	return values
}

// KeepsBytes reports whether p leaves bytes as they are, 0 to 255.
func (p *Preprocess) KeepsBytes() bool {
	for _, values := range p.Values() {
		for b, v := range values {
			if v != float32(b) {
				return false
			}
		}
	}
	return true
}

// Bytes is Apply but for the last step: dst holds bytes in place of the values that
// [Preprocess.Values] has for them.
func (p *Preprocess) Bytes(img image.Image, dst []byte) error {
	h, w := p.Size[0], p.Size[1]
	if h <= 0 || w <= 0 || len(dst) != 3*h*w {
		panic(fmt.Sprintf("dataset: %d values for an image of %d×%d pixels", len(dst), h, w))
	}
	px := toPixels(img)
	if px.w == 0 || px.h == 0 {
		return &Error{Msg: "image without pixels"}
	}
	if p.EXIF {
		px = turn(px, Orientation(img))
	}
	if p.Grey {
		px.toGrey()
	}
	if rh, rw := p.resized(px.h, px.w); rh != px.h || rw != px.w {
		if rh <= 0 || rw <= 0 || rh > maxImagePixels/rw {
			return &Error{Msg: fmt.Sprintf("image of %d×%d pixels (height × width) would be resized to %d×%d", px.h, px.w, rh, rw), Hint: "crop the image to a more usual aspect ratio"}
		}
		px = resize(px, rw, rh, p.Interpolation)
	}
	switch p.Crop {
	case CropFloor:
		px = crop(px, floorHalf(px.w-w), floorHalf(px.h-h), w, h)
	case CropRound:
		px = crop(px, roundHalf(px.w-w), roundHalf(px.h-h), w, h)
	}
	if px.w != w || px.h != h {
		return &Error{
			Msg:  fmt.Sprintf("image of %d×%d pixels (height × width), the model's input has %d×%d and preprocessing %q does not resize to it", px.h, px.w, h, w, p.Name),
			Hint: "use images of that size, or --preprocess with a preset or file that resizes",
		}
	}
	first, second, third := dst[:h*w], dst[h*w:2*h*w], dst[2*h*w:]
	if p.Channels == BGR {
		first, third = third, first
	}
	for i := range first {
		first[i], second[i], third[i] = px.rgb[3*i], px.rgb[3*i+1], px.rgb[3*i+2]
	}
	return nil
}

// AlphaBytes writes the fourth channel of an image, its opacity, to dst, which holds
// H·W bytes. They stand for byte·Rescale; where p normalises, or resizes an image
// that is not opaque, what is right is not known, and that is an error.
func (p *Preprocess) AlphaBytes(img image.Image, dst []byte) error {
	if p.Mean != [3]float64{} || p.Std != [3]float64{1, 1, 1} {
		return &Error{Msg: fmt.Sprintf("a model of four channels, and preprocessing %q has the mean and deviation of three", p.Name), Hint: "--preprocess raw01 or raw255, which have none"}
	}
	if file, ok := img.(*fileImage); ok {
		img = file.Image
	}
	bounds := img.Bounds()
	if opaque, ok := img.(interface{ Opaque() bool }); ok && opaque.Opaque() {
		for i := range dst {
			dst[i] = 255
		}
		return nil
	}
	if bounds.Dy() != p.Size[0] || bounds.Dx() != p.Size[1] || p.EXIF {
		return &Error{Msg: "an image that is not opaque is resized for a model of four channels", Hint: fmt.Sprintf("use images of %d×%d pixels", p.Size[0], p.Size[1])}
	}
	for i := range dst {
		c := color.NRGBAModel.Convert(img.At(bounds.Min.X+i%p.Size[1], bounds.Min.Y+i/p.Size[1])).(color.NRGBA)
		dst[i] = c.A
	}
	return nil
}

// OneNormalisation reports whether all channels are normalised alike, as they must
// be for a model of one channel.
func (p *Preprocess) OneNormalisation() bool {
	return p.Mean[0] == p.Mean[1] && p.Mean[1] == p.Mean[2] && p.Std[0] == p.Std[1] && p.Std[1] == p.Std[2]
}

// WithChannels returns p for a model whose channels are in another order. The mean
// and deviation of a preset are those of colours, and go with them; those of a file
// are listed in the model's order, and stay.
func (p Preprocess) WithChannels(order Channels) Preprocess {
	if p.Channels != order && p.Source == "preset" {
		slices.Reverse(p.Mean[:])
		slices.Reverse(p.Std[:])
	}
	p.Channels = order
	return p
}

// resized returns the size that an image of h×w pixels is resized to.
func (p *Preprocess) resized(h, w int) (rh, rw int) {
	switch p.Resize {
	case ResizeExact:
		return p.ResizeSize[0], p.ResizeSize[1]
	case ResizeShortest:
		edge := p.ResizeSize[0]
		if h <= w {
			return edge, edge * w / h
		}
		return edge * h / w, edge
	case ResizeCover:
		// As timm's ResizeKeepRatio.
		ratio := min(float64(h)/float64(p.ResizeSize[0]), float64(w)/float64(p.ResizeSize[1]))
		return int(math.RoundToEven(float64(h) / ratio)), int(math.RoundToEven(float64(w) / ratio))
	}
	return h, w
}

// floorHalf is ⌊margin/2⌋.
func floorHalf(margin int) int { return margin >> 1 }

// roundHalf is margin/2, half to even for a crop and towards 0 for a border.
func roundHalf(margin int) int {
	if margin < 0 {
		return -(-margin / 2)
	}
	return int(math.RoundToEven(float64(margin) / 2))
}

// check returns what is wrong with a preprocessing that a file describes.
func (p *Preprocess) check() error {
	for _, edge := range append(p.Size[:], p.ResizeSize[:]...) {
		if edge < 0 || edge > maxEdge {
			return fmt.Errorf("size of %d pixels: expected 1 to %d", edge, maxEdge)
		}
	}
	if p.Resize != ResizeNone && slices.Contains(p.ResizeSize[:], 0) {
		return fmt.Errorf("size of 0 pixels: expected 1 to %d", maxEdge)
	}
	if p.Rescale == 0 {
		return errors.New("rescale factor 0: all images would be alike")
	}
	for c := range 3 {
		if !(p.Std[c] > 0) {
			return fmt.Errorf("standard deviation %v of channel %d: expected more than 0", p.Std[c], c)
		}
	}
	return nil
}
