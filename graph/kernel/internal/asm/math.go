package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
)

// The reduction of the argument of exp: with n the integer nearest to v/ln 2, exp(v) =
// 2ⁿ·exp(r), |r| <= ½ ln 2.
const (
	// Adding 1.5·2²³ rounds to an integer and leaves it in the low bits.
	rounder     = 3 << 22
	rounderBits = 0x4b400000
	// ln 2 in two parts: the first is ln 2 rounded to float32.
	ln2High = float64(float32(math.Ln2))
	ln2Low  = math.Ln2 - ln2High
	// A float32 is 1 with the exponent n if its bits are these plus n shifted to there.
	oneBits       = 0x3f800000
	exponentShift = operand.U8(23)
)

// expConstants are the constants of reduceExp, and of all that is built on it, that are worth
// holding in registers, the most used first.
var expConstants = []float64{1, rounder, math.Log2E, -ln2High, -ln2Low}

// reduceExp returns exp(r) = 1 + r + r²·q(r), q minimax (relative error 3.3e-9), and
// n + rounder; v is overwritten.
func (g *generator) reduceExp(v vector) (e, n vector) {
	n = g.startingAt(rounder)
	g.addProductConstant(math.Log2E, v, n)
	whole := g.vector()
	g.VSUBPS(g.constant(rounder), n, whole)
	g.addProductConstant(-ln2High, whole, v)
	g.addProductConstant(-ln2Low, whole, v)
	e = g.startingAt(0.001381314457)
	for _, c := range []float64{0.008369418832, 0.04166845679, 0.1666651479, 0.4999999305, 1, 1} {
		g.fmaConstant(c, v, e)
	}
	return e, n
}

// exp returns exp(v); v is overwritten. 2ⁿ is applied as two factors, so that results go
// through the denormal numbers to 0 and through the largest number to +Inf, as they should.
func (g *generator) exp(v vector) vector {
	g.clamp(-105, 89.5, v)
	e, n := g.reduceExp(v)
	g.addConstantBits(-rounderBits&0xffffffff, n)
	half := g.vector()
	g.VPSRAD(operand.Imm(1), n, half)
	g.VPSUBD(half, n, n)
	for _, exponent := range []vector{half, n} {
		g.VPSLLD(exponentShift, exponent, exponent)
		g.addConstantBits(oneBits, exponent)
		g.VMULPS(exponent, e, e)
	}
	return e
}

// expCoarse returns exp(v), but 0 below exp(-87.7) and +Inf above exp(88.4): enough where
// that is added to 1 or to other exponentials. v is overwritten.
func (g *generator) expCoarse(v vector) vector { return g.expBetween(-88, 88.8, v) }

// expSmall is expCoarse for v <= 0 or NaN.
func (g *generator) expSmall(v vector) vector { return g.expBetween(-88, math.Inf(1), v) }

// expBetween returns exp of v clamped. At n = -127 the bits of 2ⁿ are those of 0, at 128 of +Inf.
func (g *generator) expBetween(lo, hi float64, v vector) vector {
	g.clamp(lo, hi, v)
	e, n := g.reduceExp(v)
	g.VPSLLD(exponentShift, n, n) // leaves nothing of the rounder
	g.addConstantBits(oneBits, n)
	g.VMULPS(n, e, e)
	return e
}

// erfc returns erfc(a) for a >= 0, given e = exp(-a²), as e·t·P(t) with t = 1/(1+0.3a):
// the form of Abramowitz and Stegun 7.1.26, with P minimax of degree 8 (relative error
// 2e-8). a is overwritten.
func (g *generator) erfc(a, e vector) vector {
	one := g.constant(1)
	t := g.vector()
	g.fmaConstant(1, g.constant(0.3), a)
	g.VDIVPS(a, one, t)
	p := g.startingAt(-0.129522744)
	for _, c := range []float64{
		0.4855624341, -0.5122764976, 0.5477182242, -0.09464949113,
		0.214925538, 0.1483393018, 0.1707152087, 0.1691880063,
	} {
		g.fmaConstant(c, t, p)
	}
	g.VMULPS(t, p, p)
	g.VMULPS(e, p, p)
	return p
}

