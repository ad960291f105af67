package nn

// Memory is float32 elements in a device's memory. Only the device knows what is
// inside: the host has a []float32 there.
type Memory any

// A Device holds float32 elements and computes with them. It is used by one
// goroutine at a time. What it is asked for is done in that order; it may return
// before it has done it, as long as what is read sees what was written, and an
// error that it meets later is returned by a later call.
type Device interface {
	Storage
	Arithmetic
}

// Storage is the part of a [Device] that holds memory.
type Storage interface {
	// Alloc returns memory of n elements, all zero.
	Alloc(n int) (Memory, error)
	// Import returns memory with the values. Neither these nor the memory are changed
	// as long as it is in use: on the host they are the same.
	Import(values []float32) (Memory, error)
	// Free gives back what Alloc or Import has returned. nil is ignored.
	Free(m Memory)
	// Slice is the elements lo to hi of m, in place.
	Slice(m Memory, lo, hi int) Memory
	// InPlace is m as the host may read and write it in place; nil where it cannot.
	// It stays readable after Free.
	InPlace(m Memory) []float32
	// Upload writes src to the beginning of dst.
	Upload(dst Memory, src []float32) error
	// UploadCoded writes what src, bytes of whole examples, stands for to the
	// beginning of dst.
	UploadCoded(dst Memory, src []byte, code *Code) error
	// Download reads the beginning of src into dst.
	Download(dst []float32, src Memory) error
	// Copy writes all of src to the beginning of dst. They may overlap.
	Copy(dst, src Memory) error
	// Gather writes the rows of the given numbers of src, of size elements each, to
	// dst, one after the other.
	Gather(dst, src Memory, rows []int, size int) error
}

// Arithmetic is the part of a [Device] that computes. Operands of one call have
// equally many elements.
type Arithmetic interface {
	// Clear sets all elements to zero.
	Clear(m Memory) error
	// Add adds x to sum, in float32.
	Add(sum, x Memory) error
	// Combine writes base + Σ_k c[k]·x[k] to dst, which may be base. Each element
	// is computed in float64 and rounded once; the products are added in pairs.
	Combine(dst, base Memory, c []float64, x []Memory) error
	// Scale multiplies by c; each product is rounded once.
	Scale(m Memory, c float64) error
	// Dot is start + ⟨a, b⟩, in float64. The order of the sum is the device's, and
	// always the same.
	Dot(start float64, a, b Memory) (float64, error)
	// SquaredDistance is start + ‖a − b‖², in float64, summed as by Dot.
	SquaredDistance(start float64, a, b Memory) (float64, error)
	// SGD makes one step of w, whose gradient is s.Scale·sum and whose momentum
	// buffer is b.
	SGD(w, b, sum Memory, s SGD) error
}

// SGD is one step of stochastic gradient descent with Nesterov momentum and
// coupled weight decay, as torch.optim.SGD has it:
//
//	q = scale·sum + decay·w
//	b = momentum·b + q      b = 0 at first
//	w = w − rate·(q + momentum·b)
//
// Elements are computed in float64 and rounded once.
type SGD struct {
	Scale, Rate, Momentum, Decay float64
}
