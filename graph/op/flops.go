package op

import "github.com/modeldoctor/modeldoctor/graph/shapes"

// Counted is an operation that consists of matrix products, as convolutions and attentions do.
type Counted interface {
	// FLOPs is the number of multiplications and additions of the products, two for
	// each pair of factors, padding included. What is small beside them, such as a bias
	// or a softmax, is not counted.
	FLOPs(in []Type) int64
}

// flops is that of a product of matrices [m, k] and [k, n], so many times.
func flops(times, m, n, k int) int64 {
	return 2 * int64(times) * int64(m) * int64(n) * int64(k)
}

// FLOPs is that of all matrices of the stack.
func (o MatMul) FLOPs(in []Type) int64 {
	stackA, m, k := matrixDims(in[0].Shape, o.TransA)
	stackB, _, n := matrixDims(in[1].Shape, o.TransB)
	stack, err := shapes.Broadcast(stackA, stackB)
	if err != nil {
		panic("op: MatMul: " + err.Error()) // Infer has checked them
	}
	return flops(shapes.Elements(stack), m, n, k)
}

// FLOPs is that of x·W.
func (o Linear) FLOPs(in []Type) int64 {
	_, features, width := matrixDims(in[1].Shape, o.TransW)
	return flops(1, in[0].Elements()/max(1, features), width, features)
}

// flops is that of a convolution, or of either of its gradients.
func (n *convolution) flops() int64 {
	_, filters, size := n.group()
	return flops(n.images*n.groups, filters, volume(n.out), size)
}

// FLOPs is that of each output element's sum over the kernel.
func (o Conv) FLOPs(in []Type) int64 {
	n := checked(o.convolution(in))
	return n.flops()
}

// FLOPs is that of the Conv.
func (o ConvThen) FLOPs(in []Type) int64 { return o.Conv.FLOPs(in[:2]) }

// FLOPs is that of the Conv.
func (o ConvGradient) FLOPs(in []Type) int64 {
	n := checked(o.convolution(in))
	return n.flops()
}

// FLOPs is that of the Conv.
func (o PatchEmbedding) FLOPs(in []Type) int64 { return o.conv().FLOPs(in) }

// FLOPs is that of the Conv.
func (o PatchGradient) FLOPs(in []Type) int64 {
	n := checked(o.conv().convolution(in))
	return n.flops()
}

// product is the FLOPs of one product of all queries and keys.
func (o PackedAttention) product(in []Type) int64 {
	examples, queries, keys := in[0].Shape[0], in[0].Shape[1], in[0].Shape[1]
	if len(in) == 3 {
		keys = in[1].Shape[1]
	}
	return flops(examples*o.Heads, queries, keys, o.HeadDim)
}

// FLOPs is that of q·kᵀ and of the probabilities with v.
func (o PackedAttention) FLOPs(in []Type) int64 { return 2 * o.product(in) }

// FLOPs is that of the scores, which are computed again, of their cotangent where q or
// k needs it, and of a product for each cotangent.
func (o PackedAttentionGradient) FLOPs(in []Type) int64 {
	need := o.Need
	if len(in) == 2 {
		need = [3]bool{true, true, true}
	}
	products := int64(1)
	if need[0] || need[1] {
		products++
	}
	for _, n := range need {
		if n {
			products++
		}
	}
	return products * o.Attention.product(in[:len(in)-1])
}
