package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// convolutions are geometries with odd sizes, pads on one side or none, strides that leave elements
// over, dilations, groups, and sizes that take several parts, blocks and tiles.
var convolutions = []Convolution{
	planes(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
	planes(2, 3, 16, 1, 32, 32, 3, 3, 1, 1, 1, 1),
	planes(3, 5, 7, 1, 9, 11, 3, 2, 1, 1, 1, 0),
	planes(9, 16, 24, 1, 7, 7, 1, 1, 1, 1, 0, 0),
	planes(2, 50, 25, 1, 13, 14, 1, 1, 2, 1, 0, 0),
	planes(2, 4, 13, 1, 15, 16, 3, 3, 2, 1, 1, 1),
	planes(2, 4, 13, 1, 16, 33, 3, 3, 2, 1, 1, 2),
	planes(3, 17, 20, 1, 8, 8, 3, 3, 1, 1, 1, 1),
	planes(2, 44, 34, 2, 8, 8, 3, 3, 1, 1, 1, 1),
	planes(1, 600, 3, 1, 16, 8, 3, 3, 1, 1, 1, 1),
	planes(2, 5, 14, 1, 31, 32, 3, 3, 2, 1, 1, 1),
	planes(3, 4, 9, 1, 7, 16, 3, 3, 1, 1, 1, 1),
	planes(40, 7, 100, 1, 1, 1, 1, 1, 1, 1, 0, 0),
	planes(2, 400, 100, 1, 7, 7, 1, 1, 1, 1, 0, 0),
	planes(1, 3, 5, 1, 23, 21, 7, 7, 2, 1, 3, 3),
	planes(1, 3, 5, 1, 23, 21, 4, 4, 4, 1, 0, 0),
	planes(2, 2, 3, 1, 12, 17, 5, 3, 3, 2, 4, 1),
	planes(1, 2, 2, 1, 8, 8, 1, 1, 1, 1, 1, 2),
	planes(2, 8, 4, 1, 20, 19, 3, 3, 1, 3, 3, 3),
	planes(2, 130, 9, 1, 6, 5, 3, 3, 1, 1, 1, 1),
	planes(1, 50, 110, 1, 30, 28, 3, 3, 1, 1, 1, 1),
	planes(3, 6, 40, 1, 9, 10, 3, 3, 1, 2, 2, 1),
	planes(2, 3, 50, 1, 17, 17, 5, 5, 3, 1, 2, 2),
	planes(5, 7, 48, 1, 7, 7, 3, 3, 1, 1, 1, 1),
	planes(2, 3, 50, 1, 2, 2, 3, 3, 1, 2, 2, 2),
	planes(2, 6, 9, 3, 10, 10, 3, 3, 1, 1, 1, 1),
	planes(2, 6, 12, 6, 10, 10, 3, 3, 2, 1, 1, 1),
	planes(3, 40, 40, 40, 7, 7, 3, 3, 1, 1, 1, 1),
	planes(2, 19, 19, 19, 28, 29, 5, 5, 2, 1, 2, 2),
	planes(1, 5, 5, 5, 300, 170, 3, 3, 1, 1, 1, 1),
	planes(2, 9, 9, 9, 12, 37, 5, 5, 1, 1, 2, 2),
	planes(1, 5, 5, 5, 11, 20, 5, 5, 1, 1, 0, 0),
	planes(2, 33, 33, 33, 9, 16, 3, 3, 1, 1, 0, 1),
	planes(1, 3, 3, 3, 5, 2, 3, 3, 1, 1, 1, 1),
	planes(2, 7, 7, 7, 14, 14, 3, 3, 2, 2, 2, 1),
	planes(2, 4, 6, 1, 1, 50, 1, 5, 1, 1, 0, 2),
}

// planes is a convolution with as much padding after as there is before, but for one row less if
// the padding before is more than 1.
func planes(images, channels, filters, groups, height, width, tapsY, tapsX, stride, dilation, beforeY, beforeX int) Convolution {
	out := func(in, taps, before int) int {
		after := before
		if before > 1 {
			after--
		}
		return (in+before+after-(taps-1)*dilation-1)/stride + 1
	}
	return Convolution{images, channels, filters, groups, [2]int{height, width}, [2]int{out(height, tapsY, beforeY), out(width, tapsX, beforeX)},
		[2]int{tapsY, tapsX}, [2]int{stride, stride}, [2]int{dilation, dilation}, [2]int{beforeY, beforeX}}
}

// plainConvolution is the definition.
func plainConvolution(g Convolution, x, w []float32, e Ending) []float64 {
	var y []float64
	channels, filters := g.Channels/g.Groups, g.Filters/g.Groups
	for n := range g.Images {
		for f := range g.Filters {
			for i := range g.Out[0] {
				for j := range g.Out[1] {
					var sum float64
					for c := range channels {
						for a := range g.Taps[0] {
							for b := range g.Taps[1] {
								row, column := i*g.Stride[0]-g.Before[0]+a*g.Dilation[0], j*g.Stride[1]-g.Before[1]+b*g.Dilation[1]
								if row < 0 || row >= g.In[0] || column < 0 || column >= g.In[1] {
									continue
								}
								at := ((n*g.Channels+f/filters*channels+c)*g.In[0]+row)*g.In[1] + column
								sum += float64(x[at]) * float64(w[((f*channels+c)*g.Taps[0]+a)*g.Taps[1]+b])
							}
						}
					}
					if e.Bias != nil {
						sum += float64(e.Bias[f])
					}
					if e.Scale != nil {
						sum = sum*float64(e.Scale[f]) + float64(e.Shift[f])
					}
					if e.Added != nil {
						sum += float64(e.Added[len(y)])
					}
					sum = min(float64(e.High), max(float64(e.Low), sum))
					switch e.Gate.By {
					case SigmoidGate:
						sum *= sigmoid(sum)
					case HardSigmoidGate:
						sum *= max(0, min(1, float64(e.Gate.A)*sum+float64(e.Gate.B)))
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

// The result is that of the definition, and has the same bits on any number of threads, for both
// vector widths and wherever it is cut into parts; nothing but the operands is touched.
func TestConvolve(t *testing.T) {
	for _, g := range convolutions {
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			random := func(n int) []float32 { v := guarded(t, n); fill(rng, v); return v }
			x, w := random(g.Images*g.Channels*g.In[0]*g.In[1]), random(g.Filters*g.Channels/g.Groups*g.Taps[0]*g.Taps[1])
			size := g.Images * g.Filters * g.Out[0] * g.Out[1]
			full := Ending{random(g.Filters), random(g.Filters), random(g.Filters), random(size), -0.5, 2, Gating{}}
			gated, hard := Unbounded(), Unbounded()
			gated.Gate.By = SigmoidGate
			hard.Gate = Gating{HardSigmoidGate, 1. / 6, 0.5}
			for _, e := range []Ending{Unbounded(), full, gated, hard} {
				want := plainConvolution(g, x, w, e)
				var first []float32
				for _, v := range Variants() {
					for _, threads := range []int{1, 2, 5} {
						c := NewContext(threads, WithVariant(v))
						if !c.Convolves(g) {
							continue
						}
						dirty(c)
						y := guarded(t, size)
						Convolve(c, g, x, w, e, y)
						if first == nil {
							first = y
						}
						equalBits(t, fmt.Sprint(v, " on ", threads, " threads"), y, first)
					}
				}
				for i, got := range first {
					if !sums.ok(float64(got), want[i]) && math.Abs(float64(got)-want[i]) > 1e-5*math.Sqrt(float64(len(w)/g.Filters)) {
						t.Fatalf("element %d = %v, want %v", i, got, want[i])
					}
				}
			}
		})
	}
}

// dirty fills the pool of a Context with buffers of NaN: what a kernel does not write it must not
// use.
func dirty(c *Context) {
	var buffers [][]float32
	for n := 64; n < 1<<19; n *= 4 {
		for range 2 {
			b := Scratch[float32](c, n)
			for i := range b {
				b[i] = float32(math.NaN())
			}
			buffers = append(buffers, b)
		}
	}
	for _, b := range buffers {
		Release(c, b)
	}
}

// The largest element of each window, whatever is padding, and NaN where there is one.
func TestMaxPool(t *testing.T) {
	for _, g := range convolutions {
		if g.Groups != 1 {
			continue
		}
		g.Channels = min(g.Channels, 20)
		g.Filters, g.Groups = g.Channels, g.Channels
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			x := guarded(t, g.Images*g.Channels*g.In[0]*g.In[1])
			fill(rand.New(rand.NewPCG(3, 4)), x)
			x[len(x)/2] = float32(math.NaN())
			want := make([]float32, g.Images*g.Channels*g.Out[0]*g.Out[1])
			for at := range want {
				plane, i, j := at/(g.Out[0]*g.Out[1]), at/g.Out[1]%g.Out[0], at%g.Out[1]
				want[at] = float32(math.Inf(-1))
				for tap := range g.Taps[0] * g.Taps[1] {
					row, column := i*g.Stride[0]-g.Before[0]+tap/g.Taps[1]*g.Dilation[0], j*g.Stride[1]-g.Before[1]+tap%g.Taps[1]*g.Dilation[1]
					if row >= 0 && row < g.In[0] && column >= 0 && column < g.In[1] {
						want[at] = max(want[at], x[(plane*g.In[0]+row)*g.In[1]+column])
					}
				}
			}
			for _, v := range Variants() {
				for _, threads := range []int{1, 3} {
					c := NewContext(threads, WithVariant(v))
					if !c.Convolves(g) {
						continue
					}
					dirty(c)
					y := guarded(t, len(want))
					MaxPool(c, g, x, y)
					equalBits(t, fmt.Sprint(v), y, want)
				}
			}
		})
	}
}

// The cotangents are the adjoints of the definition, with the same bits on any number of threads
// and for both vector widths.
func TestConvolveGradients(t *testing.T) {
	for _, g := range convolutions {
		t.Run(fmt.Sprintf("%+v", g), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, 6))
			random := func(n int) []float32 { v := guarded(t, n); fill(rng, v); return v }
			x, w := random(g.Images*g.Channels*g.In[0]*g.In[1]), random(g.Filters*g.Channels/g.Groups*g.Taps[0]*g.Taps[1])
			dy := random(g.Images * g.Filters * g.Out[0] * g.Out[1])
			wantX, wantW := plainGradients(g, x, w, dy)
			var firstX, firstW []float32
			for _, v := range Variants() {
				for _, threads := range []int{1, 2, 5} {
					c := NewContext(threads, WithVariant(v))
					if !c.Convolves(g) {
						continue
					}
					dirty(c)
					dx, dw := guarded(t, len(x)), guarded(t, len(w))
					if g.ConvolvesInput() {
						ConvolveInput(c, g, w, dy, dx)
					}
					ConvolveFilters(c, g, x, dy, dw)
					if firstX == nil {
						firstX, firstW = dx, dw
					}
					equalBits(t, fmt.Sprint("dx ", v, " on ", threads, " threads"), dx, firstX)
					equalBits(t, fmt.Sprint("dw ", v, " on ", threads, " threads"), dw, firstW)
				}
			}
			near := func(what string, got []float32, want []float64, terms int) {
				for i, v := range got {
					if math.Abs(float64(v)-want[i]) > 1e-5*math.Sqrt(float64(terms)) {
						t.Fatalf("%s: element %d of %d = %v, want %v", what, i, len(got), v, want[i])
					}
				}
			}
			if firstX == nil {
				return
			}
			near("dw", firstW, wantW, g.Images*g.Out[0]*g.Out[1])
			if g.ConvolvesInput() {
				near("dx", firstX, wantX, len(w)/g.Filters)
			}
		})
	}
}

