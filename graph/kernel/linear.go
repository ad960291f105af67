package kernel

// Activation is what a linear layer may end with.
type Activation uint8

// The activations: see [GELU] and [GELUTanh].
const (
	NoActivation Activation = iota
	GELUActivation
	GELUTanhActivation
)

// LinearEnding is what [Linear] does with each element s of its product, of column j, while it is
// in the cache:
//
//	y = Then(s + Bias[j]) + Added
//
// Bias and Added may be nil. Added has the shape of y and does not overlap it; a Then goes
// without Added.
type LinearEnding[T Float] struct {
	Bias, Added []T
	Then        Activation
}

// Linear computes y = x·op(w), and then what the ending says, with the bits of one after the
// other. x is [rows,features] and y [rows,width]. op transposes if transW is set: w is
// [features,width] or, with transW, [width,features]. y must not overlap the others.
func Linear[T Float](c *Context, transW bool, rows, width, features int, x, w []T, e LinearEnding[T], y []T) {
	e.check(rows, width)
	ldw := width
	if transW {
		ldw = features
	}
	checkGemm(false, transW, rows, width, features, len(x), features, len(w), ldw, len(y), width)
	y32 := as32(y)
	if rows == 0 || width == 0 {
		return
	}
	if c.vector == nil || y32 == nil || e.Bias == nil {
		Gemm(c, false, transW, rows, width, features, 1, x, features, w, ldw, 0, y, width)
		e.apply(c, y, rows, width)
		return
	}
	p := product{
		gemmKernels: &c.vector.gemm,
		transB:      transW, m: rows, n: width, k: features,
		alpha: 1, a: as32(x), lda: features, b: as32(w), ldb: ldw, out: y32, ldc: width,
		ending: tileEnding{c.vector.linear.of(e.Then, e.Added != nil), as32(e.Bias), as32(e.Added)},
	}
	p.compute(c)
}

// check panics unless an ending fits a layer.
func (e *LinearEnding[T]) check(rows, width int) {
	if e.Bias != nil {
		need("Linear", "the bias", len(e.Bias), width)
	}
	if e.Added != nil {
		need("Linear", "what is added", len(e.Added), rows*width)
		if e.Then != NoActivation {
			panic("kernel: Linear: an activation with an addition")
		}
	}
}

// apply computes the ending of a whole product.
func (e *LinearEnding[T]) apply(c *Context, y []T, rows, width int) {
	if e.Bias != nil {
		AddRow(c, y, e.Bias, y, rows, width)
	}
	y = y[:rows*width]
	switch e.Then {
	case GELUActivation:
		GELU(c, y, y)
	case GELUTanhActivation:
		GELUTanh(c, y, y)
	}
	if e.Added != nil {
		Add(c, y, e.Added[:len(y)], y)
	}
}

// A linearKernel ends rows of a linear layer, pitch elements apart.
type linearKernel func(rows, d, pitch int, bias, added, y *float32)

type linearKernels struct{ addBias, addBiasAnd, addBiasGELU, addBiasGELUTanh linearKernel }

func (k *linearKernels) of(then Activation, added bool) linearKernel {
	switch {
	case then == GELUActivation:
		return k.addBiasGELU
	case then == GELUTanhActivation:
		return k.addBiasGELUTanh
	case added:
		return k.addBiasAnd
	}
	return k.addBias
}

// tileEnding is what is done with a tile of a product when it is complete: nothing without kernel.
type tileEnding struct {
	kernel      linearKernel
	bias, added []float32
}

// apply ends rows x columns elements of y, the first in row i and column j, pitch elements a row.
func (e *tileEnding) apply(y []float32, i, j, rows, columns, pitch int) {
	if e.kernel == nil {
		return
	}
	at := i*pitch + j
	var added *float32
	if e.added != nil {
		added = &e.added[at]
	}
	e.kernel(rows, columns, pitch, &e.bias[j], added, &y[at])
}
