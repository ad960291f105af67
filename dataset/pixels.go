package dataset

import (
	"image"
	"image/color"
)

// pixels is an image of interleaved bytes, RGBRGB…, row by row.
type pixels struct {
	w, h int
	rgb  []byte // 3*w*h
}

func newPixels(w, h int) *pixels {
	return &pixels{w: w, h: h, rgb: make([]byte, 3*w*h)}
}

// row returns the 3*w bytes of row y.
func (p *pixels) row(y int) []byte { return p.rgb[3*p.w*y : 3*p.w*(y+1)] }

// toPixels converts an image as Pillow's convert("RGB") does: transparency is
// dropped, not blended, grey is repeated, of 16 bits the upper ones are taken, and
// JPEG's chroma is upsampled smoothly (see [chroma]). Grey of 16 bits, which Pillow
// clips, is no matter of this function: see [Decode].
func toPixels(img image.Image) *pixels {
	if file, ok := img.(*fileImage); ok {
		img = file.Image
	}
	bounds := img.Bounds()
	p := newPixels(bounds.Dx(), bounds.Dy())
	switch img := img.(type) {
	case *image.NRGBA:
		for y := range p.h {
			copyRGB(p.row(y), img.Pix[img.PixOffset(bounds.Min.X, bounds.Min.Y+y):])
		}
	case *image.NRGBA64: // by way of color.NRGBAModel, what is transparent would be black
		for y := range p.h {
			src, dst := img.Pix[img.PixOffset(bounds.Min.X, bounds.Min.Y+y):], p.row(y)
			for x := range p.w {
				dst[3*x], dst[3*x+1], dst[3*x+2] = src[8*x], src[8*x+2], src[8*x+4]
			}
		}
	case *image.Gray:
		for y := range p.h {
			src, dst := img.Pix[img.PixOffset(bounds.Min.X, bounds.Min.Y+y):], p.row(y)
			for x := range p.w {
				dst[3*x], dst[3*x+1], dst[3*x+2] = src[x], src[x], src[x]
			}
		}
	case *image.YCbCr:
		convertYCbCr(p, img)
	case *image.CMYK:
		for y := range p.h {
			src, dst := img.Pix[img.PixOffset(bounds.Min.X, bounds.Min.Y+y):], p.row(y)
			for x := range p.w {
				for c := range 3 {
					dst[3*x+c] = cmykToRGB(src[4*x+c], src[4*x+3])
				}
			}
		}
	default:
		for y := range p.h {
			dst := p.row(y)
			for x := range p.w {
				c := color.NRGBAModel.Convert(img.At(bounds.Min.X+x, bounds.Min.Y+y)).(color.NRGBA)
				dst[3*x], dst[3*x+1], dst[3*x+2] = c.R, c.G, c.B
			}
		}
	}
	return p
}

// cmykToRGB takes ink and black off white, with the rounding of Pillow's cmyk2rgb
// (Convert.c).
func cmykToRGB(ink, black byte) byte {
	white := 255 - int32(black)
	product := int32(ink)*white + 128
	return clamp(white - (product+product>>8)>>8)
}

// toGrey replaces the colours by their luminance, as Pillow's convert("L") does
// (Convert.c, L24).
func (p *pixels) toGrey() {
	for i := 0; i < len(p.rgb); i += 3 {
		l := byte((int32(p.rgb[i])*19595 + int32(p.rgb[i+1])*38470 + int32(p.rgb[i+2])*7471 + 0x8000) >> 16)
		p.rgb[i], p.rgb[i+1], p.rgb[i+2] = l, l, l
	}
}

// upright returns an image whose file says of itself how it lies as it is meant to
// be seen, with its opacity.
func upright(img image.Image, orientation int) image.Image {
	bounds := img.Bounds()
	rgb := turn(toPixels(img), orientation)
	alpha := newPixels(bounds.Dx(), bounds.Dy())
	for i := range bounds.Dx() * bounds.Dy() {
		c := color.NRGBAModel.Convert(img.At(bounds.Min.X+i%alpha.w, bounds.Min.Y+i/alpha.w)).(color.NRGBA)
		alpha.rgb[3*i] = c.A
	}
	alpha = turn(alpha, orientation)
	out := image.NewNRGBA(image.Rect(0, 0, rgb.w, rgb.h))
	for i := range rgb.w * rgb.h {
		copy(out.Pix[4*i:], rgb.rgb[3*i:3*i+3])
		out.Pix[4*i+3] = alpha.rgb[3*i]
	}
	return out
}

