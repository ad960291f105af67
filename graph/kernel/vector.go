package kernel

//go:generate go run ./internal/asm

// vectorKernels are the float32 kernels of one vector width. Their pointers are to the first
// elements of slices whose lengths the caller has checked; lengths and strides are in
// elements. What each computes is said at its declaration, in the generated files
// *_stub_amd64.go and *_stub_arm64.go.
type vectorKernels struct {
	gemm   gemmKernels
	conv   convolutionKernels
	linear linearKernels

	unary  [unaryCount]func(n int, x, y *float32)
	binary [binaryCount]func(n int, a, b, y *float32)
	clamp  func(n int, a, b, lo, hi float32, x, y *float32)
	leak   func(n int, alpha float32, x, y *float32)
	gate   func(n int, slope, lo, hi float32, x, dy, dx *float32)
	sum    func(n int, x *float32) float64
	axpy   func(n int, alpha float32, x, y *float32)
	addRow func(rows, d int, x, row, y *float32)
	mulRow func(rows, d int, x, row, y *float32)

	softmax     func(rows, d int, x, y *float32)
	softmaxGrad func(rows, d int, y, dy, dx *float32)

	softmaxColumns     func(rows, cols, pitch int, x *float32)
	softmaxColumnsGrad func(rows, cols, pitch int, y, dx *float32)

	moments          func(rows, d int, x *float32, weight, inverse, eps float32, stats *float32)
	normalize        func(rows, d int, x, stats, scale, bias, y *float32)
	normalizeGrad    func(rows, d int, x, stats, scale, dy, dx *float32, meanWeight, dotWeight float32)
	sumColumns       func(rows, stride, cols int, x *float32, sum *float64)
	sumScaledColumns func(rows, stride, cols int, x, stats, dy *float32, sum *float64)
	dot              func(n int, x, y *float32) float64
}

// gemmKernels are the parts of a blocked matrix product.
type gemmKernels struct {
	lanes        int           // float32 per vector; a tile is two vectors wide
	full         microKernel   // for full tiles of as many rows as wide has kernels
	wide, narrow []microKernel // for tiles of index+1 rows, more than one vector wide or not
	packNarrow   packKernel    // copies rows of at most one vector
	packWide     packKernel    // copies rows of more than one and at most two vectors
	packAcross   packKernel    // transposes at most 8 rows
}

// A microKernel computes c = alpha·a·b + beta·c for tiles one below the other. Element (i,p)
// of a is at a[i·aRow+p·aCol]; the next tile's a begins aTile further.
type microKernel func(tiles, k int, a *float32, aRow, aCol, aTile int, b *float32, bRow int, c *float32, cRow int, alpha, beta float32, cols int)

// A packKernel copies rows (or, transposing, columns) of src, n of them, to dst.
type packKernel func(n int, src *float32, srcRow int, dst *float32, dstRow, width int)

// The elementwise kernels, as indices of the tables.
const (
	opExp = iota
	opErf
	opTanh
	opSigmoid
	opGELU
	opGELUTanh
	unaryCount
)

const (
	opGELUGrad = iota
	opGELUTanhGrad
	opAdd
	opMul
	binaryCount
)
