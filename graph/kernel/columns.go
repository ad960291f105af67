package kernel

import "math"

// SoftmaxColumns computes x[i,j] = exp(x[i,j]-max) / Σₖ exp(x[k,j]-max), max the largest of
// column j. x is [rows,cols], its rows pitch elements apart. It runs on the calling goroutine:
// the scores of an attention, keys by queries, are many small matrices. A column's result does
// not depend on the others. Infinities are as in [Softmax].
func SoftmaxColumns[T Float](c *Context, x []T, rows, cols, pitch int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	checkColumns("SoftmaxColumns", "x", x, rows, cols, pitch)
	if x32 := as32(x); c.vector != nil && x32 != nil {
		c.vector.softmaxColumns(rows, cols, pitch, &x32[0])
		return
	}
	for j := range cols {
		top := math.Inf(-1)
		for i := range rows {
			top = max(top, float64(x[i*pitch+j]))
		}
		var sum float64
		for i := range rows {
			e := math.Exp(float64(x[i*pitch+j]) - top)
			x[i*pitch+j] = T(e)
			sum += e
		}
		for i := range rows {
			x[i*pitch+j] = T(float64(x[i*pitch+j]) / sum)
		}
	}
}

// SoftmaxColumnsGrad computes dx[i,j] = y[i,j]·(dx[i,j] - Σₖ y[k,j]·dx[k,j]) from the result y of
// SoftmaxColumns and, in dx, its cotangent, both [rows,cols] with rows pitch elements apart. It
// runs on the calling goroutine.
func SoftmaxColumnsGrad[T Float](c *Context, y, dx []T, rows, cols, pitch int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	checkColumns("SoftmaxColumnsGrad", "y", y, rows, cols, pitch)
	checkColumns("SoftmaxColumnsGrad", "dx", dx, rows, cols, pitch)
	if y32, dx32 := as32(y), as32(dx); c.vector != nil && y32 != nil {
		c.vector.softmaxColumnsGrad(rows, cols, pitch, &y32[0], &dx32[0])
		return
	}
	for j := range cols {
		var dot float64
		for i := range rows {
			dot += float64(y[i*pitch+j]) * float64(dx[i*pitch+j])
		}
		for i := range rows {
			dx[i*pitch+j] = T(float64(y[i*pitch+j]) * (float64(dx[i*pitch+j]) - dot))
		}
	}
}

func checkColumns[T Float](kernel, operand string, x []T, rows, cols, pitch int) {
	if pitch < cols {
		need(kernel, "a row of "+operand, pitch, cols)
	}
	need(kernel, operand, len(x), (rows-1)*pitch+cols)
}
