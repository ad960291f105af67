package dataset

import (
	"bytes"
	"encoding/binary"
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

// exifOrientation finds the orientation that a JPEG, PNG or WebP file's EXIF block
// gives, or that a TIFF file has itself; 1 where there is none that is valid.
func exifOrientation(data []byte) int {
	block := data
	switch {
	case matches(data, "\xff\xd8"):
		block = exifOfJPEG(data)
	case matches(data, "\x89PNG"):
		block = exifOfPNG(data)
	case matches(data, "RIFF????WEBP"):
		block = exifOfWebP(data)
	}
	return tiffOrientation(bytes.TrimPrefix(block, []byte("Exif\x00\x00")))
}

func exifOfJPEG(data []byte) []byte {
	for at := 2; at+4 <= len(data) && data[at] == 0xff; {
		marker, length := data[at+1], int(binary.BigEndian.Uint16(data[at+2:]))
		if marker == 0xff { // padding
			at++
			continue
		}
		if marker == 0xda || length < 2 || at+2+length > len(data) {
			break
		}
		if segment := data[at+4 : at+2+length]; marker == 0xe1 && bytes.HasPrefix(segment, []byte("Exif\x00\x00")) {
			return segment
		}
		at += 2 + length
	}
	return nil
}

func exifOfPNG(data []byte) []byte {
	for at := 8; at+12 <= len(data); {
		length := int(binary.BigEndian.Uint32(data[at:]))
		if length > len(data)-at-12 {
			break
		}
		if string(data[at+4:at+8]) == "eXIf" {
			return data[at+8 : at+8+length]
		}
		at += 12 + length
	}
	return nil
}

func exifOfWebP(data []byte) []byte {
	for at := 12; at+8 <= len(data); {
		length := int(binary.LittleEndian.Uint32(data[at+4:]))
		if length > len(data)-at-8 {
			break
		}
		if string(data[at:at+4]) == "EXIF" {
			return data[at+8 : at+8+length]
		}
		at += 8 + length + length%2
	}
	return nil
}

// tiffOrientation reads tag 274 of the first directory of a TIFF structure.
func tiffOrientation(data []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case matches(data, "II\x2a\x00"):
	case matches(data, "MM\x00\x2a"):
		order = binary.BigEndian
	default:
		return 1
	}
	if len(data) < 8 {
		return 1
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return 1
	}
	const orientationTag, entryBytes = 274, 12
	entries := int64(order.Uint16(data[at:]))
	for i := range entries {
		entry := at + 2 + i*entryBytes
		if entry+entryBytes > int64(len(data)) {
			break
		}
		if order.Uint16(data[entry:]) == orientationTag {
			if v := int(order.Uint16(data[entry+8:])); v >= 1 && v <= 8 {
				return v
			}
		}
	}
	return 1
}