// turn returns an image as it is meant to be seen, by its EXIF orientation, as
// Pillow's ImageOps.exif_transpose does: 2 mirrors left to right, 3 turns by 180°,
// 4 mirrors top to bottom, 5 exchanges rows and columns, 6 turns a quarter to the
// right, 7 exchanges them along the other diagonal, 8 turns a quarter to the left.
func turn(p *pixels, orientation int) *pixels {
	if orientation < 2 || orientation > 8 {
		return p
	}
	w, h := p.w, p.h
	if orientation >= 5 {
		w, h = h, w
	}
	out := newPixels(w, h)
	for y := range h {
		for x := range w {
			u, v := x, y // where the pixel comes from
			switch orientation {
			case 2:
				u = w - 1 - x
			case 3:
				u, v = w-1-x, h-1-y
			case 4:
				v = h - 1 - y
			case 5:
				u, v = y, x
			case 6:
				u, v = y, w-1-x
			case 7:
				u, v = h-1-y, w-1-x
			case 8:
				u, v = h-1-y, x
			}
			copy(out.rgb[3*(y*w+x):][:3], p.rgb[3*(v*p.w+u):][:3])
		}
	}
	return out
}

// copyRGB copies len(dst)/3 pixels of RGBA bytes without the fourth.
func copyRGB(dst, rgba []byte) {
	for i, j := 0, 0; i < len(dst); i, j = i+3, j+4 {
		dst[i], dst[i+1], dst[i+2] = rgba[j], rgba[j+1], rgba[j+2]
	}
}

// convertYCbCr converts with the fixed-point formulas of libjpeg (jdcolor.c),
// R = Y + 1.402 (Cr−128) and so on, rounded in 16 bits: the standard library's
// differ by a level here and there.
func convertYCbCr(p *pixels, img *image.YCbCr) {
	const half = 1 << 15
	cbRow, crRow := make([]byte, p.w+1), make([]byte, p.w+1)
	for y := range p.h {
		luma := img.Y[img.YOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		chroma(cbRow, img, img.Cb, y)
		chroma(crRow, img, img.Cr, y)
		dst := p.row(y)
		for x := range p.w {
			l, cb, cr := int32(luma[x]), int32(cbRow[x])-128, int32(crRow[x])-128
			dst[3*x] = clamp(l + (91881*cr+half)>>16)
			dst[3*x+1] = clamp(l + (-22554*cb-46802*cr+half)>>16)
			dst[3*x+2] = clamp(l + (116130*cb+half)>>16)
		}
	}
}

// chroma writes row y of a chroma plane at full width to dst, which has room
// for one sample more. Planes of halved width (4:2:2), height (4:4:0) or both (4:2:0)
// are interpolated with libjpeg's triangular filter ("fancy upsampling", jdsample.c),
// as Pillow's JPEG reader does by default; others are repeated, and so are rows of
// at most two samples.
func chroma(dst []byte, img *image.YCbCr, plane []byte, y int) {
	r := img.Rect
	n := (r.Dx() + 1) / 2 // samples in a row of halved width
	ratio := img.SubsampleRatio
	if n <= 2 && ratio != image.YCbCrSubsampleRatio440 || r.Min.X%2 != 0 || r.Min.Y%2 != 0 {
		ratio = image.YCbCrSubsampleRatio444
	}
	row := func(y int) []byte { return plane[img.COffset(r.Min.X, r.Min.Y+y):] }
	// Each output row leans three to one on the nearer row of chroma; at the
	// first and last rows the farther one is the same again.
	near, far := row(y), row(2*min(max(y/2+2*(y%2)-1, 0), (r.Dy()+1)/2-1))
	switch ratio {
	case image.YCbCrSubsampleRatio440:
		for x := range r.Dx() {
			dst[x] = byte((3*int32(near[x]) + int32(far[x]) + 1 + int32(y%2)) >> 2)
		}
	case image.YCbCrSubsampleRatio422:
		at := func(i int) int32 { return int32(near[i]) }
		dst[0], dst[2*n-1] = near[0], near[n-1]
		for i := range n - 1 {
			dst[2*i+1] = byte((3*at(i) + at(i+1) + 2) >> 2)
			dst[2*i+2] = byte((3*at(i+1) + at(i) + 1) >> 2)
		}
	case image.YCbCrSubsampleRatio420:
		column := func(i int) int32 { return 3*int32(near[i]) + int32(far[i]) }
		dst[0], dst[2*n-1] = byte((4*column(0)+8)>>4), byte((4*column(n-1)+7)>>4)
		for i := range n - 1 {
			dst[2*i+1] = byte((3*column(i) + column(i+1) + 7) >> 4)
			dst[2*i+2] = byte((3*column(i+1) + column(i) + 8) >> 4)
		}
	default:
		for x := range r.Dx() {
			dst[x] = plane[img.COffset(r.Min.X+x, r.Min.Y+y)]
		}
	}
}

// clamp limits v to a byte.
func clamp(v int32) byte { return byte(min(max(v, 0), 255)) }
