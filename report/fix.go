package report

import (
	"slices"
	"strconv"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
)

// Fix is the result of the command fix. [NewFix] fills it with the outcome of a
// treatment.
type Fix struct {
	Document
	Model       Model           `json:"model"`
	Data        TreatmentData   `json:"data"`
	Recipe      Recipe          `json:"recipe"`
	Output      *Output         `json:"output"` // nil where nothing was written
	Epochs      []Epoch         `json:"epochs"`
	Before      Figures         `json:"before"` // of the hold-out set
	After       *Figures        `json:"after"`  // nil where the training diverged before an epoch was complete
	Gain        *Gain           `json:"gain"`   // likewise
	Temperature *FixTemperature `json:"temperature"`
	// Beyond is the drop of the loss from what the temperature alone makes of it;
	// nil where that is the treatment.
	Beyond *FixDrop `json:"beyond_temperature"`
	// Own is what a temperature that fits the treated model does; Accepted is not about
	// it. nil without a treated model.
	Own *FixTemperature `json:"own_temperature"`
	// OwnBeyond is the drop of the loss from what the temperature alone makes of it to
	// what it is with Own; nil where one of the two is missing.
	OwnBeyond *FixDrop `json:"own_beyond_temperature"`
	// Mended and Spoiled are the hold-out images whose answer has become right, and
	// wrong.
	Mended   int  `json:"mended"`
	Spoiled  int  `json:"spoiled"`
	Accepted bool `json:"accepted"`
	// Objections are what speaks against it; see [pol.Result.Objections].
	Objections []pol.Objection `json:"objections"`
	// Instead is the command, word by word, that divides the logits by the temperature,
	// where that would be accepted and this treatment is not; else nil.
	Instead []string `json:"instead"`
	// HoldoutSeen says that the hold-out images have judged this model before.
	HoldoutSeen bool     `json:"holdout_seen"`
	Forced      bool     `json:"forced"` // the file was written although there are objections
	Trial       bool     `json:"trial"`  // nothing was to be written
	Stopped     Optional `json:"stopped"`
	Trained     int      `json:"trained_parameters"`
	// Rate says how the learning rate came about; nil where it was given.
	Rate *Rate `json:"rate"`
	// TrainedAt is the temperature that is folded into the treated weights; 1: none.
	TrainedAt float64 `json:"trained_at"`
	// Refitted is a temperature that was fitted after the training and is folded in,
	// too; nil: none.
	Refitted        *float64 `json:"refitted"`
	Steps           int      `json:"steps"`
	SecondsPerEpoch float64  `json:"seconds_per_epoch"`
	// PeakBytes is the most memory that the program held for itself at a time:
	// heap and arena, without the pages of mapped files.
	PeakBytes int64 `json:"peak_bytes"`
	Cache     Cache `json:"cache"`
	// Images are figures of each hold-out image; nil unless they were asked for.
	Images *HoldoutImages `json:"images,omitempty"`
	// Search is how the layers were found; nil unless by a search.
	Search     *LayerSearch `json:"search,omitempty"`
	Scan       Scan         `json:"scan"`
	Verdict    Verdict      `json:"verdict"` // DONE, FORCED or FAIL, by [Fix.Judge]
	ExitCode   int          `json:"exit_code"`
	Provenance Provenance   `json:"provenance"`

	// Falls are those of the loss of each hold-out image; nil without a treated model.
	Falls []float64 `json:"-"`
}

// TreatmentData describes the images of a treatment.
type TreatmentData struct {
	Name       string     `json:"name"`
	Train      Part       `json:"train"`
	Validation Part       `json:"val"`
	Holdout    Part       `json:"holdout"`
	Augment    string     `json:"augment"` // none or flip-crop
	Views      int        `json:"views"`   // views of each training image; 1 without augmentation
	Preprocess Preprocess `json:"preprocess"`
	Skipped    int        `json:"skipped_images,omitempty"` // images that cannot be read and were left out
	// AssumedOrder says that nothing names the model's outputs, and that folders were
	// taken for them in the order of their sorted names.
	AssumedOrder bool `json:"assumed_order,omitempty"`
}

// Recipe is what is done to which layers, by [NewRecipe].
type Recipe struct {
	Name    string   `json:"name"`
	Perturb []string `json:"perturb"` // names of layers
	Update  []string `json:"update"`
	// ChosenBy says where the choice of layers comes from: "diagnosis", "search", the path
	// of a report, or empty where the recipe or the user names them.
	ChosenBy        Optional        `json:"chosen_by"`
	Layers          []TreatedLayer  `json:"layers"`
	Hyperparameters Hyperparameters `json:"hyperparameters"`
}

