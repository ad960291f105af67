//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Decode writes y [rows, run] = table[row mod channels][byte] for the bytes x [rows,
// run] and a table [channels, 256].
func Decode(q Queue, x, table, y driver.Ptr, rows, channels, run int) error {
	n, err := product("decode_bytes", mostBytes, rows, run)
	if err != nil || n == 0 {
		return err
	}
	if _, err := product("decode_bytes", mostInt, max(rows, channels, run)); err != nil {
		return err
	}
	return q.launch("decode_bytes", overRows(rows, run), pointers(x, table, y), ints(rows, channels, run))
}