// polynomial returns a polynomial of x, given its coefficients, the highest power first. Odd and even
// powers apart make a chain half as long as Horner's rule, and the CPU sees more of them at once.
func (g *generator) polynomial(coefficients []float64, x vector) vector {
	square := g.vector()
	g.VMULPS(x, x, square)
	var sums [2]vector
	for i, c := range coefficients {
		if i < len(sums) {
			sums[i] = g.startingAt(c)
		} else {
			g.fmaConstant(c, square, sums[i%2])
		}
	}
	odd, even := sums[len(coefficients)%2], sums[(len(coefficients)+1)%2]
	g.VFMADD213PS(even, x, odd)
	return odd
}

var (
	// exp2Constants are 2ʳ for |r| <= ½: minimax (relative error 2e-9).
	exp2Constants = []float64{0.0001535336258, 0.001339887489, 0.009618437359, 0.0555033247, 0.2402264791, 0.6931472029, 1}

	// normalConstants are (1 + log₂Φ(-a))/a for a >= 0: minimax, so that Φ(-a) has a relative error of
	// 8e-9 or a·Φ(-a) an absolute one of 6e-11 up to 6.3, and falls to 0 from there on.
	normalConstants = []float64{
		-4.446951252e-08, 1.165263143e-06, -1.341673214e-05, 8.670835814e-05, -0.0003036056587,
		3.058381481e-05, 0.006927992217, -0.05243811384, -0.4592195451, -1.15110445,
	}

	// hazardConstants are φ(a)/Φ(-a), the hazard rate of the normal distribution: minimax, so that
	// a·φ(a) has an absolute error of 1e-9.
	hazardConstants = []float64{
		3.839519205e-07, -8.560980892e-06, 8.352910183e-05, -0.0004554172606, 0.001339619535,
		-0.0002069728773, -0.01913269741, 0.1090123782, 0.6366183511, 0.797884663,
	}
)

// Beyond normalEnd Φ(-a) is taken for 2⁻¹²⁷ or less: 0, as far as float32 counts here.
const normalEnd = 10.5765

// heldByNormal are the constants of normal that are worth holding in registers, the most used first.
var heldByNormal = []float64{1, rounder - 1, normalEnd}

// normal returns Φ(x), the normal distribution function, and a = |x| at most normalEnd with Φ(-a).
// x is left as it is.
func (g *generator) normal(x vector) (phi, a, tail vector) {
	a = g.vector()
	g.and(magnitude, x, a)
	g.clamp(math.Inf(-1), normalEnd, a)
	// log₂Φ(-a) = n + r, without rounding the product of which it is the sum with -1.
	r := g.polynomial(normalConstants, a)
	n, minusWhole := g.startingAt(rounder-1), g.vector()
	g.VFMADD231PS(a, r, n)
	g.VSUBPS(n, g.constant(rounder-1), minusWhole)
	g.VFMADD213PS(minusWhole, a, r)
	tail = g.polynomial(exp2Constants, r)
	g.VPSLLD(exponentShift, n, n) // leaves nothing of the rounder
	g.addConstantBits(oneBits, n)
	g.VMULPS(n, tail, tail)
	phi = g.vector()
	g.VSUBPS(tail, g.constant(1), phi)
	g.selectLess(x, 0, tail, phi, phi)
	return phi, a, tail
}

// gelu returns x·Φ(x).
func (g *generator) gelu(x vector) vector {
	phi, _, _ := g.normal(x)
	g.VMULPS(x, phi, phi)
	return phi
}

// geluGrad returns dy·(Φ(x) + x·φ(x)).
func (g *generator) geluGrad(x, dy vector) vector {
	phi, a, tail := g.normal(x)
	density := g.polynomial(hazardConstants, a)
	g.VMULPS(tail, density, density)
	g.VFMADD231PS(x, density, phi)
	g.VMULPS(dy, phi, phi)
	return phi
}

