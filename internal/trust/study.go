package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/graph/gpu"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// A study is a model with images that it has not seen, and the diagnoses that the
// experiments have in common.
type study struct {
	file    *onnx.Model
	network *graph.Network
	runner  *graph.Runner
	gpu     *gpu.Device // nil: the processor
	layers  []diag.Layer
	images  *examples // all test images
	setting
	made map[draw][]diagnosis
}

// A setting says how a study diagnoses.
type setting struct {
	direction  diag.Direction
	stratified bool // V are drawn so that each has about as many images of every class
}

// newSetting reads what a user writes.
func newSetting(direction, drawing string) (s setting, err error) {
	switch direction {
	case diag.Line.String():
	case diag.Balanced.String():
		s.direction = diag.Balanced
	default:
		return s, fmt.Errorf("-direction: %q is neither %v nor %v", direction, diag.Line, diag.Balanced)
	}
	switch drawing {
	case "random":
	case "stratified":
		s.stratified = true
	default:
		return s, fmt.Errorf("-draw: %q is neither stratified nor random", drawing)
	}
	return s, nil
}

// draw is some validation sets of a size.
func (s setting) draw(sets, size int, seed uint64) draw { return draw{sets, size, seed, s.stratified} }

// A diagnosis is a report with the images that it rests on.
type diagnosis struct {
	images []int // of the study
	report *diag.Report
}

// Shares of a GPU's memory that the activations of one batch may take.
const (
	forwardShare  = 16
	backwardShare = 4
)

// openStudy opens the model and reads the images.
func openStudy(set dataset.Set, path, device string, how setting) (*study, error) {
	s := &study{setting: how, made: map[draw][]diagnosis{}}
	var building graph.Options
	var running graph.RunnerOptions
	switch device {
	case "cpu":
	case "gpu":
		d, err := gpu.Open(gpu.Options{})
		if err != nil {
			return nil, fmt.Errorf("-device gpu: %w", err)
		}
		s.gpu, running.Device = d, d
		building.ForwardBytes, running.BackwardBytes = d.Memory()/forwardShare, d.Memory()/backwardShare
	default:
		return nil, fmt.Errorf("-device: %q is neither cpu nor gpu", device)
	}
	err := s.open(set, path, building, running)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *study) open(set dataset.Set, path string, building graph.Options, running graph.RunnerOptions) (err error) {
	if s.file, err = onnx.Open(path); err != nil {
		return err
	}
	if s.network, err = graph.Build(s.file, building); err != nil {
		return err
	}
	s.runner = graph.NewRunner(s.network, running)
	for _, l := range s.network.Layers(graph.ByBlock) {
		s.layers = append(s.layers, diagLayer(l))
	}
	s.images, err = prepare(set, s.network)
	return err
}

func diagLayer(l graph.Layer) diag.Layer {
	return diag.Layer{Name: l.Name, Index: l.Index, Weights: l.Weights, Parameters: l.Parameters, Neck: l.Neck}
}

// close lets go of the model and the device.
func (s *study) close() error {
	if s.runner != nil {
		s.runner.Close()
	}
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	if s.gpu != nil {
		err = errors.Join(err, s.gpu.Close())
	}
	return err
}

// machine says where the model runs.
func (s *study) machine() string {
	if s.gpu != nil {
		return s.gpu.String()
	}
	return fmt.Sprintf("%s, %d threads, %s kernels", runtime.GOARCH, runtime.GOMAXPROCS(0), s.runner.Variant())
}

// name is that of the model's file and folder.
func (s *study) name() string {
	return filepath.Base(filepath.Dir(s.file.Path)) + "/" + filepath.Base(s.file.Path)
}

// diagnose diagnoses layers of a model on some images.
func (s *study) diagnose(ctx context.Context, m nn.Model, v *examples, layers []diag.Layer) (*diag.Report, error) {
	return diag.Diagnose(ctx, m, v, layers, diag.Options{Direction: s.direction, Tests: diag.Measurable(s.layers)})
}

// diagnoses are those of all layers on the validation sets of a draw. They are
// made once.
func (s *study) diagnoses(ctx context.Context, d draw) ([]diagnosis, error) {
	if made, ok := s.made[d]; ok {
		return made, nil
	}
	var made []diagnosis
	for _, part := range d.parts(s.images.labels) {
		r, err := s.diagnose(ctx, s.runner, s.images.part(part), s.layers)
		if err != nil {
			return nil, err
		}
		made = append(made, diagnosis{part, r})
	}
	s.made[d] = made
	return made, nil
}

// whole is the draw of all images in one set.
func (s *study) whole() draw { return draw{sets: 1, size: s.images.Len()} }