// The roles of a layer in a treatment.
const (
	RolePerturb = "perturb"
	RoleUpdate  = "update"
)

// TreatedLayer is a layer that is perturbed or updated.
type TreatedLayer struct {
	Name       string   `json:"name"`
	Role       string   `json:"role"` // RolePerturb or RoleUpdate
	Parameters int      `json:"parameters"`
	Kappa      *float64 `json:"kappa"` // κ, where a diagnosis chose the layer by it
	// DeltaLoss is ΔL̂ with its standard error, where a diagnosis chose the layer
	// by it.
	DeltaLoss *float64 `json:"delta_loss"`
	SE        *float64 `json:"se"`
}

// Hyperparameters are those of [pol.Options], nil where the recipe does not use
// them.
type Hyperparameters struct {
	Epochs       *int     `json:"epochs"`
	Batch        *int     `json:"batch"`
	PerturbBatch *int     `json:"perturb_batch"`
	Rate         *float64 `json:"lr"`        // nil where it comes from the model, too
	RateFactor   *float64 `json:"lr_factor"` // nil where the rate was given
	Momentum     *float64 `json:"momentum"`
	WeightDecay  *float64 `json:"weight_decay"`
	Schedule     *string  `json:"schedule"`
	Goal         string   `json:"goal"` // loss or error
	Loss         *string  `json:"loss"`
	Mix          *float64 `json:"mix"` // mixup's α; 0: images as they are
	GammaMax     *float64 `json:"gamma_max"`
	Rho          *float64 `json:"rho"`
	PerturbEvery *int     `json:"perturb_every"`
	Seed         *uint64  `json:"seed"`
	Calibration  string   `json:"calibration"` // fit, none or a temperature
	Augment      *string  `json:"augment"`
	Views        *int     `json:"views"`
}

// Output is the file that a treatment has written, by [NewOutput].
type Output struct {
	Path         string     `json:"path"`
	SHA256       string     `json:"sha256"`
	BytesChanged int64      `json:"bytes_changed"`
	Backup       Optional   `json:"backup"` // where the original is kept, after --in-place
	DataFiles    []DataFile `json:"data_files"`
}

// DataFile is an external data file that the written model needs.
type DataFile struct {
	Location string `json:"location"` // as the model has it
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	Copied   bool   `json:"copied"` // it was not there and appeared with the model
}

// Epoch is one pass over the training images.
type Epoch struct {
	Epoch       int      `json:"epoch"` // from 1
	Rate        float64  `json:"lr"`
	Steps       int      `json:"steps"`
	TrainLoss   *float64 `json:"train_loss"`
	ValLoss     Number   `json:"val_loss"`
	ValError    Number   `json:"val_error"`
	ValECE      Number   `json:"val_ece"`
	Rejected    int      `json:"rejected_steps"`
	Seconds     float64  `json:"seconds"`
	ScanSeconds float64  `json:"scan_seconds"`
	Kept        bool     `json:"kept"`
}

// Rate is a learning rate that comes from the model; see [pol.Pace].
type Rate struct {
	Best      float64    `json:"best"`
	Curvature float64    `json:"curvature"`
	Images    int        `json:"images"`
	Before    Number     `json:"loss_before"`
	Runs      []TrialRun `json:"trial_runs"`
	First     float64    `json:"first"`
	Last      float64    `json:"last"`
	Undone    int        `json:"undone_steps"`
	Restarted int        `json:"restarted_epochs"`
}

// TrialRun is one of those that choose the rate; see [pol.TrialRun].
type TrialRun struct {
	Rate  float64  `json:"rate"`
	Steps int      `json:"steps"`
	Loss  *float64 `json:"loss"`
}

func newRate(p *pol.Pace) *Rate {
	r := &Rate{
		Best: p.Best, Curvature: p.Curvature, Images: p.Examples, Before: Number(p.Before), Runs: []TrialRun{},
		First: p.First, Last: p.Rate, Undone: p.Undone, Restarted: p.Restarted,
	}
	for _, run := range p.Runs {
		r.Runs = append(r.Runs, TrialRun(run))
	}
	return r
}

// FixTemperature is what one number, fitted on the validation images, does to the
// hold-out loss.
type FixTemperature struct {
	Value Number `json:"value"`
	Loss  Number `json:"loss"`
	FixDrop
	Accepted bool `json:"accepted"` // as a treatment by itself
}

