//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Convolution is a convolution (cross-correlation) of x [Images, Channels, In]
// with filters [Filters, Channels/Groups, Taps] to y [Images, Filters, Out].
// Filters and a group of the columns ([Im2Col]) of each image are multiplied;
// groups of one channel are computed directly. BF16 is computed as TF32.
type Convolution struct {
	Window
	Images, Channels, Filters, Groups int
	Round                             int // images whose columns are held at once; 0: as many as fit 256 MiB
}

// columnBytes bounds the columns that are held at once where Round is 0.
const columnBytes = 256 << 20

func (c Convolution) check() error {
	if c.Images < 0 || c.Channels < 0 || c.Filters < 0 || c.Groups < 1 || c.Channels%c.Groups != 0 || c.Filters%c.Groups != 0 {
		return fmt.Errorf("convolution: %d channels and %d filters in %d groups", c.Channels, c.Filters, c.Groups)
	}
	if _, err := product("convolution", mostBytes, c.Images, c.Channels, volume(c.In)); err != nil {
		return err
	}
	if _, err := product("convolution", mostBytes, c.Images, c.Filters, volume(c.Out)); err != nil {
		return err
	}
	if _, err := product("convolution", mostInt, c.Filters, c.Channels/c.Groups, volume(c.Taps)); err != nil {
		return err
	}
	return c.Window.check("convolution", c.Images*max(c.Channels, c.Filters))
}

// depthwise says whether each channel is a group.
func (c Convolution) depthwise() bool { return c.Channels == c.Groups }

// pointwise says whether the columns are the input itself.
func (c Convolution) pointwise() bool {
	return c.In == c.Out && volume(c.Taps) == 1 && volume(c.Stride) == 1 && c.Before == [3]int{} && c.After == [3]int{}
}

// group returns the channels and filters of a group and the rows of its columns.
func (c Convolution) group() (channels, filters, rows int) {
	channels, filters = c.Channels/c.Groups, c.Filters/c.Groups
	return channels, filters, channels * volume(c.Taps)
}

// round is Round or its default.
func (c Convolution) round() int {
	if c.Round > 0 {
		return min(c.Round, max(1, c.Images))
	}
	_, _, rows := c.group()
	return max(1, min(c.Images, columnBytes/max(1, floatBytes*rows*volume(c.Out))))
}

// Work is the scratch memory of Forward, Input and FilterGrad, in bytes.
func (c Convolution) Work() int64 {
	if c.depthwise() {
		return 0
	}
	_, filters, rows := c.group()
	columns := aligned(floatBytes * c.round() * rows * volume(c.Out))
	return int64(columns + aligned(floatBytes*c.round()*filters*volume(c.Out)))
}

// rounds calls f for the images, some at a time: n images from first on, and a
// group of their channels and filters.
func (c Convolution) rounds(f func(first, n, group int) error) error {
	for first := 0; first < c.Images; first += c.round() {
		for g := range c.Groups {
			if err := f(first, min(c.round(), c.Images-first), g); err != nil {
				return err
			}
		}
	}
	return nil
}

// x and y of an image and group.
func (c Convolution) in(x driver.Ptr, image, group int) driver.Ptr {
	channels, _, _ := c.group()
	return at(x, (image*c.Channels+group*channels)*volume(c.In))
}
func (c Convolution) out(y driver.Ptr, image, group int) driver.Ptr {
	_, filters, _ := c.group()
	return at(y, (image*c.Filters+group*filters)*volume(c.Out))
}

