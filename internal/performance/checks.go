package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/modeldoctor/modeldoctor/onnx/onnxtest"
)

// fixture is the model of the quick start, and fixtureViT what it is.
const fixture = "fixtures/vit-cifar100/model.onnx"

func fixtureViT() onnxtest.ViT {
	return onnxtest.ViT{Image: 32, Patch: 8, Width: 96, Depth: 6, Heads: 3, Hidden: 384, Classes: classes}
}

// checks measures diagnoses: beside scripts of the same layers and as many images, and
// beside an earlier program.
func checks(ctx context.Context, b *bench) (t table, err error) {
	t.notes = append(t.notes, fmt.Sprintf("Whole programs, %d threads. Memory is the largest resident set. The scripts search each layer on all images, and on either half, trying the result on the other: %s.", b.threads, peersScript))
	layers := []string{"embed"}
	for i := range fixtureViT().Depth {
		layers = append(layers, fmt.Sprintf("blocks.%d", i))
	}
	layers = append(layers, "head")
	if err := b.scripted(ctx, &t, diagnosed{fixture, fixtureViT(), "the fixture, all layers", layers, of(b, 1000, 40), 64, "", []string{"good", "naive"}}); err != nil {
		return t, err
	}
	if !b.quick {
		path, err := b.vitB16()
		if err != nil {
			return t, err
		}
		layers := []string{"blocks.9", "blocks.11", "head"}
		if err := b.scripted(ctx, &t, diagnosed{path, onnxtest.ViTB16(), "ViT-B/16, " + strings.Join(layers, ", "), layers, 32, batch, "imagenet", []string{"good"}}); err != nil {
			return t, err
		}
	}
	return t, b.besideEarlier(ctx, &t)
}

// A diagnosed model is one that scripts diagnose, too.
type diagnosed struct {
	path       string
	as         onnxtest.ViT
	what       string
	layers     []string
	images     int
	batch      int
	preprocess string   // empty: as is found
	modes      []string // of the script
}

// Goals for the time of a script and for its memory, in those of this program.
var scriptGoals = map[string]float64{"good": 3, "naive": 5}

const memoryGoal = 3

// scripted compares a diagnosis with scripts.
func (b *bench) scripted(ctx context.Context, t *table, d diagnosed) error {
	args := []string{"--samples", strconv.Itoa(d.images), "--layers", strings.Join(d.layers, ",")}
	if d.preprocess != "" {
		args = append(args, "--preprocess", d.preprocess)
	}
	own, err := checked(ctx, b, b.program, append(args, d.path)...)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s, %d images", d.what, d.images)
	time := comparison{what: what, unit: seconds, own: []float64{own.seconds}}
	memory := comparison{what: what, unit: mebibytes, own: []float64{own.peak}}
	if b.python == "" {
		t.compare(time)
		t.compare(memory)
		return nil
	}
	for _, mode := range d.modes {
		script, err := costOf(ctx, b.python, peersScript, "check", "--mode", mode, "--sizes", sizes(d.as), "--layers", strings.Join(d.layers, ","),
			"--images", strconv.Itoa(d.images), "--batch", strconv.Itoa(d.batch), "--threads", strconv.Itoa(b.threads))
		if err != nil {
			return err
		}
		// What it says is the diagnosis alone, without the time to import PyTorch.
		said := struct{ Seconds float64 }{}
		if err := json.Unmarshal(script.out, &said); err != nil {
			return fmt.Errorf("%s: %w", peersScript, err)
		}
		time.with, time.other, time.goal = mode+" script", []float64{said.Seconds}, scriptGoals[mode]
		memory.with, memory.other, memory.goal = mode+" script", []float64{script.peak}, memoryGoal
		t.compare(time)
		t.compare(memory)
	}
	return nil
}

// besideEarlier compares the CPU time of a diagnosis with that of an earlier program.
func (b *bench) besideEarlier(ctx context.Context, t *table) error {
	images := of(b, 1000, 100)
	c := comparison{what: fmt.Sprintf("the fixture, all layers, %d images, CPU time", images), unit: seconds}
	if b.before != "" {
		c.with, c.goal = "earlier modeldoctor", 2
	}
	for range b.rounds {
		for _, turn := range []struct {
			program string
			times   *[]float64
		}{{b.program, &c.own}, {b.before, &c.other}} {
			if turn.program == "" {
				continue
			}
			run, err := checked(ctx, b, turn.program, "--samples", strconv.Itoa(images), fixture)
			if err != nil {
				return err
			}
			*turn.times = append(*turn.times, run.cpu)
		}
	}
	t.compare(c)
	return nil
}