// HoldoutImages are figures of each hold-out image, in data order; see [pol.Images].
type HoldoutImages struct {
	Before      []float64 `json:"loss_before"`
	After       []float64 `json:"loss_after"`
	Temperature []float64 `json:"loss_temperature"`
	Own         []float64 `json:"loss_own_temperature"`
	WrongBefore []float64 `json:"wrong_before"` // 1 or 0
	WrongAfter  []float64 `json:"wrong_after"`
}

// NewHoldoutImages lists them; nil where a loss is not finite.
func NewHoldoutImages(i pol.Images) *HoldoutImages {
	for _, losses := range [][]float64{i.Before, i.After, i.Temperature, i.Own} {
		if slices.ContainsFunc(losses, func(x float64) bool { return !metric.IsFinite(x) }) {
			return nil
		}
	}
	return &HoldoutImages{i.Before, i.After, i.Temperature, i.Own, i.WrongBefore, i.WrongAfter}
}

// FixDrop is a paired drop of the hold-out loss.
type FixDrop struct {
	DeltaLoss Number    `json:"delta_loss"`
	SE        Number    `json:"se"`
	CI95      [2]Number `json:"ci95"`
}

func newFixDrop(e metric.Estimate) FixDrop {
	return FixDrop{Number(e.Mean), Number(e.SE), newInterval(e)}
}

func optionalDrop(e *metric.Estimate) *FixDrop {
	if e == nil {
		return nil
	}
	drop := newFixDrop(*e)
	return &drop
}

// Cache is where activations were kept.
type Cache struct {
	Neck int `json:"neck"`
	Kept
}

// Kept is how many bytes of activations are kept, and where some of them are: the
// slowest place of all.
type Kept struct {
	Bytes int64  `json:"bytes"`
	Where string `json:"where"` // none, memory, host or file
}

// Where activations are kept.
const (
	keptNowhere  = "none"
	keptInMemory = "memory" // where the model runs
	keptOnHost   = "host"   // in the host's memory, and the model runs on a GPU
	keptInFile   = "file"
)

// places are the words for an [nn.Place].
var places = [...]string{nn.Nowhere: keptNowhere, nn.OnDevice: keptInMemory, nn.OnHost: keptOnHost, nn.InFile: keptInFile}

func newKept(c pol.Cache) Kept { return Kept{c.Bytes, places[c.Place]} }

// Scan says what the perturbations that search cost.
type Scan struct {
	Evaluations int     `json:"evaluations"`
	Share       float64 `json:"share"` // of the time of all steps
}

// NewFix is the result with what a treatment tells. Model, Data, Recipe, Output,
// Instead, HoldoutSeen, Images, Search, Forced, Trial, PeakBytes and Provenance are for the caller
// to fill, and [Fix.Judge] to call.
func NewFix(r *pol.Result) *Fix {
	f := &Fix{
		Epochs:          make([]Epoch, len(r.Epochs)),
		Before:          newFigures(r.Before),
		Accepted:        r.Accepted(),
		Objections:      list(r.Objections()),
		Stopped:         Optional(r.Stopped),
		Trained:         r.Trained,
		TrainedAt:       r.TrainedAt,
		Refitted:        r.Refitted,
		Mended:          r.Mended,
		Spoiled:         r.Spoiled,
		Steps:           r.Steps,
		SecondsPerEpoch: r.SecondsPerEpoch(),
		Cache:           Cache{r.Cache.Neck, newKept(r.Cache)},
		Scan:            Scan{r.Scans.Evaluations, r.Scans.Share},
	}
	for i, e := range r.Epochs {
		f.Epochs[i] = Epoch{
			Epoch: e.Number, Rate: e.Rate, Steps: e.Steps, TrainLoss: e.TrainLoss,
			ValLoss: Number(e.Validation.Loss), ValError: Number(e.Validation.Error), ValECE: Number(e.Validation.ECE),
			Rejected: e.Rejected, Seconds: e.Duration.Seconds(), ScanSeconds: e.Scanning.Seconds(), Kept: e.Number == r.Best,
		}
	}
	if r.After != nil {
		after := newFigures(*r.After)
		f.After = &after
		if i := r.Images; i.Before != nil && i.After != nil {
			f.Falls = metric.Differences(i.Before, i.After)
		}
	}
	if r.Gain != nil {
		f.Gain = newGain(*r.Gain, r.ErrorDrop)
	}
	if t := r.Temperature; t != nil {
		f.Temperature = &FixTemperature{Number(t.Value), Number(t.Loss), newFixDrop(t.Drop), r.TemperatureAccepted()}
	}
	if p := r.Pace; p != nil {
		f.Rate = newRate(p)
	}
	if t := r.Own; t != nil {
		f.Own = &FixTemperature{Value: Number(t.Value), Loss: Number(t.Loss), FixDrop: newFixDrop(t.Drop)}
	}
	f.Beyond, f.OwnBeyond = optionalDrop(r.Beyond), optionalDrop(r.OwnBeyond)
	return f
}