// Forward convolves. bias [Filters] may be 0.
func (c Convolution) Forward(q Queue, p driver.Precision, x, filters, bias, y, work driver.Ptr) error {
	if err := c.check(); err != nil || c.Images*c.Filters*volume(c.Out) == 0 {
		return err
	}
	planes, area := c.Images*c.Filters, volume(c.Out)
	if c.depthwise() {
		return c.overOutput(q, "depthwise", planes, pointers(x, filters, bias, y), ints(planes, c.Channels, c.Filters/c.Channels))
	}
	channels, width, rows := c.group()
	err := c.rounds(func(first, n, g int) error {
		columns := driver.Matrix{Data: c.in(x, first, g), Lead: area, Stride: int64(c.Channels * area)}
		if !c.pointwise() {
			columns = driver.Matrix{Data: work, Lead: area, Stride: int64(rows * area)}
			to := Columns{work, rows * area, area}
			if err := Im2Col(q, c.Window, c.in(x, first, g), c.Channels*volume(c.In), to, n, channels); err != nil {
				return err
			}
		}
		return q.GemmBatch(composed(p), n, width, area, rows, 1, driver.Matrix{Data: at(filters, g*width*rows), Lead: rows}, columns,
			0, driver.Matrix{Data: c.out(y, first, g), Lead: area, Stride: int64(c.Filters * area)})
	})
	if err != nil || bias == 0 {
		return err
	}
	return Binary(q, Add, Float32(y), []int{c.Images, c.Filters, area}, Float32(bias), []int{c.Filters, 1}, Float32(y), []int{c.Images, c.Filters, area})
}

// Input is the cotangent of Forward's x: the columns' cotangents, filtersᵀ·dy,
// added up where they were taken from.
func (c Convolution) InputGrad(q Queue, p driver.Precision, filters, dy, dx, work driver.Ptr) error {
	if err := c.check(); err != nil || c.Images*c.Channels*volume(c.In) == 0 {
		return err
	}
	planes, area := c.Images*c.Channels, volume(c.Out)
	if c.depthwise() {
		return c.overInput(q, "depthwise_input_grad", planes, pointers(filters, dy, dx), ints(planes, c.Channels, c.Filters/c.Channels))
	}
	channels, width, rows := c.group()
	return c.rounds(func(first, n, g int) error {
		columns := driver.Matrix{Data: c.in(dx, first, g), Lead: area, Stride: int64(c.Channels * area)}
		if !c.pointwise() {
			columns = driver.Matrix{Data: work, Lead: area, Stride: int64(rows * area)}
		}
		err := q.GemmBatch(composed(p), n, rows, area, width, 1, driver.Matrix{Data: at(filters, g*width*rows), Lead: rows, Trans: true},
			driver.Matrix{Data: c.out(dy, first, g), Lead: area, Stride: int64(c.Filters * area)}, 0, columns)
		if err != nil || c.pointwise() {
			return err
		}
		return Col2Im(q, c.Window, Columns{work, rows * area, area}, c.in(dx, first, g), c.Channels*volume(c.In), n, channels)
	})
}

// FilterGrad is the cotangent of Forward's filters: dy·columnsᵀ over the
// positions of all images at once. That of the bias is a sum ([Reduce]).
func (c Convolution) FilterGrad(q Queue, p driver.Precision, x, dy, dfilters, work driver.Ptr) error {
	channels, width, rows := c.group()
	if err := c.check(); err != nil || c.Filters*rows == 0 {
		return err
	}
	area := volume(c.Out)
	if c.Images*area == 0 {
		return Fill(q, Float32(dfilters), 0, c.Filters*rows)
	}
	if c.depthwise() {
		return q.launch("depthwise_filter_grad", overWarps(c.Filters*volume(c.Taps)), pointers(x, dy, dfilters),
			ints(c.Images, c.Channels, c.Filters/c.Channels), c.arguments())
	}
	gathered := work + driver.Ptr(aligned(floatBytes*c.round()*rows*area))
	return c.rounds(func(first, n, g int) error {
		// One long product: rows of n·area positions.
		positions := n * area
		if err := Im2Col(q, c.Window, c.in(x, first, g), c.Channels*volume(c.In), Columns{work, area, positions}, n, channels); err != nil {
			return err
		}
		err := Move(q, []int{width, n, area}, Placement{Array: Float32(gathered), Strides: []int{positions, area, 1}},
			Placement{Array: Float32(c.out(dy, first, g)), Strides: []int{area, c.Filters * area, 1}})
		if err != nil {
			return err
		}
		var beta float32
		if first > 0 {
			beta = 1
		}
		return q.Gemm(composed(p), width, rows, positions, 1, driver.Matrix{Data: gathered, Lead: positions},
			driver.Matrix{Data: work, Lead: positions, Trans: true}, beta, driver.Matrix{Data: at(dfilters, g*width*rows), Lead: rows})
	})
}
