package main

// elementwise writes the kernels that treat each element by itself.
func (g *generator) elementwise() {
	for _, k := range []struct {
		name, doc string
		f         func(vector) vector
	}{
		{"exp", "computes y = exp(x).", g.exp},
		{"erf", "computes y = erf(x).", g.erf},
		{"tanh", "computes y = tanh(x).", g.tanh},
		{"sigmoid", "computes y = 1/(1+exp(-x)).", g.sigmoid},
		{"gelu", "computes y = x·Φ(x).", g.gelu},
		{"geluTanh", "computes the tanh form of y = x·Φ(x).", g.geluTanh},
	} {
		g.function(k.name, "(n int, x, y *float32)", k.doc)
		s := g.sweep(g.int("n"), woven)
		x, y := g.pointer("x"), g.pointer("y")
		g.holdExp()
		s.do(woven, func(p place, _ int) { p.store(k.f(p.load(x)), y) })
		g.return_()
	}
	for _, k := range []struct {
		name, doc string
		vectors   int
		f         func(a, b vector) vector
	}{
		{"geluGrad", "computes y = b·(d/da a·Φ(a)).", woven, g.geluGrad},
		{"geluTanhGrad", "computes y = b·(d/da geluTanh(a)).", woven, g.geluTanhGrad},
		{"add", "computes y = a + b.", g.blockOf32(), func(a, b vector) vector { g.VADDPS(b, a, a); return a }},
		{"mul", "computes y = a·b.", g.blockOf32(), func(a, b vector) vector { g.VMULPS(b, a, a); return a }},
	} {
		g.function(k.name, "(n int, a, b, y *float32)", k.doc)
		s := g.sweep(g.int("n"), k.vectors)
		a, b, y := g.pointer("a"), g.pointer("b"), g.pointer("y")
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
