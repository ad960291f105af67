package kernel

import "math"

// Softmax computes y[r,i] = exp(x[r,i]-max) / Σⱼ exp(x[r,j]-max) with max the largest
// of row r. x and y are [rows,d]; y may be x. A row of only -Inf gives NaN, as in ONNX
// Runtime and PyTorch.
func Softmax[T Float](c *Context, x, y []T, rows, d int) {
	need("Softmax", "x", len(x), rows*d)
	need("Softmax", "y", len(y), rows*d)
	runRows(c, grainTranscendental, rows, d, softmaxTask[T]{x, y, d})
}

type softmaxTask[T Float] struct {
	x, y []T
	d    int
}

func (t *softmaxTask[T]) Chunk(c *Context, lo, hi int) {
	d := t.d
	if x := as32(t.x); c.vector != nil && x != nil {
		c.vector.softmax(hi-lo, d, &x[lo*d], &as32(t.y)[lo*d])
		return
	}
	for r := lo; r < hi; r++ {
		softmaxRow(t.x[r*d:(r+1)*d], t.y[r*d:(r+1)*d])
	}
}

func softmaxRow[T Float](x, y []T) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(v) - top)
		y[i] = T(e)
		sum += e
	}
	for i := range y {
		y[i] = T(float64(y[i]) / sum)
	}
}

// SoftmaxGrad computes dx[r,:] = y[r,:]·(dy[r,:] - ⟨y[r,:],dy[r,:]⟩) from the result y
// of Softmax. All are [rows,d]; dx may be dy or y.
func SoftmaxGrad[T Float](c *Context, y, dy, dx []T, rows, d int) {
	need("SoftmaxGrad", "y", len(y), rows*d)
	need("SoftmaxGrad", "dy", len(dy), rows*d)
	need("SoftmaxGrad", "dx", len(dx), rows*d)
	runRows(c, grainArithmetic, rows, d, softmaxGradTask[T]{y, dy, dx, d})
}

type softmaxGradTask[T Float] struct {
	y, dy, dx []T
	d         int
}

func (t *softmaxGradTask[T]) Chunk(c *Context, lo, hi int) {
	d := t.d
	if y := as32(t.y); c.vector != nil && y != nil {
		c.vector.softmaxGrad(hi-lo, d, &y[lo*d], &as32(t.dy)[lo*d], &as32(t.dx)[lo*d])
		return
	}
	for r := lo; r < hi; r++ {
		y, dy, dx := t.y[r*d:(r+1)*d], t.dy[r*d:(r+1)*d], t.dx[r*d:(r+1)*d]
		var dot float64
		for i, v := range y {
			dot += float64(v) * float64(dy[i])
		}
		for i, v := range y {
			dx[i] = T(float64(v) * (float64(dy[i]) - dot))
		}
	}
}

// SumRows computes y[i] = Σᵣ x[r,i] for x [rows,d] and y [d], summing in float64 and in
// the order of the rows: the gradient of a bias. y must not overlap x.
func SumRows[T Float](c *Context, x, y []T, rows, d int) {
	need("SumRows", "x", len(x), rows*d)
	need("SumRows", "y", len(y), d)
	Run(c, d, columnGroup, sumRowsTask[T]{x, y, rows, d})
}

// columnGroup is the number of columns that the kernels sum at a time.
const columnGroup = 16

type sumRowsTask[T Float] struct {
	x, y    []T
	rows, d int
}

func (t *sumRowsTask[T]) Chunk(c *Context, lo, hi int) {
	sums := Scratch[float64](c, columnGroup)
	defer Release(c, sums)
	clear(sums)
	if x := as32(t.x); c.vector != nil && x != nil && t.rows > 0 {
		c.vector.sumColumns(t.rows, t.d, hi-lo, &x[lo], &sums[0])
	} else {
		for r := range t.rows {
			for i, v := range t.x[r*t.d+lo : r*t.d+hi] {
				sums[i] += float64(v)
			}
		}
	}
	round(sums, t.y[lo:hi])
}

// round writes the first of the sums to y.
func round[T Float](sums []float64, y []T) {
	for i := range y {
		y[i] = T(sums[i])
	}
}

// Dot returns Σ x[i]·y[i], summed in float64 in 16 interleaved lanes: the same bits for
// every variant. y is at least as long as x.
func Dot[T Float](x, y []T) float64 {
	need("Dot", "y", len(y), len(x))
	if x32 := as32(x); len(x32) > 0 {
		if best != nil {
			return best.dot(len(x32), &x32[0], &as32(y)[0])
		}
	}
	return dotPlain(x, y)
}

func dotPlain[T Float](x, y []T) float64 {
	var lane [16]float64
	for i, v := range x {
		lane[i%16] += float64(v) * float64(y[i])
	}
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			lane[i] += lane[i+n]
		}
	}
	return lane[0]
}

// Norm returns the Euclidean norm of x, summed like Dot.
func Norm[T Float](x []T) float64 { return math.Sqrt(Dot(x, x)) }
