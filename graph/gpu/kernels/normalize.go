//go:build gpu && linux && cgo

package kernels

import "github.com/modeldoctor/modeldoctor/graph/gpu/driver"

// Moments says what rows are normalised by. With Centred it is layer
// normalisation (Ba, Kiros and Hinton, https://arxiv.org/abs/1607.06450), else
// root mean square normalisation (Zhang and Sennrich,
// https://arxiv.org/abs/1910.07467), without a mean.
type Moments struct {
	Epsilon float64
	Centred bool
}

// Normalize computes, of each row of x [rows, d],
//
//	y = (x − mean)/√(variance + Epsilon)·scale + bias
//
// for scale and bias [d]; bias may be 0. y may be x.
func Normalize(q Queue, m Moments, x Array, scale, bias driver.Ptr, y Array, rows, d int) error {
	n, err := product("normalize", mostBytes, rows, d)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("normalize", overWarps(rows), pointers(x.Data, scale, bias, y.Data), longs(rows, d), floats(float32(m.Epsilon)), truth(m.Centred), formats(x, y))
}

// NormalizeGrad is the cotangent of Normalize's x [rows, d]. With h the
// normalised x, g = dy·scale and rs = 1/√(variance + Epsilon):
//
//	dx = rs·(g − mean(g) − h·mean(g·h)), without mean(g) unless Centred
//
// dx may be dy or x.
func NormalizeGrad(q Queue, m Moments, x Array, scale driver.Ptr, dy, dx Array, rows, d int) error {
	n, err := product("normalize_grad", mostBytes, rows, d)
	if err != nil || n == 0 {
		return err
	}
	return q.launch("normalize_grad", overWarps(rows), pointers(x.Data, scale, dy.Data, dx.Data), longs(rows, d), floats(float32(m.Epsilon)), truth(m.Centred), formats(x, dy, dx))
}

// NormalizeScaleGradWork is the scratch memory of NormalizeScaleGrad, in
// bytes.
func NormalizeScaleGradWork(rows, d int) int64 {
	return int64(reduceStep{1, rows, max(d, 2)}.partialBytes() + aligned(4*floatBytes*rows))
}

// NormalizeScaleGrad is the cotangent of Normalize's scale [d]: the sum over
// the rows of dy·h. That of the bias is the sum of the rows of dy ([Reduce]).
func NormalizeScaleGrad(q Queue, m Moments, x, dy, dscale Array, rows, d int, work driver.Ptr) error {
	if _, err := product("normalize_scale_grad", mostBytes, rows, d); err != nil || d == 0 {
		return err
	}
	if rows == 0 {
		return Fill(q, dscale, 0, d)
	}
	moments := work
	partial := work + driver.Ptr(aligned(4*floatBytes*rows))
	if err := q.launch("normalize_moments", overWarps(rows), pointers(x.Data, moments), longs(rows, d), floats(float32(m.Epsilon)), truth(m.Centred), formats(x)); err != nil {
		return err
	}
	stretch := stretchOf(rows, 2)
	stretches := blocksOf(rows, stretch)
	if err := q.launch("normalize_scale_grad", overTiles(d, stretches), pointers(x.Data, moments, dy.Data, partial), longs(rows, d, stretch), formats(x, dy)); err != nil {
		return err
	}
	return q.launch("reduce_last_sum", overElements(d), pointers(partial, dscale.Data), longs(1, stretches, d), doubles(1), formats(dscale))
}

// BatchNormWork is the scratch memory of BatchNorm and BatchNormInputGrad, in bytes.
func BatchNormWork(channels int) int64 { return int64(2 * aligned(floatBytes*channels)) }

// BatchNorm computes y = (x − mean)/√(variance + epsilon)·scale + bias with given
// moments (Ioffe and Szegedy, https://arxiv.org/abs/1502.03167, as at inference)
// for x [images, channels, area] and parameters [channels]. y may be x.
func BatchNorm(q Queue, x Array, scale, bias, mean, variance driver.Ptr, y Array, images, channels, area int, epsilon float64, work driver.Ptr) error {
	n, err := product("batch_norm", mostBytes, images, channels, area)
	if err != nil || n == 0 {
		return err
	}
	if _, err := product("batch_norm", mostInt, max(images*channels, area)); err != nil {
		return err
	}
	factor, shift := work, work+driver.Ptr(aligned(floatBytes*channels))
	if err := q.launch("batch_norm_factors", overElements(channels), pointers(scale, bias, mean, variance, factor, shift), longs(channels), doubles(epsilon)); err != nil {
		return err
	}
	return q.launch("affine_channels", overRows(images*channels, area), pointers(x.Data, factor, shift, y.Data), ints(images*channels, channels, area), formats(x, y))
}

// BatchNormInputGrad is the cotangent of BatchNorm's x: dy·scale/√(variance +
// epsilon). dx may be dy.
func BatchNormInputGrad(q Queue, scale, variance driver.Ptr, dy, dx Array, images, channels, area int, epsilon float64, work driver.Ptr) error {
	n, err := product("batch_norm", mostBytes, images, channels, area)
	if err != nil || n == 0 {
		return err
	}
	if _, err := product("batch_norm", mostInt, max(images*channels, area)); err != nil {
		return err
	}
	if err := q.launch("batch_norm_factors", overElements(channels), pointers(scale, 0, 0, variance, work, 0), longs(channels), doubles(epsilon)); err != nil {
		return err
	}
	return q.launch("affine_channels", overRows(images*channels, area), pointers(dy.Data, work, 0, dx.Data), ints(images*channels, channels, area), formats(dy, dx))
}

// BatchNormParameterGradsWork is the scratch memory of BatchNormParameterGrads, in bytes.
func BatchNormParameterGradsWork(images, channels int) int64 {
	return int64(aligned(2 * doubleBytes * images * channels))
}

// BatchNormParameterGrads is the cotangent of BatchNorm's parameters, each [channels]
// and left out where 0. With r = 1/√(variance + epsilon) and sums over each
// channel: Σdy·(x−mean)·r of scale, Σdy of bias, −Σdy·r·scale of mean and
// −Σdy·(x−mean)·r³·scale/2 of variance.
func BatchNormParameterGrads(q Queue, x Array, scale, mean, variance driver.Ptr, dy Array, dscale, dbias, dmean, dvariance driver.Ptr, images, channels, area int, epsilon float64, work driver.Ptr) error {
	if _, err := product("batch_norm_grads", mostBytes, images, channels, area); err != nil || channels == 0 {
		return err
	}
	if images > 0 {
		if err := q.launch("batch_norm_sums", overWarps(images*channels), pointers(x.Data, mean, dy.Data, work), longs(images*channels, channels, area), formats(x, dy)); err != nil {
			return err
		}
	}
	return q.launch("batch_norm_grads", overElements(channels), pointers(work, scale, variance, dscale, dbias, dmean, dvariance), longs(images, channels), doubles(epsilon))
}
