//go:build gpu && linux && cgo

package kernels

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"slices"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Kernels are the kernels on a device.
type Kernels struct {
	module    *driver.Module
	functions map[string]function
}

// function is a kernel and the number of its parameters.
type function struct {
	*driver.Function
	parameters int
}

// entries finds the kernels' names and parameters in PTX.
var entries = regexp.MustCompile(`\.entry (\w+)\(([^)]*)\)`)

// Load compiles the kernels for a device. They stay until Unload, or until the
// device is closed.
func Load(d *driver.Device) (*Kernels, error) {
	m, err := d.Load(PTX)
	if err != nil {
		return nil, err
	}
	k := &Kernels{m, map[string]function{}}
	for _, entry := range entries.FindAllSubmatch(PTX, -1) {
		name := string(entry[1])
		f, err := m.Function(name)
		if err != nil {
			return nil, errors.Join(err, m.Unload())
		}
		k.functions[name] = function{f, bytes.Count(entry[2], []byte(".param"))}
	}
	return k, nil
}

// Unload gives back what Load took.
func (k *Kernels) Unload() error { return k.module.Unload() }

// On returns a queue that runs the kernels in a stream of their device.
func (k *Kernels) On(s *driver.Stream) Queue { return Queue{s, k.functions} }

// Queue is where work is put in: a stream, with the kernels that it can run.
type Queue struct {
	*driver.Stream
	functions map[string]function
}

// grid is the blocks of a launch and the threads of each.
type grid struct{ blocks, threads [3]int }

func (q Queue) launch(name string, g grid, args ...[]driver.Arg) error {
	f, ok := q.functions[name]
	if !ok {
		return fmt.Errorf("there is no kernel %s", name)
	}
	all := slices.Concat(args...)
	if len(all) != f.parameters { // the driver would read what lies behind them
		return fmt.Errorf("kernel %s takes %d arguments, found %d", name, f.parameters, len(all))
	}
	return q.Launch(f.Function, g.blocks, g.threads, 0, all...)
}

// Blocks have 256 threads. More blocks than a few for each multiprocessor of
// the largest devices gain nothing: the kernels' loops take the rest.
const (
	blockThreads = 256
	mostBlocks   = 1 << 13
	mostBlocksY  = 1<<16 - 1
)

// overElements is a grid whose threads take elements of n.
func overElements(n int) grid {
	return grid{[3]int{min(blocksOf(n, blockThreads), mostBlocks), 1, 1}, [3]int{blockThreads, 1, 1}}
}

// overRows is a grid whose threads x take elements of rows and whose threads y
// take rows. Where there are rows enough, a thread takes several elements, so
// that it finds the row's place once for all of them.
func overRows(rows, inner int) grid {
	widest, each := blockThreads, 1
	if rows >= 1<<12 {
		widest, each = 32, 4
	}
	x := 1 << bits.Len(uint(min(inner, widest)-1)) // a power of 2
	y := blockThreads / x
	across := min(blocksOf(inner, each*x), mostBlocks)
	down := min(blocksOf(rows, y), max(1, mostBlocks/across), mostBlocksY)
	return grid{[3]int{across, down, 1}, [3]int{x, y, 1}}
}

// overWarps is a grid whose warps take rows.
func overWarps(rows int) grid {
	const warps = blockThreads / 32
	return grid{[3]int{min(blocksOf(rows, warps), mostBlocks/2), 1, 1}, [3]int{32, warps, 1}}
}

// overTiles is a grid of blocks of 32 × 8 threads, of which each takes 32 of
// the columns and some of the tasks.
func overTiles(columns, tasks int) grid {
	return grid{[3]int{blocksOf(columns, 32), min(tasks, mostBlocksY), 1}, [3]int{32, 8, 1}}
}

func blocksOf(n, size int) int { return (n + size - 1) / size }

// Arguments.
func pointers(p ...driver.Ptr) []driver.Arg { return arguments(driver.Address, p) }
func floats(v ...float32) []driver.Arg      { return arguments(driver.Float32, v) }
func doubles(v ...float64) []driver.Arg     { return arguments(driver.Float64, v) }
func longs(v ...int) []driver.Arg {
	return arguments(func(v int) driver.Arg { return driver.Int64(int64(v)) }, v)
}
func ints(v ...int) []driver.Arg {
	return arguments(func(v int) driver.Arg { return driver.Int32(int32(v)) }, v)
}

func arguments[T any](arg func(T) driver.Arg, v []T) []driver.Arg {
	args := make([]driver.Arg, len(v))
	for i := range v {
		args[i] = arg(v[i])
	}
	return args
}

// truth is an int parameter that is read as a truth value.
func truth(v bool) []driver.Arg {
	if v {
		return ints(1)
	}
	return ints(0)
}

// product checks sizes and returns their product, which some kernels want
// below a limit.
func product(kernel string, limit int, sizes ...int) (int, error) {
	n := 1
	for _, s := range sizes {
		if s < 0 {
			return 0, fmt.Errorf("%s: negative size in %v", kernel, sizes)
		}
		hi, lo := bits.Mul64(uint64(n), uint64(s))
		if hi != 0 || lo > uint64(limit) {
			return 0, fmt.Errorf("%s: sizes %v make more than %d elements", kernel, sizes, limit)
		}
		n = int(lo)
	}
	return n, nil
}

// Kernels that count in 32 bits take arrays of at most mostInt elements, the
// others as many as there can be.
const (
	mostInt   = math.MaxInt32
	mostBytes = math.MaxInt64 / 8
)

const (
	halfBytes   = 2 // of a bfloat16
	floatBytes  = 4
	doubleBytes = 8
)

// at is the address of element i of an array of float32.
func at(p driver.Ptr, i int) driver.Ptr { return p + driver.Ptr(floatBytes*i) }

// aligned rounds bytes of scratch memory up, so that what follows is aligned.
func aligned(bytes int) int { return (bytes + 255) &^ 255 }
