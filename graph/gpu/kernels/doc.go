// Package kernels runs the device's kernels: src/kernels.cu, compiled to
// kernels.ptx, each behind a function that checks sizes and chooses the grid.
// It knows addresses and sizes, not operations; each kernel has the definition
// of the operation in graph/op that it serves.
//
// Arrays are row-major and of float32 unless said otherwise. Functions put the
// work into a [Queue] and return; an error of the work itself shows when the
// queue's stream is waited for. Nothing is allocated: functions that need
// scratch memory take it as work, and a function of the same name with Work
// behind it says how many bytes. Results depend on the sizes only: the same
// call gives the same bits on every run.
//
//go:generate ./ptx.sh
package kernels

import "embed"

// Source is the kernels' text, src/*: what the fake device compiles, and what
// the hash in PTX is of.
//
//go:embed src
var Source embed.FS

// PTX is the kernels compiled for compute capability 7.5 and up.
//
//go:embed kernels.ptx
var PTX []byte
