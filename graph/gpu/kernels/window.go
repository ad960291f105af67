//go:build gpu && linux && cgo

package kernels

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
)

// Window is the geometry of a kernel that slides over three spatial dimensions
// of an input (images and signals have leading ones of size 1): tap t of output
// position o reads input position o·Stride − Before + t·Dilation, where that lies
// within the input.
type Window struct {
	In, Out, Taps, Stride, Dilation, Before, After [3]int
}

func (w Window) arguments() (args []driver.Arg) {
	for _, v := range [][3]int{w.In, w.Out, w.Taps, w.Stride, w.Dilation, w.Before, w.After} {
		args = append(args, ints(v[:]...)...)
	}
	return args
}

func volume(size [3]int) int { return size[0] * size[1] * size[2] }

// check checks the geometry for planes, the number of channels of all images.
func (w Window) check(kernel string, planes int) error {
	for i := range 3 {
		if w.Taps[i] < 1 || w.Stride[i] < 1 || w.Dilation[i] < 1 || w.Before[i] < 0 || w.After[i] < 0 {
			return fmt.Errorf("%s: window %+v", kernel, w)
		}
	}
	for _, size := range [][3]int{w.In, w.Out, w.Taps} {
		if _, err := product(kernel, mostInt, size[:]...); err != nil {
			return err
		}
	}
	// Planes times taps count rows.
	_, err := product(kernel, mostInt, planes, volume(w.Taps))
	return err
}

// MaxPool computes the largest element of each window of x [planes, In], y
// [planes, Out]. Padding never is; NaN is.
func MaxPool(q Queue, w Window, x, y driver.Ptr, planes int) error {
	return w.overOutput(q, "max_pool", planes, pointers(x, y), ints(planes))
}

// MaxPoolGrad passes each window's cotangent to its first largest element,
// tap by tap: dx [planes, In] from MaxPool's x and y and y's cotangent.
func MaxPoolGrad(q Queue, w Window, x, y, dy, dx driver.Ptr, planes int) error {
	return w.overInput(q, "max_pool_grad", planes, pointers(x, y, dy, dx), ints(planes))
}

// AveragePool computes the mean of each window of x [planes, In], y [planes,
// Out], over the elements within the input or, with pads, also over the zeros of
// the padding.
func AveragePool(q Queue, w Window, pads bool, x, y driver.Ptr, planes int) error {
	return w.overOutput(q, "average_pool", planes, pointers(x, y), ints(planes), truth(pads))
}

// AveragePoolGrad spreads each window's cotangent over its elements: dx
// [planes, In] from dy [planes, Out].
func AveragePoolGrad(q Queue, w Window, pads bool, dy, dx driver.Ptr, planes int) error {
	return w.overInput(q, "average_pool_grad", planes, pointers(dy, dx), ints(planes), truth(pads))
}

// overOutput launches a kernel over planes of output positions.
func (w Window) overOutput(q Queue, kernel string, planes int, args ...[]driver.Arg) error {
	return w.over(q, kernel, planes, volume(w.Out), args...)
}

// overInput launches a kernel over planes of input elements.
func (w Window) overInput(q Queue, kernel string, planes int, args ...[]driver.Arg) error {
	return w.over(q, kernel, planes, volume(w.In), args...)
}

func (w Window) over(q Queue, kernel string, planes, plane int, args ...[]driver.Arg) error {
	if err := w.check(kernel, planes); err != nil || planes*plane == 0 {
		return err
	}
	return q.launch(kernel, overRows(planes, plane), append(args, w.arguments())...)
}

// Columns says where Im2Col puts the elements that output positions read: element
// (image, row, position), a row being a channel's tap, at image·ByImage +
// row·ByRow + position.
type Columns struct {
	Data           driver.Ptr
	ByImage, ByRow int
}

// Im2Col gathers the columns of a convolution: for each of channels planes of
// each image and each tap a row of what the output positions read, 0 outside the
// input. The planes of an image begin imageStep elements after the previous one's.
func Im2Col(q Queue, w Window, x driver.Ptr, imageStep int, to Columns, images, channels int) error {
	if err := w.check("im2col", images*channels); err != nil || images*channels*volume(w.Out) == 0 {
		return err
	}
	return q.launch("im2col", overRows(images*channels*volume(w.Taps), volume(w.Out)), pointers(x, to.Data),
		ints(images, channels), longs(imageStep, to.ByImage, to.ByRow), w.arguments())
}

// Col2Im is the transpose of Im2Col: each element of x becomes the sum, tap by
// tap, of the columns' elements that were taken from it.
func Col2Im(q Queue, w Window, from Columns, x driver.Ptr, imageStep, images, channels int) error {
	if err := w.check("col2im", images*channels); err != nil || images*channels*volume(w.In) == 0 {
		return err
	}
	return q.launch("col2im", overRows(images*channels, volume(w.In)), pointers(from.Data, x),
		ints(images, channels), longs(imageStep, from.ByImage, from.ByRow), w.arguments())
}
