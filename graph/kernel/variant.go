package kernel

import "fmt"

// Variant names a set of micro-kernels.
type Variant int

// The variants. AVX2, AVX512 and NEON give the same bits; Plain may differ from them in the
// last places, because it has no fused multiply-add of its own.
const (
	Plain  Variant = iota // Go only, any CPU
	AVX2                  // 256-bit vectors; needs AVX2, FMA and BMI2
	AVX512                // 512-bit vectors; needs AVX-512 F and VL
	NEON                  // 128-bit vectors; any arm64
)

// String returns the name of the variant.
func (v Variant) String() string {
	switch v {
	case Plain:
		return "plain"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	case NEON:
		return "neon"
	}
	return fmt.Sprintf("Variant(%d)", int(v))
}

// Variants returns the variants that this CPU can run, slowest first; Plain is always
// among them.
func Variants() []Variant {
	vs := []Variant{Plain}
	for _, v := range []Variant{AVX2, AVX512, NEON} {
		if _, ok := vectorKernelsFor(v); ok {
			vs = append(vs, v)
		}
	}
	return vs
}

// Best returns the fastest variant that this CPU can run.
func Best() Variant {
	vs := Variants()
	return vs[len(vs)-1]
}

// best is the kernels of Best, nil if that is Plain: those of the functions without a Context.
var best, _ = vectorKernelsFor(Best())
