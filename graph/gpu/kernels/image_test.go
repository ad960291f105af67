//go:build gpu && linux && cgo

package kernels_test

import (
	"bytes"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"
	"github.com/modeldoctor/modeldoctor/graph/gpu/kernels"
)

func (d *device) bytes(n int) []byte {
	x := make([]byte, n)
	for i := range x {
		x[i] = byte(d.rng.IntN(256))
	}
	return x
}

// taps makes weights for resampling, which need not be a filter's: they may be
// negative and add up to more than 1.
func (d *device) taps(in, out, most int) (first, count, weights []int32) {
	for range out {
		n := 1 + d.rng.IntN(min(most, in))
		first, count = append(first, int32(d.rng.IntN(in-n+1))), append(count, int32(n))
		for range most {
			weights = append(weights, int32((d.rng.Float64()*2-0.7)*(1<<22)))
		}
	}
	return first, count, weights
}

// resample is the loop of dataset/resample.go over lines of samples step apart.
func resample(x []byte, at func(i int) int, first, n int, weights []int32) byte {
	sum := int32(1 << 21)
	for k := range n {
		sum += int32(x[at(first+k)]) * weights[k]
	}
	return byte(min(max(sum>>22, 0), 255))
}

func TestResize(t *testing.T) {
	d := open(t)
	const images, h, w, channels, outH, outW, most = 3, 7, 9, 3, 11, 5, 4
	x := d.bytes(images * h * w * channels)
	first, n, weights := d.taps(w, outW, most)
	px := upload(d, x)
	rows := kernels.Taps{First: upload(d, first), Count: upload(d, n), Weights: upload(d, weights), Most: most, In: w, Out: outW}
	got := result[byte](d, images*h*outW*channels, func(y driver.Ptr) error { return kernels.ResizeRows(d.q, rows, px, y, images*h, channels) })
	want := make([]byte, len(got))
	for i := range want {
		c, o, line := i%channels, i/channels%outW, i/channels/outW
		want[i] = resample(x, func(j int) int { return (line*w+j)*channels + c }, int(first[o]), int(n[o]), weights[o*most:])
	}
	if !bytes.Equal(got, want) {
		t.Errorf("rows: %v\nexpected %v", got, want)
	}
	first, n, weights = d.taps(h, outH, most)
	columns := kernels.Taps{First: upload(d, first), Count: upload(d, n), Weights: upload(d, weights), Most: most, In: h, Out: outH}
	const line = w * channels
	got = result[byte](d, images*outH*line, func(y driver.Ptr) error { return kernels.ResizeColumns(d.q, columns, px, y, images, line) })
	want = make([]byte, len(got))
	for i := range want {
		p, o, image := i%line, i/line%outH, i/line/outH
		want[i] = resample(x, func(j int) int { return (image*h+j)*line + p }, int(first[o]), int(n[o]), weights[o*most:])
	}
	if !bytes.Equal(got, want) {
		t.Errorf("columns: %v\nexpected %v", got, want)
	}
}

func TestImages(t *testing.T) {
	for _, planar := range []bool{false, true} {
		for _, top := range []int{0, 2, -1} {
			d := &device{}
			t.Run("", func(t *testing.T) {
				d = open(t)
				o := kernels.Images{Channels: 3, Height: 6, Width: 5, Planar: planar, OutHeight: 4, OutWidth: 7, Top: top, Left: -1}
				const stored, n = 4, 3
				x, table, index := d.bytes(stored*3*6*5), d.normal(3*256), []int32{2, 0, 3}
				px, pt, pi := upload(d, x), upload(d, table), upload(d, index)
				for _, named := range []bool{false, true} {
					names := driver.Ptr(0)
					if named {
						names = pi
					}
					var want []float64
					for i := range n {
						image := i
						if named {
							image = int(index[i])
						}
						for c := range 3 {
							for r := range o.OutHeight {
								for column := range o.OutWidth {
									y, z, v := r+o.Top, column+o.Left, byte(0)
									if y >= 0 && y < 6 && z >= 0 && z < 5 {
										v = x[image*90+(y*5+z)*3+c]
										if planar {
											v = x[image*90+c*30+y*5+z]
										}
									}
									want = append(want, float64(table[c*256+int(v)]))
								}
							}
						}
					}
					d.close("y", d.result(len(want), func(y driver.Ptr) error { return o.ToFloat(d.q, px, names, pt, y, n) }), want, 0)
				}
			})
		}
	}
}
