package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// sizes are those of a ViT for scripts/peers.py.
func sizes(v onnxtest.ViT) string {
	return fmt.Sprintf("%d,%d,%d,%d,%d,%d", v.Image, v.Patch, v.Width, v.Depth, v.Heads, v.Hidden)
}

// A match is this program's work beside that of peers.
type match struct {
	what    string
	work    string
	model   string
	threads int
	rounds  int
	peers   [][]string // arguments for scripts/peers.py
	goals   []float64  // how many times as fast as each peer this program should be
}

// play lets all take turns, and adds a row for each peer.
func (b *bench) play(ctx context.Context, t *table, m match) error {
	own, err := b.own(ctx, m.work, m.model, m.threads)
	if err != nil {
		return err
	}
	workers := []*worker{own}
	for _, args := range m.peers {
		peer, err := b.peer(ctx, m.threads, args...)
		if err != nil {
			return errors.Join(err, closeAll(workers))
		}
		workers = append(workers, peer)
	}
	times, err := takeTurns(workers, m.rounds)
	if err != nil {
		return err
	}
	for i, peer := range workers[1:] {
		c := comparison{what: m.what, unit: seconds, own: times[0], goal: m.goals[i]}
		if peer != nil {
			c.with, c.other = peer.name, times[i+1]
		}
		t.compare(c)
		if peer == nil {
			break // one row says what this program takes
		}
	}
	return nil
}

// vitB16 writes a ViT-B/16.
func (b *bench) vitB16() (string, error) { return b.vit("vit-b16", onnxtest.ViTB16()) }

// vit writes a ViT to the folder of models, unless that was done.
func (b *bench) vit(name string, v onnxtest.ViT) (string, error) {
	path := filepath.Join(b.folder, name+".onnx")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, v.WriteFile(path)
}

// steps measures a ViT-B/16 on one batch.
func steps(ctx context.Context, b *bench) (t table, err error) {
	path, err := b.vitB16()
	if err != nil {
		return t, err
	}
	of := sizes(onnxtest.ViTB16())
	t.notes = append(t.notes, fmt.Sprintf("ViT-B/16 at 224 × 224, %d images, %d threads. The last block's gradients begin at what the block reads.", batch, b.threads))
	return t, errors.Join(
		b.play(ctx, &t, match{
			"forward", workForward, path, b.threads, b.rounds,
			[][]string{{"onnxruntime", "--onnx", path}, {workForward, "--sizes", of}}, []float64{1.15, 1.15},
		}),
		b.play(ctx, &t, match{"gradients of all layers", workGradients, path, b.threads, b.rounds, [][]string{{workGradients, "--sizes", of}}, []float64{1.3}}),
		b.play(ctx, &t, match{"gradients of the last block", workLast, path, b.threads, 3 * b.rounds, [][]string{{workLast, "--sizes", of}}, []float64{4}}),
	)
}

// oneThread measures small networks forward, on one thread.
func oneThread(ctx context.Context, b *bench) (t table, err error) {
	t.notes = append(t.notes, fmt.Sprintf("%d images, one thread.", batch))
	small := onnxtest.ViT{Image: 112, Patch: 14, Width: 384, Depth: 12, Heads: 6, Hidden: 1536, Classes: 100}
	for _, net := range []struct {
		what, file string
		write      func(path string) error
		goal       float64
	}{
		{"ViT-S/14 at 112 × 112", "vit-s14.onnx", small.WriteFile, 1},
		{"ResNet-20 at 32 × 32", "resnet-20.onnx", writeResNet20, 1},
		{"MobileNetV2 at 224 × 224", "mobilenet-v2.onnx", writeMobileNetV2, 1 / 1.3},
	} {
		path := filepath.Join(b.folder, net.file)
		if err := net.write(path); err != nil {
			return t, err
		}
		if err := b.play(ctx, &t, match{net.what, workForward, path, 1, 3 * b.rounds, [][]string{{"onnxruntime", "--onnx", path}}, []float64{net.goal}}); err != nil {
			return t, err
		}
	}
	return t, nil
}
