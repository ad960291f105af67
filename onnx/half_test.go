package onnx_test

import (
	"math"
	"testing"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// halfFormat describes a 16-bit format, to test both with the same code.
type halfFormat struct {
	name     string
	fraction uint // bits
	bias     int
	widen    func(uint16) float32
	narrow   func(float32) (uint16, bool)
}

var halfFormats = []halfFormat{
	{"float16", 10, 15, onnx.WidenFloat16, onnx.NarrowFloat16},
	{"bfloat16", 7, 127, onnx.WidenBFloat16, onnx.NarrowBFloat16},
}

// value is the definition: (-1)^s · 2^(e-bias) · 1.f, or 2^(1-bias) · 0.f.
func (h halfFormat) value(bits uint16) float64 {
	exponentBits := 15 - h.fraction
	e := int(bits >> h.fraction & (1<<exponentBits - 1))
	f := float64(bits&(1<<h.fraction-1)) / float64(int(1)<<h.fraction)
	sign := 1 - 2*float64(bits>>15)
	switch {
	case e == 1<<exponentBits-1 && f != 0:
		return math.NaN()
	case e == 1<<exponentBits-1:
		return sign * math.Inf(1)
	case e == 0:
		return sign * math.Ldexp(f, 1-h.bias)
	}
	return sign * math.Ldexp(1+f, e-h.bias)
}

func TestHalfAllPatterns(t *testing.T) {
	for _, h := range halfFormats {
		for i := range 1 << 16 {
			bits := uint16(i)
			want, got := h.value(bits), float64(h.widen(bits))
			back, overflow := h.narrow(h.widen(bits))
			if math.IsNaN(want) {
				if !math.IsNaN(got) || !math.IsNaN(h.value(back)) || overflow {
					t.Fatalf("%s %#04x: NaN widens to %v and narrows to %#04x", h.name, bits, got, back)
				}
				continue
			}
			if got != want || math.Signbit(got) != math.Signbit(want) {
				t.Fatalf("%s %#04x widens to %v, expected %v", h.name, bits, got, want)
			}
			if back != bits || overflow {
				t.Fatalf("%s %#04x narrows back to %#04x, overflow %v", h.name, bits, back, overflow)
			}
		}
	}
}

// TestHalfRounding looks at the points where rounding decides: halfway between
// each two neighbours, and the float32 numbers next to it.
func TestHalfRounding(t *testing.T) {
	for _, h := range halfFormats {
		infinity := uint16((1<<(15-h.fraction) - 1) << h.fraction)
		for low := range infinity {
			high := low + 1
			upper := h.value(high)
			if high == infinity { // as if the exponent had no end
				upper = 2*h.value(low) - h.value(low-1)
			}
			middle := float32((h.value(low) + upper) / 2) // exact: one more bit
			even := low + low&1
			for _, c := range []struct {
				x    float32
				want uint16
			}{
				{math.Nextafter32(middle, 0), low}, {middle, even}, {math.Nextafter32(middle, float32(math.Inf(1))), high},
			} {
				if math.IsInf(float64(c.x), 0) {
					continue
				}
				for sign := range uint16(2) {
					x := c.x * (1 - 2*float32(sign))
					got, overflow := h.narrow(x)
					if want := c.want | sign<<15; got != want || overflow != (c.want == infinity) {
						t.Fatalf("%s: %v narrows to %#04x, overflow %v; expected %#04x", h.name, x, got, overflow, want)
					}
				}
			}
		}
		if bits, overflow := h.narrow(float32(math.Inf(-1))); bits != infinity|0x8000 || overflow {
			t.Errorf("%s: -Inf narrows to %#04x, overflow %v", h.name, bits, overflow)
		}
	}
}
