//go:build !unix

package kernel

import "testing"

// guarded returns n elements; where memory cannot be protected, nothing guards them.
func guarded(_ testing.TB, n int) []float32 { return make([]float32, n) }
