//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Function is a function of one element x, with parameters a and b where the
// formula has them.
type Function string

// The functions.
const (
	Neg         Function = "neg"
	Abs         Function = "abs"
	Sign        Function = "sign"  // NaN of NaN
	Round       Function = "round" // to the nearest integer, ties to even
	Floor       Function = "floor"
	Ceil        Function = "ceil"
	Sqrt        Function = "sqrt"
	Reciprocal  Function = "reciprocal"
	Exp         Function = "exp"
	Log         Function = "log"
	Erf         Function = "erf"
	Relu        Function = "relu"
	LeakyRelu   Function = "leaky_relu" // x, times a where x is negative
	Elu         Function = "elu"        // x, and a·(exp(x)−1) where x is negative
	Sigmoid     Function = "sigmoid"
	Tanh        Function = "tanh"
	Softplus    Function = "softplus"     // ln(1+exp(x)); UnaryGrad has it not
	HardSigmoid Function = "hard_sigmoid" // a·x + b, held between 0 and 1
	GELU        Function = "gelu"         // x/2·(1+erf(x/√2)), Hendrycks and Gimpel 2016
	GELUTanh    Function = "gelu_tanh"    // x/2·(1+tanh(√(2/π)·(x+0.044715·x³)))
	QuickGELU   Function = "quick_gelu"   // x·sigmoid(a·x); SiLU with a = 1
	Clip        Function = "clip"         // x, held between a and b
	Affine      Function = "affine"       // a·x + b; UnaryGrad has it not
)

// Unary computes y[i] = f(x[i]) for n elements. y may be x, here and below where it is of the same
// format.
func Unary(q Queue, f Function, x, y Array, n int, a, b float32) error {
	n, err := product(string(f), mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("unary_"+string(f), overElements(n), pointers(x.Data, y.Data), longs(n), floats(a, b), formats(x, y))
}

// UnaryGrad computes the cotangent of f's input, dx[i] = dy[i]·f'(…), for n
// elements. v is f's result for Sqrt, Reciprocal, Relu, Sigmoid, HardSigmoid and
// Tanh, for all others its input, as in graph/op. Functions of steps, and those
// whose derivative is a product (Exp, Log, Abs, Neg), have none. dx may be dy or
// v.
func UnaryGrad(q Queue, f Function, v, dy, dx Array, n int, a, b float32) error {
	n, err := product(string(f), mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("grad_"+string(f), overElements(n), pointers(v.Data, dy.Data, dx.Data), longs(n), floats(a, b), formats(v, dy, dx))
}

// BiasResidual computes y = x + bias + residual for x, residual and y [rows,
// columns] and bias [columns]: a product's bias and the residual connection, in
// one pass. y may be x or residual.
func BiasResidual(q Queue, x Array, bias driver.Ptr, residual, y Array, rows, columns int) error {
	n, err := product("bias_residual", mostBytes, rows, columns)
	if err != nil || n == 0 {
		return err
	}
	if _, err := product("bias_residual", mostInt, max(rows, columns)); err != nil {
		return err
	}
	return q.launch("bias_residual", overRows(rows, columns), pointers(x.Data, bias, residual.Data, y.Data), ints(rows, columns), formats(x, residual, y))
}

// Fill sets n elements to a value.
func Fill(q Queue, y Array, value float32, n int) error {
	n, err := product("fill", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("fill", overElements(n), pointers(y.Data), floats(value), longs(n), formats(y))
}

// IsNaN writes n truth values, bytes: which elements of x are NaN.
func IsNaN(q Queue, x, y driver.Ptr, n int) error {
	n, err := product("is_nan", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("is_nan", overElements(n), pointers(x, y), longs(n))
}

// FromBool makes 1 and 0 of n truth values, bytes.
func FromBool(q Queue, x, y driver.Ptr, n int) error {
	n, err := product("cast_bool", mostBytes, n)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("cast_bool", overElements(n), pointers(x, y), longs(n))
}