// erf returns erf(x): x·P(x²) for |x| < 0.75 with P minimax (relative error 1.4e-9), and
// ±(1 - erfc(|x|)) beyond.
func (g *generator) erf(x vector) vector {
	a, square := g.vector(), g.vector()
	g.and(magnitude, x, a)
	g.VMULPS(x, x, square)
	small := g.startingAt(-0.0006749513756)
	for _, c := range []float64{0.005114345622, -0.0268346246, 0.1128337657, -0.3761261876, 1.128379165} {
		g.fmaConstant(c, square, small)
	}
	g.VMULPS(x, small, small)
	g.mulConstant(-1, square, square)
	big := g.erfc(g.duplicate(a), g.expSmall(square))
	g.VSUBPS(big, g.constant(1), big)
	return g.oddBySize(x, a, 0.75, small, big)
}

// tanh returns tanh(x): x + x³·P(x²) for |x| < 0.625 with P minimax (relative error 4.4e-9),
// and ±(1 - 2e/(1+e)) with e = exp(-2|x|) beyond.
func (g *generator) tanh(x vector) vector {
	a, square := g.vector(), g.vector()
	g.and(magnitude, x, a)
	g.VMULPS(x, x, square)
	small := g.startingAt(-0.005704986547)
	for _, c := range []float64{0.02063908678, -0.05373971492, 0.133314422, -0.3333328194} {
		g.fmaConstant(c, square, small)
	}
	g.VMULPS(square, small, small)
	g.VFMADD213PS(x, x, small)
	z := g.vector()
	g.mulConstant(-2, a, z)
	e := g.expSmall(z)
	d := g.duplicate(e)
	g.addConstant(1, d)
	g.VDIVPS(d, e, e)
	g.mulConstant(-2, e, e)
	g.addConstant(1, e)
	return g.oddBySize(x, a, 0.625, small, e)
}

// oddBySize returns small where |x| = a < limit, else big with the sign of x.
func (g *generator) oddBySize(x, a vector, limit float64, small, big vector) vector {
	sign := g.vector()
	g.and(signBit, x, sign)
	g.or(sign, big, big)
	g.selectLess(a, limit, small, big, big)
	return big
}

// sigmoid returns 1/(1 + exp(-x)). x is overwritten.
func (g *generator) sigmoid(x vector) vector {
	g.mulConstant(-1, x, x)
	e := g.expCoarse(x)
	g.addConstant(1, e)
	g.VDIVPS(e, g.constant(1), e)
	return e
}

// The tanh form of GELU is x·σ(w) with w = 2√(2/π)·(x + 0.044715x³) = x·(geluLinear + geluCubic·x²).
var (
	geluLinear = 2 * math.Sqrt(2/math.Pi)
	geluCubic  = 0.044715 * geluLinear
)

// geluTanh returns x·σ(w).
func (g *generator) geluTanh(x vector) vector {
	w := g.vector()
	g.VMULPS(x, x, w)
	g.mulConstant(geluCubic, w, w)
	g.addConstant(geluLinear, w)
	g.VMULPS(x, w, w)
	s := g.sigmoid(w)
	g.VMULPS(x, s, s)
	return s
}

// geluTanhGrad returns dy·(σ(w) + x·w′·σ(w)·σ(-w)). From e = exp(-|w|), σ(w) is 1/(1+e) or
// e/(1+e), and σ(w)·σ(-w) = e/(1+e)²: no difference of close numbers. x is clamped where the
// derivative is 0 or 1 already, before w′ could overflow.
func (g *generator) geluTanhGrad(x, dy vector) vector {
	g.clamp(-32, 32, x)
	square := g.vector()
	g.VMULPS(x, x, square)
	w := g.duplicate(square)
	g.mulConstant(geluCubic, w, w)
	g.addConstant(geluLinear, w)
	g.VMULPS(x, w, w)
	negative := g.duplicate(w)
	g.and(magnitude, w, w)
	g.mulConstant(-1, w, w)
	e := g.expSmall(w)
	d := g.duplicate(e)
	g.addConstant(1, d)
	upper := g.vector()
	g.VDIVPS(d, g.constant(1), upper)
	g.VMULPS(upper, e, e) // e/(1+e): the smaller of σ(w) and σ(-w)
	product := g.vector()
	g.VMULPS(upper, e, product)
	g.selectLess(negative, 0, e, upper, upper)
	g.mulConstant(3*geluCubic, square, square)
	g.addConstant(geluLinear, square)
	g.VMULPS(x, square, square)
	g.VFMADD231PS(product, square, upper)
	g.VMULPS(dy, upper, upper)
	return upper
}
