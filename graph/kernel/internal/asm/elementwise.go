package main

// elementwise writes the kernels that treat each element by itself.
func (g *generator) elementwise() {
	// held are constants as far as 16 registers have room for them.
	for _, k := range []struct {
		name, doc string
		held      []float64
		f         func(vector) vector
	}{
		{"exp", "computes y = exp(x).", expConstants, g.exp},
		{"erf", "computes y = erf(x).", expConstants[:2], g.erf},
		{"tanh", "computes y = tanh(x).", expConstants[:4], g.tanh},
		{"sigmoid", "computes y = 1/(1+exp(-x)).", expConstants, g.sigmoid},
		{"gelu", "computes y = x·Φ(x).", heldByNormal, g.gelu},
		{"geluTanh", "computes the tanh form of y = x·Φ(x).", expConstants, g.geluTanh},
	} {
		g.function(k.name, "(n int, x, y *float32)", k.doc)
		s := g.sweep(g.int("n"), woven)
		x, y := g.pointer("x"), g.pointer("y")
		g.hold(k.held...)
		s.do(woven, func(p place, _ int) { p.store(k.f(p.load(x)), y) })
		g.return_()
	}
	for _, k := range []struct {
		name, doc string
		vectors   int
		held      []float64
		f         func(a, b vector) vector
	}{
		{"geluGrad", "computes y = b·(d/da a·Φ(a)).", woven, nil, g.geluGrad},
		{"geluTanhGrad", "computes y = b·(d/da geluTanh(a)).", woven, nil, g.geluTanhGrad},
		{"add", "computes y = a + b.", g.blockOf32(), nil, func(a, b vector) vector { g.VADDPS(b, a, a); return a }},
		{"mul", "computes y = a·b.", g.blockOf32(), nil, func(a, b vector) vector { g.VMULPS(b, a, a); return a }},
	} {
		g.function(k.name, "(n int, a, b, y *float32)", k.doc)
		s := g.sweep(g.int("n"), k.vectors)
		a, b, y := g.pointer("a"), g.pointer("b"), g.pointer("y")
		g.hold(k.held...)
		s.do(woven, func(p place, _ int) { p.store(k.f(p.load(a), p.load(b)), y) })
		g.return_()
	}

	g.function("axpy", "(n int, alpha float32, x, y *float32)", "computes y = y + alpha·x.")
	s := g.sweep(g.int("n"), g.blockOf32())
	alpha, x, y := g.broadcast("alpha"), g.pointer("x"), g.pointer("y")
	s.do(1, func(p place, _ int) {
		v := p.load(y)
		g.VFMADD231PS(p.load(x), alpha, v)
		p.store(v, y)
	})
	g.return_()
}
