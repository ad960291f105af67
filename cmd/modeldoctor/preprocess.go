package main

import (
	"context"
	"errors"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
)

// choosePreprocess takes what --preprocess names, else what lies beside the
// model or in its metadata, else the preset that fits V best, which is then
// detected; nil where it was not.
func choosePreprocess(ctx context.Context, opt dataOptions, m *loaded, validation dataset.Set, con *console) (p dataset.Preprocess, detected *examples.Detection, err error) {
	var found *dataset.Preprocess
	if opt.preprocess != "" {
		found, err = dataset.LoadPreprocess(opt.preprocess)
	} else {
		found, err = dataset.FindPreprocess(modelFile(m, con))
	}
	if err != nil {
		return p, nil, err
	}
	in := m.network.Input
	var orders []dataset.Channels // nil: any
	switch opt.channels {
	case "rgb":
		orders = []dataset.Channels{dataset.RGB}
	case "bgr":
		orders = []dataset.Channels{dataset.BGR}
	}
	if found != nil {
		p = *found
		if orders != nil {
			p = p.WithChannels(orders[0])
		}
		p, err = p.ForInput(in.Height, in.Width)
	} else {
		var found examples.Detection
		found, err = examples.DetectPreprocess(ctx, m.runner, validation, in, orders, con.progress)
		p, detected = found.Best, &found
		var chance *diag.ChanceError
		if errors.As(err, &chance) {
			err = unreadable(err, "name the preprocessing with --preprocess, and make sure that the data's classes are the model's (--labels)")
		}
	}
	p.Grey, p.EXIF = in.Channels == 1, opt.exif
	return p, detected, err
}
