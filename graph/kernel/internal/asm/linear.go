package main

import "github.com/mmcloughlin/avo/operand"

// linear writes the kernels that end a linear layer, which treat a tile of its product while that
// is in the cache. All have the same parameters; rows of y and of added lie pitch
// elements apart.
func (g *generator) linear() {
	same := func(v vector) vector { return v }
	for _, k := range []struct {
		name, doc string
		added     bool
		held      []float64
		f         func(vector) vector
	}{
		{"addBias", "computes y[r,:] += bias; added is not read.", false, nil, same},
		{"addBiasAnd", "computes y[r,:] = y[r,:] + bias + added[r,:].", true, nil, same},
		{"addBiasGELU", "computes y[r,:] = x·Φ(x) for x = y[r,:] + bias; added is not read.", false, heldByNormal, g.gelu},
		{"addBiasGELUTanh", "computes the tanh form of addBiasGELU.", false, expConstants, g.geluTanh},
	} {
		g.function(k.name, "(rows, d, pitch int, bias, added, y *float32)", k.doc)
		rows, pitch, bias, y := g.int("rows"), g.bytes("pitch"), g.pointer("bias"), g.pointer("y")
		pointers := []scalar{y}
		var added scalar
		if k.added {
			added = g.pointer("added")
			pointers = append(pointers, added)
		}
		d := g.int("d")
		g.hold(k.held...)
		end := func(p place, _ int) {
			v := p.load(y)
			g.VADDPS(p.load(bias), v, v)
			if k.added {
				g.VADDPS(p.load(added), v, v)
			}
			p.store(k.f(v), y)
		}
		// Most are full tiles, two vectors wide.
		other, done := g.label("other"), g.label("done")
		g.CMPQ(d, operand.Imm(uint64(2*g.lanes)))
		g.JNE(operand.LabelRef(other))
		g.eachRow(rows, pitch, pointers, func() {
			g.weave(2, func(i int) { end(place{g: g, offset: i * g.bytesPerVector()}, i) })
		})
		g.JMP(operand.LabelRef(done))
		g.Label(other)
		s := g.sweep(d, woven)
		g.eachRow(rows, pitch, pointers, func() { s.do(woven, end) })
		g.Label(done)
		g.return_()
	}
}
