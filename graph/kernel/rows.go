package kernel

import "math"

// Softmax computes y[r,i] = exp(x[r,i]-max) / Σⱼ exp(x[r,j]-max) with max the largest
// of row r. x and y are [rows,d]; y may be x. A row of only -Inf gives NaN, as in ONNX
// Runtime and PyTorch.
func Softmax[T Float](c *Context, x, y []T, rows, d int) {
	need("Softmax", "x", len(x), rows*d)
	need("Softmax", "y", len(y), rows*d)
	x32, y32 := as32(x), as32(y)
	eachRows(c, grainTranscendental, rows, d, func(lo, hi int) {
		if c.vector != nil && x32 != nil {
			c.vector.softmax(hi-lo, d, &x32[lo*d], &y32[lo*d])
			return
		}
		for r := lo; r < hi; r++ {
			softmaxRow(x[r*d:(r+1)*d], y[r*d:(r+1)*d])
		}
	})
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
	y32, dy32, dx32 := as32(y), as32(dy), as32(dx)
	eachRows(c, grainArithmetic, rows, d, func(lo, hi int) {
		if c.vector != nil && y32 != nil {
			c.vector.softmaxGrad(hi-lo, d, &y32[lo*d], &dy32[lo*d], &dx32[lo*d])
			return
		}
		for r := lo; r < hi; r++ {
			yr, gr, or := y[r*d:(r+1)*d], dy[r*d:(r+1)*d], dx[r*d:(r+1)*d]
			var dot float64
			for i, v := range yr {
				dot += float64(v) * float64(gr[i])
			}
			for i, v := range yr {
				or[i] = T(float64(v) * (float64(gr[i]) - dot))
			}
		}
	})
}

// SumRows computes y[i] = Σᵣ x[r,i] for x [rows,d] and y [d], summing in float64 and in
// the order of the rows: the gradient of a bias. y must not overlap x.
func SumRows[T Float](c *Context, x, y []T, rows, d int) {
	need("SumRows", "x", len(x), rows*d)
	need("SumRows", "y", len(y), d)
	x32 := as32(x)
	columnSums(c, y[:d], func(lo, hi int, sum *[columnGroup]float64) {
		if c.vector != nil && x32 != nil && rows > 0 {
			c.vector.sumColumns(rows, d, hi-lo, &x32[lo], &sum[0])
			return
		}
		for r := range rows {
			for i, v := range x[r*d+lo : r*d+hi] {
				sum[i] += float64(v)
			}
		}
	})
}

// columnGroup is the number of columns that the kernels sum at a time.
const columnGroup = 16

// columnSums writes to y what f adds up for each of its elements, a group at a time. f finds
// the sums zero.
func columnSums[T Float](c *Context, y []T, f func(lo, hi int, sum *[columnGroup]float64)) {
	c.Parallel(len(y), columnGroup, func(lo, hi int) {
		var sum [columnGroup]float64
		f(lo, hi, &sum)
		for i := range y[lo:hi] {
			y[lo+i] = T(sum[i])
		}
	})
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
