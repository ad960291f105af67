package diag

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
)

// Phases of a diagnosis, as Options.Progress is told. Measuring a layer is a
// phase with the layer's name.
const (
	PhaseLoss      = "loss"
	PhaseGradients = "gradients"
	PhaseRanking   = "ranking"
)

// Diagnose measures each layer on the examples, and concludes.
//
// If the context's deadline passes, it returns the report of what was measured,
// with Complete false, together with an error that wraps
// context.DeadlineExceeded. With any other error there is no report. The model
// has the checkpoint's weights again in every case.
func Diagnose(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, opt Options) (*Report, error) {
	found, err := Measure(ctx, m, v, layers, Share{}, opt)
	if found == nil {
		return nil, err
	}
	report := found.Conclude(opt)
	report.Complete = err == nil
	return report, err
}

// validate checks what the caller promised about the examples and the layers.
func validate(m nn.Model, v nn.Examples, layers []Layer) error {
	if v.Len() == 0 {
		return errors.New("no examples to diagnose on")
	}
	for i := range v.Len() {
		if l := v.Label(i); l < 0 || l >= m.Classes() {
			return fmt.Errorf("example %d has label %d; the model has %d classes, 0 to %d", i, l, m.Classes(), m.Classes()-1)
		}
	}
	if m.Batch() < 1 || m.Necks() < 2 {
		panic(fmt.Sprintf("diag: model with batch %d and %d necks", m.Batch(), m.Necks()))
	}
	for _, l := range layers {
		if l.Skip == "" && (l.Neck < 0 || l.Neck >= m.Necks()-1) {
			panic(fmt.Sprintf("diag: layer %s starts at neck %d of %d", l.Name, l.Neck, m.Necks()))
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.Threshold == 0 {
		o.Threshold = DefaultThreshold
	}
	if o.DescentSteps == 0 {
		o.DescentSteps = DefaultDescentSteps
	}
	return o
}

// labelsOf returns the label of each example.
func labelsOf(v nn.Examples) []int {
	labels := make([]int, v.Len())
	for i := range labels {
		labels[i] = v.Label(i)
	}
	return labels
}

// Measure measures those layers on the examples that are in the share.
//
// If the context's deadline passes, it returns what was measured together with an
// error that wraps context.DeadlineExceeded. With any other error there is nothing.
// The model has the checkpoint's weights again in every case.
func Measure(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, share Share, opt Options) (*Findings, error) {
	if err := validate(m, v, layers); err != nil {
		return nil, err
	}
	if t := opt.Temperature; !(t >= 0) || math.IsInf(t, 1) {
		return nil, fmt.Errorf("temperature %v: expected a positive number", t)
	}
	if opt.Training != nil {
		if err := validate(m, opt.Training, nil); err != nil {
			return nil, fmt.Errorf("training examples: %w", err)
		}
	}
	if opt.Race != nil && (share.Layers != nil || share.Done != nil) {
		return nil, errors.New("layers that race are compared with all others, which a share has not")
	}
	opt = opt.withDefaults()
	found := &Findings{
		N: v.Len(), Classes: m.Classes(), Direction: opt.Direction, Tests: max(opt.Tests, len(measurable(layers))),
		Coverage: opt.Coverage, DrawnFrom: opt.DrawnFrom, PreprocessDetected: opt.PreprocessDetected,
		Layers: make([]LayerFindings, len(layers)),
	}
	if opt.Training != nil {
		found.Training = opt.Training.Len()
	}
	for i, l := range layers {
		found.Layers[i] = LayerFindings{Measured: !l.measurable(), Result: unmeasured(l)}
	}
	switch err := found.measure(ctx, m, v, layers, share, opt); {
	case errors.Is(err, context.DeadlineExceeded):
		return found, fmt.Errorf("time limit: %w", err)
	case err != nil:
		return nil, err
	}
	return found, nil
}

// measure fills the findings. With an error they hold what was measured before.
func (f *Findings) measure(ctx context.Context, m nn.Model, v nn.Examples, layers []Layer, share Share, opt Options) (err error) {
	f.Temperature, f.Calibration = calibrate(opt.Temperature, nil)
	visits := share.visits(layers)
	visited := make([]Layer, len(visits))
	for i, k := range visits {
		visited[i] = layers[k]
	}
	progress := &progress{call: opt.Progress}
	e, vectors := newEvaluator(m, v, visited, progress, opt), foldCount
	defer func() { err = errors.Join(err, e.boundary.Close()) }()
	held := heldOnDevice(e.boundary)
	measurer := &measurer{evaluator: e, costs: newCosts(m, e.folds.n(), opt), direction: opt.Direction, steps: opt.DescentSteps}
	if opt.Training != nil {
		measurer.training = &trainingSet{evaluator: newEvaluator(m, opt.Training, visited, progress, opt)}
		boundary := measurer.training.evaluator.boundary
		defer func() { err = errors.Join(err, boundary.Close()) }()
		held, vectors = held+heldOnDevice(boundary), vectors+1
	}
	var runners *race // nil: all layers are searched
	if opt.Race.wanted(len(visits)) {
		runners = &race{measurer: measurer, Race: *opt.Race, layers: visited, probe: openProbe(m, v, e.folds, visited, opt)}
		defer func() { err = errors.Join(err, runners.probe.Close()) }()
		held += heldOnDevice(runners.probe)
	}
	gradientBudget := int64(math.MaxInt64)
	if opt.Memory > 0 {
		gradientBudget = opt.Memory - held
	}
	groups := sweepGroups(m, visited, vectors, gradientBudget)
	progress.total, progress.phases = measurer.costs.total(groups), phases(groups)
	if runners != nil {
		progress.total, progress.phases = measurer.costs.ranking(groups), 1+2*len(groups)
	}
	progress.begin(PhaseLoss, measurer.costs.evaluation(0))
	if err := e.boundary.Load(ctx, func(int) {}); err != nil {
		return err
	}
	c, logits, confidence, err := measureCheckpoint(ctx, e)
	if err != nil {
		return err
	}
	f.Checkpoint, f.Middle = c, e.folds.middle()
	for _, example := range e.folds.order {
		f.Order = append(f.Order, int32(example))
	}
	if c.NotFinite > 0 {
		for _, i := range visits {
			l := &f.Layers[i]
			l.Measured = true
			l.Result.Status, l.Result.Reason, l.Result.TransferReason = StatusDiverged, c.notFiniteReason(), c.notFiniteReason()
		}
		return share.resume(f)
	}
	temperature := measureTemperature(logits, e.folds.middle())
	f.Temperature, f.Calibration = calibrate(opt.Temperature, temperature)
	e.invT = 1 / f.Temperature
	measurer.start, measurer.sample = c.Losses, newSample(logits, e.invT)
	if e.invT != 1 {
		measurer.start = logits.Losses(e.invT)
	}
	f.Metrics = c.metrics(temperature, metric.Mean(measurer.start), confidence, confidenceAt(e.folds, logits, e.invT))
	if s := measurer.training; s != nil {
		s.evaluator.invT = e.invT
		if err := s.evaluator.boundary.Load(ctx, func(int) {}); err != nil {
			return err
		}
		if s.start, err = s.losses(ctx); err != nil {
			return err
		}
		f.TrainingLoss = metric.Finite(metric.Mean(s.start))
	}
	if err := share.resume(f); err != nil {
		return err
	}
	if runners != nil {
		f.Race, err = runners.run(ctx, groups, func(i int, l LayerFindings) {
			l.Measured = true
			f.Layers[visits[i]] = l
		})
		return err
	}
	measurer.measured = func(l LayerFindings) error {
		l.Measured = true
		f.Layers[visits[0]] = l
		visits = visits[1:]
		return share.measured(f)
	}
	for _, group := range groups {
		if _, err := measurer.group(ctx, group); err != nil {
			return err
		}
	}
	progress.end()
	return nil
}

// newEvaluator opens the activations of examples for visits to layers. With
// training examples two of them share the memory that activations may take.
func newEvaluator(m nn.Model, v nn.Examples, visited []Layer, p *progress, opt Options) *evaluator {
	limit, host := halfOf(opt.Memory), opt.HostMemory
	if opt.Training != nil {
		limit, host = halfOf(limit), host/2
	}
	f := newFolds(labelsOf(v))
	boundary := nn.Open(m, v, f.order, nn.Holding{
		Necks: necksAboveImages(visited), Images: true, Limit: limit, HostLimit: host, TempDir: opt.TempDir,
	})
	return &evaluator{model: m, folds: f, boundary: boundary, progress: p, invT: 1}
}

// heldOnDevice is what activations take of the memory that gradients take, too.
func heldOnDevice(a *nn.Activations) int64 {
	if bytes, in := a.Held(); in == nn.OnDevice {
		return bytes
	}
	return 0
}

// ReasonTimeLimit is why a layer was not reached.
const ReasonTimeLimit = "time limit"

// reasonAllZero is why [Balanced] measures nothing of a layer: its figures would be
// those of a healthy one, whatever the gradient asks for.
const reasonAllZero = "all its weights are zero, and moving them by a share of their norm leaves them there"

// unmeasured is the result of a layer that has not been measured, or will not
// be.
func unmeasured(l Layer) LayerResult {
	r := LayerResult{Name: l.Name, Index: l.Index, Parameters: l.Parameters, Status: StatusSkipped, Reason: ReasonTimeLimit}
	switch {
	case l.Skip != "":
		r.Reason = l.Skip
	case len(l.Weights) == 0:
		r.Reason = "no weights"
	}
	r.TransferReason = r.Reason
	return r
}

// measurable reports whether a layer can be measured.
func (l *Layer) measurable() bool { return l.Skip == "" && len(l.Weights) > 0 }

// measurable returns the indices of the layers that can be measured, in the order
// in which the boundary moves.
func measurable(layers []Layer) []int {
	visits := make([]int, 0, len(layers))
	for i := range layers {
		if layers[i].measurable() {
			visits = append(visits, i)
		}
	}
	slices.SortStableFunc(visits, func(a, b int) int { return cmp.Compare(layers[a].Neck, layers[b].Neck) })
	return visits
}

// Measurable is the number of layers that can be measured: what Options.Tests is
// for all layers of a model.
func Measurable(layers []Layer) int { return len(measurable(layers)) }

// elementBytes is the size of an element of a gradient.
const elementBytes = 4

// sweepGroups divides layers into groups of which so many gradients fit into so
// many bytes together. One layer's always have to.
func sweepGroups(m nn.Sizes, layers []Layer, gradients int, budget int64) (groups [][]Layer) {
	var bytes int64
	for i, l := range layers {
		size := int64(0)
		for _, w := range l.Weights {
			size += int64(m.WeightElements(w)) * int64(gradients) * elementBytes
		}
		if i == 0 || bytes+size > budget {
			groups = append(groups, nil)
			bytes = 0
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], l)
		bytes += size
	}
	return groups
}

// necksAboveImages are the necks of layers, without that of the images.
func necksAboveImages(layers []Layer) []int {
	var necks []int
	for _, l := range layers {
		if l.Neck > 0 {
			necks = append(necks, l.Neck)
		}
	}
	return necks
}

// halfOf is half a budget in bytes, where 0 is no limit.
func halfOf(memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	return max(1, memory/2)
}
