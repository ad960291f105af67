package dataset

import (
	"bytes"
	"errors"
	"image"
	"image/gif"

	"golang.org/x/image/webp"
)

// decodeGIF decodes the first frame, with the colour of what is transparent, which
// the decoder would make black.
func decodeGIF(data []byte) (image.Image, error) {
	config, err := gif.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	img, err := gif.Decode(bytes.NewReader(withoutGIFTransparency(data)))
	if err != nil {
		return nil, err
	}
	if img.Bounds() != image.Rect(0, 0, config.Width, config.Height) {
		return nil, errors.New("its first frame does not cover the image")
	}
	return img, nil
}

// withoutGIFTransparency returns the file with the flag cleared by which the first
// frame's graphic control extension makes a colour transparent (GIF89a, 23).
func withoutGIFTransparency(data []byte) []byte {
	const headerBytes = 13
	if len(data) < headerBytes {
		return data
	}
	at := headerBytes
	if flags := data[10]; flags&0x80 != 0 { // a global colour table
		at += 3 << (flags&7 + 1)
	}
	for at+4 < len(data) && data[at] == 0x21 {
		if data[at+1] == 0xf9 && data[at+2] == 4 {
			opaque := bytes.Clone(data)
			opaque[at+3] &^= 1
			return opaque
		}
		for at += 2; at < len(data) && data[at] != 0; at += 1 + int(data[at]) { // the blocks of another extension
		}
		at++
	}
	return data
}

// decodeWebP decodes a WebP image. A lossy one has the limited range of video, which
// image/color takes for JPEG's full range: it is converted here.
func decodeWebP(data []byte) (image.Image, error) {
	if isAnimatedWebP(data) {
		return nil, errAnimated
	}
	img, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	switch img := img.(type) {
	case *image.YCbCr:
		return webPToNRGBA(img), nil
	case *image.NYCbCrA: // transparency is dropped
		return webPToNRGBA(&img.YCbCr), nil
	}
	return img, nil
}

// errAnimated is the error of a WebP file that holds frames in place of an image.
var errAnimated = errors.New("it is animated: convert its first frame to PNG")

// isAnimatedWebP reports whether an extended file has the flag for animation.
func isAnimatedWebP(data []byte) bool {
	const flags = 20 // of the VP8X chunk
	return matches(data, "RIFF????WEBPVP8X") && len(data) > flags && data[flags]&2 != 0
}

// webPToNRGBA converts as libwebp does, bit for bit: chroma is interpolated
// ("fancy upsampling", src/dsp/upsampling.c), colours are converted in 14 bits
// (src/dsp/yuv.h).
func webPToNRGBA(img *image.YCbCr) *image.NRGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	u, v := make([]int32, w), make([]int32, w)
	for y := range h {
		webPChroma(u, img, img.Cb, y)
		webPChroma(v, img, img.Cr, y)
		for x := range w {
			luma := int32(img.Y[y*img.YStride+x]) * 19077 >> 8
			p := out.Pix[out.PixOffset(x, y):]
			p[0] = clip14(luma + v[x]*26149>>8 - 14234)
			p[1] = clip14(luma - u[x]*6419>>8 - v[x]*13320>>8 + 8708)
			p[2] = clip14(luma + u[x]*33050>>8 - 17685)
			p[3] = 255
		}
	}
	return out
}

// clip14 takes a colour with 6 bits after the point.
func clip14(v int32) byte { return clamp(v >> 6) }

// webPChroma writes row y of a halved plane at full width: of the four samples
// around each pixel the nearest has weight 9, its neighbours 3, the farthest 1.
func webPChroma(dst []int32, img *image.YCbCr, plane []byte, y int) {
	columns, rows := (img.Rect.Dx()+1)/2, (img.Rect.Dy()+1)/2
	near := y / 2
	far := min(max(near-1+2*(y%2), 0), rows-1)
	at := func(row, column int) int32 {
		return int32(plane[row*img.CStride+min(max(column, 0), columns-1)])
	}
	for x := range dst {
		column := x / 2
		other := column - 1 + 2*(x%2)
		a, b, c, d := at(near, column), at(near, other), at(far, column), at(far, other)
		if x == 0 || x == len(dst)-1 && x%2 == 1 { // at the edges only rows are mixed
			dst[x] = (3*a + c + 2) >> 2
			continue
		}
		// The rounding of libwebp, which halves twice.
		diagonal := (a + b + c + d + 8 + 2*(b+c)) >> 3
		dst[x] = (diagonal + a) >> 1
	}
}
