package onnx

import "math"

// WidenFloat16 returns the value of an IEEE 754 binary16 number. Every value is
// exactly representable; the payload of a NaN is kept.
func WidenFloat16(bits uint16) float32 {
	sign := uint32(bits&0x8000) << 16
	exponent := uint32(bits >> 10 & 0x1f)
	fraction := uint32(bits & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction · 2⁻²⁴
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1f: // infinity or NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// NarrowFloat16 rounds x to the nearest binary16 number, ties to even. overflow
// says that a finite x lies beyond the largest one, 65504, by half a unit or
// more; bits is then an infinity. A NaN stays a (quiet) NaN.
func NarrowFloat16(x float32) (bits uint16, overflow bool) {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 | uint16(b>>13&0x3ff), false
	case b == 0x7f800000:
		return sign | 0x7c00, false
	case b < 0x38800000: // below 2⁻¹⁴, the smallest normal number: units of 2⁻²⁴
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*0x1p24)), false
	}
	// Rounding up may carry into the exponent, which is what it should do.
	h := roundBits(b-(127-15)<<23, 13)
	if h >= 0x7c00 {
		return sign | 0x7c00, true
	}
	return sign | uint16(h), false
}

// WidenBFloat16 returns the value of a bfloat16 number: the upper half of a
// binary32 number.
func WidenBFloat16(bits uint16) float32 { return math.Float32frombits(uint32(bits) << 16) }

// NarrowBFloat16 rounds x to the nearest bfloat16 number, ties to even.
// overflow says that a finite x became an infinity. A NaN stays a (quiet) NaN.
func NarrowBFloat16(x float32) (bits uint16, overflow bool) {
	b := math.Float32bits(x)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40, false
	}
	h := uint16(roundBits(b, 16))
	return h, h&0x7fff == 0x7f80 && b&0x7fffffff != 0x7f800000
}

// roundBits drops the low n bits of b, to nearest, ties to even.
func roundBits(b uint32, n uint) uint32 {
	half := uint32(1) << (n - 1)
	odd := b >> n & 1
	return (b + half - 1 + odd) >> n
}
