package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/modeldoctor/modeldoctor/report"
)

// treatments compares PoL on the last block of a ViT-B/16, the head perturbed and what
// lies below kept, with PoF, which updates all but the head.
func treatments(ctx context.Context, b *bench) (t table, err error) {
	t.notes = append(t.notes, fmt.Sprintf("ViT-B/16, 16 training images in batches of 8, %d threads; images that are updated with in a second of the last epoch, of 8 and of 2. "+
		"Memory is what the program holds for itself, without the pages of the model's file.", b.threads))
	path, err := b.vitB16()
	if err != nil {
		return t, err
	}
	pol := func() (*report.Fix, error) {
		return b.treated(ctx, path, "--epochs", "8", "--recipe", "pol", "--perturb", "head", "--update", "blocks.11")
	}
	pof := func() (*report.Fix, error) { return b.treated(ctx, path, "--epochs", "2", "--recipe", "pof") }
	speed := comparison{what: "PoL, images a second", unit: perSecond, with: "PoF", goal: 12}
	memory := comparison{what: "PoL, memory", unit: mebibytes, with: "PoF", goal: 4}
	for range of(b, 2, 1) {
		for _, turn := range []struct {
			treat         func() (*report.Fix, error)
			speeds, peaks *[]float64
		}{{pol, &speed.own, &memory.own}, {pof, &speed.other, &memory.other}} {
			fix, err := turn.treat()
			if err != nil {
				return t, err
			}
			last := fix.Epochs[len(fix.Epochs)-1] // the first one also compiles
			*turn.speeds = append(*turn.speeds, float64(last.Steps*batch)/last.Seconds)
			*turn.peaks = append(*turn.peaks, float64(fix.PeakBytes))
		}
	}
	t.compare(speed)
	t.compare(memory)
	return t, nil
}

// treated treats a model on very few images of the built-in sample, and writes nothing.
func (b *bench) treated(ctx context.Context, model string, args ...string) (*report.Fix, error) {
	args = append([]string{"fix", "--trial", "--quiet", "--config", "none", "--format", "json", "--preprocess", "imagenet", "--threads", strconv.Itoa(b.threads),
		"--train", "train[:16]", "--val", "val[:8]", "--holdout", "holdout[:8]", "--batch", strconv.Itoa(batch), "--perturb-batch", "16",
		"--lr", "0.001", "--calibration", "none", "--run-batch", strconv.Itoa(batch)}, args...)
	run, err := costOf(ctx, b.program, append(args, model)...)
	if err != nil {
		return nil, err
	}
	fix, err := report.ReadFix(bytes.NewReader(run.out))
	if err == nil && len(fix.Epochs) == 0 {
		err = fmt.Errorf("%s: no epoch was trained", model)
	}
	return fix, err
}
