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

// operation is a treatment that is ready to begin.
type operation struct {
	*loaded // what is treated: the subject's model, or a version of it with untied weights
	subject *subject
	choice
	options    pol.Options // but for checkpoints
	dequantize bool
}

// prepare makes ready to treat the layers that were chosen of a subject. The
// caller closes the operation before the subject.
func prepare(s *subject, chosen choice, opt treatmentOptions) (*operation, error) {
	treated, plan, err := separateShared(s.loaded, chosen.plan, opt)
	if err != nil {
		return nil, err
	}
	op := &operation{loaded: treated, subject: s, choice: choice{plan, chosen.found}, options: opt.training, dequantize: opt.dequantize}
	if s.train != nil {
		op.options.PerturbBatch = min(op.options.PerturbBatch, s.train.Images())
	}
	op.options.Progress = opt.run.console.progress
	op.options.Stored = op.stored
	if op.options.Calibrated {
		if op.options.Classifier, err = classifierOf(treated); err != nil {
			op.close()
			return nil, err
		}
	}
	return op, nil
}

// classifierOf is the weights that the temperature is folded into.
func classifierOf(m *loaded) (diag.Layer, error) {
	weights, err := m.network.LogitScale()
	if err != nil {
		return diag.Layer{}, unreadable(fmt.Errorf("the temperature cannot be folded into the classifier: %w", err), "treat it without --calibrated")
	}
	l := diag.Layer{Name: "classifier", Weights: weights, Neck: m.runner.Necks() - 2}
	for _, w := range weights {
		l.Neck = min(l.Neck, m.network.Weights[w].Neck)
	}
	return l, nil
}

// close releases what the operation holds besides its subject.
func (op *operation) close() {
	if op.loaded != op.subject.loaded {
		op.loaded.close()
	}
}

// stored are the values that the file gives back for new ones of a weight.
func (op *operation) stored(weight int, values []float32) ([]float32, error) {
	tensor := op.network.Weights[weight].Tensor
	if op.dequantize {
		return tensor.Dequantized(values)
	}
	return tensor.Rounded(values)
}

// edits are new values of weights, by their index, as changes to the file.
func (op *operation) edits(values map[int][]float32, to target) onnx.Edits {
	e := onnx.Edits{Weights: map[*onnx.Tensor][]float32{}, Dequantize: op.dequantize, InPlace: to.backup != ""}
	for w, v := range values {
		e.Weights[op.network.Weights[w].Tensor] = v
	}
	return e
}

// tryTarget writes the weights to be treated, as they are, to the target and takes
// the file back, so that what stands in the way is known before the training
// rather than after it: a data file of another model, a disk that is full. It
// returns the data files that the target would have.
func (op *operation) tryTarget(to target) ([]string, error) {
	if to.path == "" {
		return nil, nil
	}
	unchanged := map[int][]float32{}
	for _, l := range append(slices.Clone(op.plan.Update), op.options.Classifier) {
		for _, w := range l.Weights {
			unchanged[w] = op.runner.Weight(w)
		}
	}
	draft, err := op.file.Draft(to.path, op.edits(unchanged, to))
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
func (op *operation) write(to target, done *report.Fix) (*report.Output, error) {
	note, err := report.FixMetadata(done, version())
	if err != nil {
		return nil, err
	}
	edits := op.edits(done.Result.Weights, to)
	edits.Metadata = map[string]string{metadataKey: note}
	draft, err := op.file.Draft(to.path, edits)
	if err != nil {
		return nil, err
	}
	defer draft.Discard() // no-op once it is committed
	changed, err := op.verifyDraft(draft, edits)
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
	return &report.Output{Path: to.path, SHA256: draft.SHA256(), BytesChanged: changed, Backup: to.backup, DataFiles: draft.DataFiles()}, nil
}

// warnOfGrid says where nothing has changed because no weight has moved by half
// a step of the grid that it is stored on.
func (op *operation) warnOfGrid(result *pol.Result, con *console) {
	quantised := false
	for w, values := range result.Weights {
		quantised = quantised || op.network.Weights[w].Tensor.Quantization() != nil && !op.dequantize
		if !slices.Equal(values, op.runner.Weight(w)) {
			return
		}
	}
	if quantised {
		con.warn("the treatment changes nothing: on the grids that the weights are quantised to, every one is rounded to its old value; --dequantize stores them as floating-point numbers")
	}
}
