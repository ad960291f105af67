package main

// linear writes the kernels that end a linear layer, which treat a tile of its product while that
// is in the first-level cache. All have the same parameters; rows of y and of added lie pitch
// elements apart.
func (g *generator) linear() {
	same := func(v vector) vector { return v }
	for _, k := range []struct {
		name, doc string
		added     bool
		chains    int
		held      []float64
		f         func(vector) vector
	}{
		{"addBias", "computes y[r,:] += bias; added is not read.", false, 1, nil, same},
		{"addBiasAnd", "computes y[r,:] = y[r,:] + bias + added[r,:].", true, 1, nil, same},
		{"addBiasGELU", "computes y[r,:] = x·Φ(x) for x = y[r,:] + bias; added is not read.", false, woven, normalConstants, g.gelu},
		{"addBiasGELUTanh", "computes the tanh form of addBiasGELU.", false, woven, expConstants, g.geluTanh},
	} {
		g.function(k.name, "(rows, d, pitch int, bias, added, y *float32)", k.doc)
		rows, pitch, bias, y := g.int("rows"), g.bytes("pitch"), g.pointer("bias"), g.pointer("y")
		pointers := []scalar{y}
		var added scalar
		if k.added {
			added = g.pointer("added")
			pointers = append(pointers, added)
		}
		s := g.sweep(g.int("d"), woven)
		g.hold(k.held...)
		g.eachRow(rows, pitch, pointers, func() {
			s.do(k.chains, func(p place, _ int) {
				v := p.load(y)
				g.VADDPS(p.load(bias), v, v)
				if k.added {
					g.VADDPS(p.load(added), v, v)
				}
				p.store(k.f(v), y)
			})
		})
		g.return_()
	}
}
