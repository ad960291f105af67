package main

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// sampleImages is how many images for validation the built-in sample has.
const sampleImages = 1000

// narrow is a ViT that grows in one way.
func narrow() onnxtest.ViT {
	return onnxtest.ViT{Image: 32, Patch: 8, Width: 64, Depth: 3, Heads: 2, Hidden: 256, Classes: classes}
}

// A sweep is check with more and more of something.
type sweep struct {
	what   string
	sizes  []int
	images func(size int) int
	model  func(size int) (string, error)
}

// growth measures check against images, depth and tokens, and fits CPU time ∝ sizeᵖ.
func growth(ctx context.Context, b *bench) (t table, err error) {
	t.grown = true
	t.notes = append(t.notes, fmt.Sprintf("CPU time of `check` of all layers, %d threads. The exponent is the slope of a straight line through the logarithms, by least squares; the last one is of the last two sizes alone. "+
		"Each layer's search computes what lies above it, so that depth costs its square where images and tokens cost what they are. Depth is that of a ViT of width 64 with 17 tokens, on 100 images; tokens are those of one with 3 blocks.", b.threads))
	images := of(b, []int{100, 300, 1000, 3000}, []int{50, 100})
	if b.data == "" && !b.quick {
		images = images[:3]
		t.notes = append(t.notes, fmt.Sprintf("Without CIFAR-100 there are %d images.", sampleImages))
	}
	few := func(int) int { return of(b, 100, 40) }
	for _, s := range []sweep{
		{"images, the fixture", images, func(n int) int { return n }, func(int) (string, error) { return fixture, nil }},
		{"blocks", of(b, []int{3, 6, 12, 24}, []int{3, 6}), few, func(depth int) (string, error) {
			v := narrow()
			v.Depth = depth
			return b.vit(fmt.Sprintf("depth-%d", depth), v)
		}},
		{"tokens", of(b, []int{17, 65, 257}, []int{17, 65}), few, func(tokens int) (string, error) {
			v := narrow()
			v.Patch = v.Image / int(math.Sqrt(float64(tokens-1)))
			return b.vit(fmt.Sprintf("tokens-%d", tokens), v)
		}},
	} {
		if err := b.sweep(ctx, &t, s); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (b *bench) sweep(ctx context.Context, t *table, s sweep) error {
	var costs []float64
	for _, size := range s.sizes {
		path, err := s.model(size)
		if err != nil {
			return err
		}
		args := []string{"--preprocess", "cifar100", "--samples", strconv.Itoa(s.images(size))}
		if s.images(size) > sampleImages {
			args = append(args, "--data", b.data)
		}
		run, err := checked(ctx, b, b.program, append(args, path)...)
		if err != nil {
			return err
		}
		costs = append(costs, run.cpu)
	}
	t.grow(growing{s.what, s.sizes, costs})
	return nil
}

// exponent is the slope p of log cost = p·log size + c, by least squares.
func exponent(sizes []int, costs []float64) float64 {
	var x, y, xx, xy float64
	for i, size := range sizes {
		a, b := math.Log(float64(size)), math.Log(costs[i])
		x, y, xx, xy = x+a, y+b, xx+a*a, xy+a*b
	}
	n := float64(len(sizes))
	return (n*xy - x*y) / (n*xx - x*x)
}
