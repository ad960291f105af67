package main

// piecewise writes the elementwise kernels of functions of straight pieces.
func (g *generator) piecewise() {
	g.function("clamp", "(n int, a, b, lo, hi float32, x, y *float32)", "computes y = min(hi, max(lo, a·x + b)).")
	s := g.sweep(g.int("n"), g.blockOf32())
	a, b, lo, hi := g.broadcast("a"), g.broadcast("b"), g.broadcast("lo"), g.broadcast("hi")
	x, y := g.pointer("x"), g.pointer("y")
	s.do(1, func(p place, _ int) {
		v := p.load(x)
		g.VFMADD213PS(b, a, v)
		g.VMAXPS(v, lo, v) // in this order NaN stays NaN
		g.VMINPS(v, hi, v)
		p.store(v, y)
	})
	g.return_()

	g.function("leak", "(n int, alpha float32, x, y *float32)", "computes y = max(x, 0) + alpha·min(x, 0).")
	s = g.sweep(g.int("n"), g.blockOf32())
	alpha := g.broadcast("alpha")
	zero := g.zeros(1)[0]
	x, y = g.pointer("x"), g.pointer("y")
	s.do(1, func(p place, _ int) {
		v, negative := p.load(x), g.vector()
		g.VMINPS(v, zero, negative)
		g.VMAXPS(v, zero, v)
		g.VFMADD231PS(alpha, negative, v)
		p.store(v, y)
	})
	g.return_()

	g.function("gate", "(n int, slope, lo, hi float32, x, dy, dx *float32)", "computes dx = slope·dy, but 0 where x <= lo or x >= hi.")
	s = g.sweep(g.int("n"), g.blockOf32())
	slope := g.broadcast("slope")
	lo, hi = g.broadcast("lo"), g.broadcast("hi")
	x, dy, dx := g.pointer("x"), g.pointer("dy"), g.pointer("dx")
	s.do(1, func(p place, _ int) {
		v, d := p.load(x), p.load(dy)
		g.VMULPS(slope, d, d)
		g.clearBeyond(lo, hi, v, d)
		p.store(d, dx)
	})
	g.return_()
}
