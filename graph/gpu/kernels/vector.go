//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Combine computes y = base + (c₀·s₀ + c₁·s₁) + (c₂·s₂ + c₃·s₃) for vectors of n
// elements, each in float64 and rounded once, as diag places weights. base and
// vectors that are 0 count as zeros. y may be any of them.
func Combine(q Queue, y, base driver.Ptr, vectors [4]driver.Ptr, coefficients [4]float64, n int) error {
	n, err := product("combine", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("combine", overElements(n), pointers(y, base), pointers(vectors[:]...), doubles(coefficients[:]...), longs(n))
}

// Axpy computes y += a·x for vectors of n elements, each in float64 and rounded
// once.
func Axpy(q Queue, a float64, x, y driver.Ptr, n int) error {
	n, err := product("axpy", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("axpy", overElements(n), pointers(y, x), doubles(a), longs(n))
}

// Scale computes x *= a for n elements.
func Scale(q Queue, a float64, x driver.Ptr, n int) error {
	n, err := product("scale", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("scale", overElements(n), pointers(x), doubles(a), longs(n))
}

// SGD is stochastic gradient descent with Nesterov momentum and coupled weight
// decay, as torch.optim.SGD has it.
type SGD struct {
	Rate, Momentum, Decay float64
}

// Step moves n weights, whose gradient is scale·sum, with the momentum's buffer
// b, which is zero at first:
//
//	q = scale·sum + Decay·w
//	b = Momentum·b + q
//	w = w − Rate·(q + Momentum·b)
//
// Elements are computed in float64 and rounded once.
func (o SGD) Step(q Queue, w, b, sum driver.Ptr, scale float64, n int) error {
	n, err := product("sgd", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("sgd", overElements(n), pointers(w, b, sum), doubles(scale, o.Rate, o.Momentum, o.Decay), longs(n))
}

// A dot product is of at most mostDotBlocks partial sums, each of a block.
const mostDotBlocks = 1 << 10

func dotBlocks(n int) int { return min(max(1, blocksOf(n, 8*blockThreads)), mostDotBlocks) }

// DotWork is the scratch memory of Dot, in bytes.
func DotWork(n int) int64 { return int64(doubleBytes * dotBlocks(n)) }

// Dot writes the inner product of two vectors of n elements to result, one
// float64 on the device, computed in float64. With y = 0 it is the sum of x, with
// y = x the squared norm.
func Dot(q Queue, x, y, result driver.Ptr, n int, work driver.Ptr) error {
	if n < 0 {
		return fmt.Errorf("dot: %d elements", n)
	}
	if n == 0 {
		return q.Clear(result, doubleBytes)
	}
	blocks := dotBlocks(n)
	threads := [3]int{blockThreads, 1, 1}
	if err := q.launch("dot_blocks", grid{[3]int{blocks, 1, 1}, threads}, pointers(x, y, work), longs(n)); err != nil {
		return err
	}
	return q.launch("dot_last", grid{[3]int{1, 1, 1}, threads}, pointers(work, result), longs(blocks))
}
