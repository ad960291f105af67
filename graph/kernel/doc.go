// Package kernel computes matrix products and the row and elementwise functions of
// neural networks on slices of floats.
package kernel
