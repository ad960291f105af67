package main

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
	"github.com/modeldoctor/modeldoctor/report"
)

// treatment is a plan for a subject that is ready to be carried out.
type treatment struct {
	*loaded    // what is treated: the subject's model, or a version of it with untied weights
	subject    *subject
	plan       pol.Plan
	found      *diagnosis  // by which it was chosen; see [chosenPlan]
	options    pol.Options // but for checkpoints
	dequantize bool
}

// prepare makes ready to treat the layers that were chosen of a subject. The
// caller closes the treatment before the subject.
func prepare(s *subject, chosen chosenPlan, opt treatmentOptions) (*treatment, error) {
	treated, plan, err := separateShared(s.loaded, chosen.plan, opt)
	if err != nil {
		return nil, err
	}
	t := &treatment{loaded: treated, subject: s, plan: plan, found: chosen.found, options: opt.training, dequantize: opt.dequantize}
	if s.train != nil {
		t.options.PerturbBatch = min(t.options.PerturbBatch, s.train.Images())
	}
	t.options.Progress = opt.run.console.counting("images")
	t.options.Stored = t.stored
	t.options.Memory, t.options.HostMemory = treated.memory(t.options.Memory, treated.roomOfTraining(plan))
	if t.options.Temperature != 1 {
		if t.options.Classifier, err = classifierOf(treated); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

// classifierOf is the weights that the temperature is folded into.
func classifierOf(m *loaded) (diag.Layer, error) {
	weights, err := m.network.LogitScale()
	if err != nil {
		return diag.Layer{}, unreadable(fmt.Errorf("the temperature cannot be folded into the classifier: %w", err), "treat it with --calibration none")
	}
	l := diag.Layer{Name: "classifier", Weights: weights, Neck: m.runner.Necks() - 2}
	for _, w := range weights {
		l.Neck = min(l.Neck, m.network.Weights[w].Neck)
	}
	return l, nil
}

// calibrated returns the options with logits taken as they are, where no temperature
// was asked for by name and none can be kept in the file: it cannot be folded into the
// weights, or most of it would be lost on the grid that they are quantised to.
func (s *subject) calibrated(opt treatmentOptions) treatmentOptions {
	if opt.mustCalibrate || opt.training.Temperature == 1 {
		return opt
	}
	weights, err := s.network.LogitScale()
	for _, w := range weights {
		if s.network.Weights[w].Tensor.Quantization() != nil && !opt.dequantize {
			err = errors.New("it would be lost on the grid that the classifier is quantised to; --dequantize stores it as floating-point numbers")
		}
	}
	if err != nil {
		opt.training.Temperature = 1
		opt.run.console.warn("logits are taken as they are, without a temperature: %v", err)
	}
	return opt
}

// close releases what the treatment holds besides its subject.
func (t *treatment) close() error {
	if t.loaded == t.subject.loaded {
		return nil
	}
	return t.loaded.close()
}

// stored are the values that the file gives back for new ones of a weight.
func (t *treatment) stored(weight int, values []float32) ([]float32, error) {
	tensor := t.network.Weights[weight].Tensor
	if t.dequantize {
		return tensor.Dequantized(values)
	}
	return tensor.Rounded(values)
}

// edits are new values of weights, by their index, as changes to the file.
func (t *treatment) edits(values map[int][]float32, to target) onnx.Edits {
	e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{}, Dequantize: t.dequantize, InPlace: to.backup != ""}
	for w, v := range values {
		e.Weights[t.network.Weights[w].Tensor] = v
	}
	return e
}

// tryTarget writes the weights to be treated, as they are, to the target and takes
// the file back, so that what stands in the way is known before the training
// rather than after it: a data file of another model, a disk that is full. It
// returns the data files that the target would have.
func (t *treatment) tryTarget(to target) ([]string, error) {
	if to.path == "" {
		return nil, nil
	}
	unchanged := map[int][]float32{}
	for _, l := range append(slices.Clone(t.plan.Update), t.options.Classifier) {
		for _, w := range l.Weights {
			unchanged[w] = t.runner.Weight(w)
		}
	}
	draft, err := t.network.Model.Draft(to.path, t.edits(unchanged, to))
	if err != nil {
		var target *onnx.WriteError
		if errors.As(err, &target) && !isFull(err) {
			return nil, &failure{code: exitUsage, err: err, hint: hintOf(err)}
		}
		return nil, err
	}
	var files []string
	for _, f := range draft.DataFiles() {
		files = append(files, f.Path)
	}
	return files, draft.Discard()
}

// isFull reports whether an error is about room on a disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// metadataKey is the entry of a treated file's metadata that says what was done.
const metadataKey = "modeldoctor.fix"

// write writes the treated model: the file is complete, and has been compared
// with the original, before it appears under its name.
func (t *treatment) write(to target, done *report.Fix, weights map[int][]float32) (*report.Output, error) {
	note, err := report.FixMetadata(done, version(), t.options.Seed, t.subject.judgedBy())
	if err != nil {
		return nil, err
	}
	edits := t.edits(weights, to)
	edits.Metadata = map[string]string{metadataKey: note}
	draft, err := t.network.Model.Draft(to.path, edits)
	if err != nil {
		return nil, err
	}
	defer draft.Discard() // nothing once it is committed
	changed, err := draft.Verify(edits)
	if err != nil {
		return nil, err
	}
	if to.backup != "" {
		err = draft.CommitWithBackup(to.backup)
	} else {
		err = draft.Commit()
	}
	if err != nil {
		return nil, err
	}
	return report.NewOutput(to.path, draft.SHA256(), changed, to.backup, draft.DataFiles()), nil
}

// warnOfGrid says where nothing has changed because no weight has moved by half
// a step of the grid that it is stored on.
func (t *treatment) warnOfGrid(result *pol.Result, con *console) {
	quantised := false
	for w, values := range result.Weights {
		quantised = quantised || t.network.Weights[w].Tensor.Quantization() != nil && !t.dequantize
		if !slices.Equal(values, t.runner.Weight(w)) {
			return
		}
	}
	if quantised {
		con.warn("the treatment changes nothing: on the grids that the weights are quantised to, every one is rounded to its old value; --dequantize stores them as floating-point numbers")
	}
}

// warnOfGuess says so where the untreated model is not better than one answer for
// all hold-out images. Classes or pixels that are not the model's own do that more
// often than a bad model, and a treatment would fit it to the mistake.
func (t *treatment) warnOfGuess(result *pol.Result, con *console) {
	n := t.subject.holdout.Len()
	images := make([]int, t.network.Classes)
	for i := range n {
		images[t.subject.holdout.Label(i)]++
	}
	wrong := 0.0
	for _, w := range result.Images.WrongBefore {
		wrong += w
	}
	commonest := slices.Max(images)
	answers := diag.Score{N: n, Hits: n - int(wrong), Chance: float64(commonest) / float64(n)}
	if !answers.BeatsChance() {
		con.warn("before the treatment %d of %d hold-out answers are right, not significantly more than one answer for all images would get (%d): check that the classes are numbered and the images prepared as the model knows them, because a treatment fits it to these data", answers.Hits, n, commonest)
	}
}
