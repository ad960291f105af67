//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Taps are the weights with which a line of samples is resampled to another
// length, on the device: sample i of the result is Σ weights[i·Most+k] of sample
// first[i]+k for k below count[i], with 22 bits after the point. All are int32.
// dataset/resample.go computes them.
type Taps struct {
	First, Count, Weights driver.Ptr
	Most                  int // taps that the weights have room for
	In, Out               int // samples of a line
}

// ResizeRows resamples the rows of images of bytes x [lines, In, channels] to
// y [lines, Out, channels], bit for bit as Pillow's Image.resize does.
func ResizeRows(q Queue, t Taps, x, y driver.Ptr, lines, channels int) error {
	if _, err := product("resize_rows", mostBytes, lines, t.In, channels); err != nil {
		return err
	}
	if _, err := product("resize_rows", mostInt, max(t.In, t.Out, lines), max(t.Most, channels, 1)); err != nil {
		return err
	}
	n, err := product("resize_rows", mostBytes, lines, t.Out, channels)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("resize_rows", overRows(lines, t.Out*channels), pointers(x, y, t.First, t.Count, t.Weights), ints(t.Most, lines, t.In, t.Out, channels))
}

// ResizeColumns resamples the columns of images of bytes x [images, In, line] to
// y [images, Out, line], a line being width·channels bytes.
func ResizeColumns(q Queue, t Taps, x, y driver.Ptr, images, line int) error {
	if _, err := product("resize_columns", mostBytes, images, t.In, line); err != nil {
		return err
	}
	if _, err := product("resize_columns", mostInt, max(t.In, t.Out, line), max(t.Most, images, 1)); err != nil {
		return err
	}
	n, err := product("resize_columns", mostBytes, images, t.Out, line)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("resize_columns", overRows(images*t.Out, line), pointers(x, y, t.First, t.Count, t.Weights), ints(t.Most, images, t.In, t.Out, line))
}

// Images describes images of bytes on the device and what is cut out of them.
type Images struct {
	Channels, Height, Width int
	Planar                  bool // [channels, height, width], else [height, width, channels]
	OutHeight, OutWidth     int
	Top, Left               int // corner of what is cut out; what lies outside is black
}

// ToFloat writes y [n, Channels, OutHeight, OutWidth] = table[channel][byte] for
// images of x: those that index, n int32, names, or with index 0 the first n.
// table is [Channels, 256]: a byte rescaled and normalised, as
// dataset.Preprocess computes it.
func (o Images) ToFloat(q Queue, x, index, table, y driver.Ptr, n int) error {
	if _, err := product("images_to_float", mostInt, o.Channels, o.Height, o.Width); err != nil {
		return err
	}
	total, err := product("images_to_float", mostBytes, n, o.Channels, o.OutHeight, o.OutWidth)
	if err != nil || total == 0 {
		return err
	}
	if _, err := product("images_to_float", mostInt, max(n, o.OutHeight*o.OutWidth), o.Channels); err != nil {
		return err
	}
	return q.launch("images_to_float", overRows(n*o.Channels, o.OutHeight*o.OutWidth), pointers(x, index, table, y),
		ints(n, o.Channels, o.Height, o.Width, o.OutHeight, o.OutWidth, o.Top, o.Left), truth(o.Planar))
}