func plainGradients(g Convolution, x, w, dy []float32) (dx, dw []float64) {
	dx, dw = make([]float64, len(x)), make([]float64, len(w))
	channels, filters, taps := g.Channels/g.Groups, g.Filters/g.Groups, g.Taps[0]*g.Taps[1]
	for at, d := range dy {
		area := g.Out[0] * g.Out[1]
		n, f, i, j := at/(g.Filters*area), at/area%g.Filters, at/g.Out[1]%g.Out[0], at%g.Out[1]
		for c := range channels {
			for tap := range taps {
				row, column := i*g.Stride[0]-g.Before[0]+tap/g.Taps[1]*g.Dilation[0], j*g.Stride[1]-g.Before[1]+tap%g.Taps[1]*g.Dilation[1]
				if row < 0 || row >= g.In[0] || column < 0 || column >= g.In[1] {
					continue
				}
				in, k := ((n*g.Channels+f/filters*channels+c)*g.In[0]+row)*g.In[1]+column, (f*channels+c)*taps+tap
				dx[in] += float64(d) * float64(w[k])
				dw[k] += float64(d) * float64(x[in])
			}
		}
	}
	return dx, dw
}

// Without images there is nothing to compute, and the cotangent of the filters is zero.
func TestConvolveNothing(t *testing.T) {
	g := planes(0, 2, 3, 1, 4, 4, 3, 3, 1, 1, 1, 1)
	c := NewContext(1)
	if !c.Convolves(g) {
		t.Skip("no kernels for this CPU")
	}
	w, dw := make([]float32, 54), []float32{53: 1}
	Convolve(c, g, nil, w, Unbounded(), nil)
	ConvolveInput(c, g, w, nil, nil)
	ConvolveFilters(c, g, nil, nil, dw)
	if dw[53] != 0 {
		t.Error("the cotangent of the filters is not zero")
	}
}
