//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Softmax computes exp(x)/Σ exp(x), or its logarithm, along the middle of x
// [outer, d, inner], with the largest element subtracted. Where every element is
// −Inf the result is NaN. y may be x.
func Softmax(q Queue, x, y Array, outer, d, inner int, logarithm bool) error {
	if inner == 1 {
		return SoftmaxRows(q, x, y, outer, d, d, logarithm)
	}
	n, err := product("softmax", mostBytes, outer, d, inner)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("softmax_columns", overElements(outer*inner), pointers(x.Data, y.Data), longs(outer, d, inner), truth(logarithm), formats(x, y))
}

// SoftmaxGrad is the cotangent of Softmax's input from its result y and the
// result's cotangent: y·(dy − ⟨y, dy⟩), or, of the logarithm, dy − exp(y)·Σdy. dx
// may be dy.
func SoftmaxGrad(q Queue, y, dy, dx Array, outer, d, inner int, logarithm bool) error {
	if inner == 1 {
		return SoftmaxRowsGrad(q, y, dy, dx, outer, d, d, logarithm)
	}
	n, err := product("softmax", mostBytes, outer, d, inner)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("softmax_columns_grad", overElements(outer*inner), pointers(y.Data, dy.Data, dx.Data), longs(outer, d, inner), truth(logarithm), formats(y, dy, dx))
}

// SoftmaxRows is Softmax along rows of d elements, stride elements apart. What
// lies between a row's end in y and the next one's start, and behind the last
// row's, is not read and becomes 0.
func SoftmaxRows(q Queue, x, y Array, rows, d, stride int, logarithm bool) error {
	n, err := product("softmax", mostBytes, rows, d)
	if err != nil || n == 0 {
		return err
	}
	if stride < d {
		return fmt.Errorf("softmax: rows of %d elements, %d apart", d, stride)
	}
	return q.launch("softmax", overWarps(rows), pointers(x.Data, y.Data), longs(rows, d, stride), truth(logarithm), formats(x, y))
}

// SoftmaxRowsGrad is SoftmaxGrad along such rows, of which dx gets the zeros.
func SoftmaxRowsGrad(q Queue, y, dy, dx Array, rows, d, stride int, logarithm bool) error {
	n, err := product("softmax", mostBytes, rows, d)
	if err != nil || n == 0 {
		return err
	}
	if stride < d {
		return fmt.Errorf("softmax: rows of %d elements, %d apart", d, stride)
	}
	return q.launch("softmax_grad", overWarps(rows), pointers(y.Data, dy.Data, dx.Data), longs(rows, d, stride), truth(logarithm), formats(y, dy, dx))
}

// LossKind is a loss as a function of an example, as graph/op has it.
type LossKind int

// The losses, with what their parameter is.
const (
	CrossEntropy   LossKind = iota // log Σ exp(x) − x[y]
	LabelSmoothing                 // ε
	Focal                          // γ
	Margin
	SoftZeroOne // w
)

// Loss computes losses[i] = kind(β·z[i], labels[i]), in nats, for logits z
// [examples, classes], labels [examples] of int64 and the inverse temperature β,
// one element, in float64. A label outside the classes gives NaN.
func Loss(q Queue, kind LossKind, parameter float64, z, labels, beta, losses driver.Ptr, examples, classes int) error {
	n, err := product("loss", mostInt, examples, classes)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("loss", overWarps(examples), pointers(z, labels, beta, losses), longs(examples), ints(classes, int(kind)), doubles(parameter))
}

// LossGrad is the cotangent of Loss's logits: dlosses[i]·β·kind'(β·z[i],
// labels[i]).
func LossGrad(q Queue, kind LossKind, parameter float64, z, labels, beta, dlosses, dz driver.Ptr, examples, classes int) error {
	n, err := product("loss_grad", mostInt, examples, classes)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("loss_grad", overWarps(examples), pointers(z, labels, beta, dlosses, dz), longs(examples), ints(classes, int(kind)), doubles(parameter))
}