func newFigures(f metric.Figures) Figures {
	return Figures{Number(f.Loss), Number(f.Error), Number(f.ECE)}
}

func newGain(loss metric.Estimate, wrong *metric.Estimate) *Gain {
	g := &Gain{Loss: Number(loss.Mean), SE: Number(loss.SE), CI95: newInterval(loss)}
	if wrong != nil {
		mean, se := Number(wrong.Mean), Number(wrong.SE)
		g.Error, g.ErrorSE = &mean, &se
	}
	return g
}

func newInterval(e metric.Estimate) [2]Number {
	return [2]Number{Number(e.CI95[0]), Number(e.CI95[1])}
}

// NewOutput describes a file that was written. backup is where the original is
// kept, if anywhere.
func NewOutput(path, sha256 string, bytesChanged int64, backup string, files []onnx.DataFile) *Output {
	o := &Output{Path: path, SHA256: sha256, BytesChanged: bytesChanged, Backup: Optional(backup), DataFiles: make([]DataFile, len(files))}
	for i, f := range files {
		o.DataFiles[i] = DataFile{f.Location, f.Path, f.Size, f.Copied}
	}
	return o
}

// NewRecipe describes a treatment: the recipe's name, the layers that it perturbs
// and those that it updates, what these were chosen by, the hyperparameters, and
// the images, of which it tells the views.
func NewRecipe(name string, layers []TreatedLayer, chosenBy string, o pol.Options, d TreatmentData) Recipe {
	r := Recipe{
		Name: name, ChosenBy: Optional(chosenBy), Layers: list(layers),
		Perturb: layerNames(inRole(layers, RolePerturb)), Update: layerNames(inRole(layers, RoleUpdate)),
	}
	h := &r.Hyperparameters
	h.Calibration, h.Goal = CalibrationText(o.Temperature), o.Goal.String()
	if !r.trains() {
		return r
	}
	schedule, loss := string(o.Schedule), o.Loss.String()
	h.Epochs, h.Batch, h.Momentum, h.WeightDecay = &o.Epochs, &o.Batch, &o.Momentum, &o.WeightDecay
	h.RateFactor = &o.RateFactor
	if o.Rate > 0 {
		h.Rate, h.RateFactor = &o.Rate, nil
	}
	h.Schedule, h.Loss, h.Mix, h.Seed, h.Augment, h.Views = &schedule, &loss, &o.Mix, &o.Seed, &d.Augment, &d.Views
	switch r.rule() {
	case pol.Search:
		h.PerturbBatch, h.GammaMax, h.PerturbEvery = &o.PerturbBatch, &o.GammaMax, &o.PerturbEvery
	case pol.Ascent:
		h.Rho = &o.Rho
	}
	return r
}

// The values of [Hyperparameters.Calibration] that are no temperature.
const (
	CalibrationFit  = "fit"
	CalibrationNone = "none"
)

// CalibrationText writes [pol.Options.Temperature], or [diag.Options.Temperature].
func CalibrationText(temperature float64) string {
	switch temperature {
	case 0:
		return CalibrationFit
	case 1:
		return CalibrationNone
	}
	return strconv.FormatFloat(temperature, 'g', -1, 64)
}

// inRole returns the layers of one role.
func inRole(layers []TreatedLayer, role string) []TreatedLayer {
	var some []TreatedLayer
	for _, l := range layers {
		if l.Role == role {
			some = append(some, l)
		}
	}
	return some
}

func layerNames(layers []TreatedLayer) []string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return names
}

// rule is how the treatment perturbs.
func (r *Recipe) rule() pol.Rule {
	recipe, err := pol.FindRecipe(r.Name)
	if err != nil || len(r.Perturb) == 0 {
		return pol.Unperturbed
	}
	return recipe.Rule
}

// trains reports whether the treatment trains any layer.
func (r *Recipe) trains() bool { return len(r.Update) > 0 }
