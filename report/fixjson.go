package report

import (
	"io"
	"time"

	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
)

type jsonFix struct {
	SchemaVersion   int                 `json:"schema_version"`
	Model           jsonModel           `json:"model"`
	Data            jsonTreatmentData   `json:"data"`
	Recipe          jsonRecipe          `json:"recipe"`
	Output          *jsonOutput         `json:"output"`
	Epochs          []jsonEpoch         `json:"epochs"`
	Before          jsonFigures         `json:"before"`
	After           *jsonFigures        `json:"after"`
	Gain            *jsonGain           `json:"gain"`
	Temperature     *jsonFixTemperature `json:"temperature"`
	Accepted        bool                `json:"accepted"`
	Forced          bool                `json:"forced"`
	Trial           bool                `json:"trial"`
	Stopped         *string             `json:"stopped"`
	Trained         int                 `json:"trained_parameters"`
	Steps           int                 `json:"steps"`
	SecondsPerEpoch float64             `json:"seconds_per_epoch"`
	PeakBytes       int64               `json:"peak_bytes"`
	Cache           jsonCache           `json:"cache"`
	Scan            jsonScan            `json:"scan"`
	Provenance      jsonProvenance      `json:"provenance"`
}

type jsonTreatmentData struct {
	Name       string         `json:"name"`
	Train      jsonPart       `json:"train"`
	Val        jsonPart       `json:"val"`
	Holdout    jsonPart       `json:"holdout"`
	Augment    string         `json:"augment"`
	Views      int            `json:"views"`
	Preprocess jsonPreprocess `json:"preprocess"`
}

type jsonPart struct {
	Name   string `json:"name"`
	N      int    `json:"n"`
	SHA256 string `json:"sha256,omitempty"`
}

type jsonRecipe struct {
	Name            string              `json:"name"`
	Perturb         []string            `json:"perturb"`
	Update          []string            `json:"update"`
	ChosenBy        *string             `json:"chosen_by"`
	Layers          []jsonTreatedLayer  `json:"layers"`
	Hyperparameters jsonHyperparameters `json:"hyperparameters"`
}

type jsonTreatedLayer struct {
	Name       string   `json:"name"`
	Role       string   `json:"role"` // perturb or update
	Parameters int      `json:"parameters"`
	Kappa      *float64 `json:"kappa"`
	DeltaLoss  *float64 `json:"delta_loss"`
	SE         *float64 `json:"se"`
}

// jsonHyperparameters holds null for what the recipe does not use.
type jsonHyperparameters struct {
	Epochs       *int     `json:"epochs"`
	Batch        *int     `json:"batch"`
	PerturbBatch *int     `json:"perturb_batch"`
	Rate         *float64 `json:"lr"`
	Momentum     *float64 `json:"momentum"`
	WeightDecay  *float64 `json:"weight_decay"`
	Schedule     *string  `json:"schedule"`
	Loss         *string  `json:"loss"`
	GammaMax     *float64 `json:"gamma_max"`
	Rho          *float64 `json:"rho"`
	PerturbEvery *int     `json:"perturb_every"`
	Seed         *uint64  `json:"seed"`
	Calibrated   bool     `json:"calibrated"`
	Augment      *string  `json:"augment"`
	Views        *int     `json:"views"`
}

type jsonOutput struct {
	Path         string         `json:"path"`
	SHA256       string         `json:"sha256"`
	BytesChanged int64          `json:"bytes_changed"`
	Backup       *string        `json:"backup"`
	DataFiles    []jsonDataFile `json:"data_files"`
}

type jsonDataFile struct {
	Location string `json:"location"`
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	Copied   bool   `json:"copied"`
}

type jsonEpoch struct {
	Epoch       int      `json:"epoch"`
	Steps       int      `json:"steps"`
	TrainLoss   *float64 `json:"train_loss"`
	ValLoss     number   `json:"val_loss"`
	ValError    number   `json:"val_error"`
	ValECE      number   `json:"val_ece"`
	Rejected    int      `json:"rejected_steps"`
	Seconds     float64  `json:"seconds"`
	ScanSeconds float64  `json:"scan_seconds"`
	Kept        bool     `json:"kept"`
}

// jsonFigures are null where the loss of the images is not finite.
type jsonFigures struct {
	Loss  number `json:"loss"`
	Error number `json:"error"`
	ECE   number `json:"ece"`
}

func jsonFiguresOf(f metric.Figures) jsonFigures {
	return jsonFigures{number(f.Loss), number(f.Error), number(f.ECE)}
}

type jsonGain struct {
	Loss    number    `json:"loss"`
	SE      number    `json:"se"`
	CI95    [2]number `json:"ci95"`
	Error   *number   `json:"error"`
	ErrorSE *number   `json:"error_se"`
}

// jsonGainOf is the drop of a loss, and that of the error beside it, which may
// be nil.
func jsonGainOf(loss metric.Estimate, wrong *metric.Estimate) *jsonGain {
	g := &jsonGain{Loss: number(loss.Mean), SE: number(loss.SE), CI95: jsonInterval(loss)}
	if wrong != nil {
		mean, se := number(wrong.Mean), number(wrong.SE)
		g.Error, g.ErrorSE = &mean, &se
	}
	return g
}

func jsonInterval(e metric.Estimate) [2]number {
	return [2]number{number(e.CI95[0]), number(e.CI95[1])}
}

type jsonFixTemperature struct {
	Value     number    `json:"value"`
	Loss      number    `json:"loss"`
	DeltaLoss number    `json:"delta_loss"`
	SE        number    `json:"se"`
	CI95      [2]number `json:"ci95"`
}

type jsonCache struct {
	Neck  int    `json:"neck"`
	Bytes int64  `json:"bytes"`
	Where string `json:"where"`
}

type jsonScan struct {
	Evaluations int     `json:"evaluations"`
	Share       float64 `json:"share"`
}

// Where activations are kept, in JSON.
const (
	cacheNone   = "none"
	cacheMemory = "memory"
	cacheFile   = "file"
)

func cacheWhere(bytes int64, inFile bool) string {
	switch {
	case bytes == 0:
		return cacheNone
	case inFile:
		return cacheFile
	}
	return cacheMemory
}

// FixJSON writes a treatment as one JSON document. Numbers that do not exist are
// null; there is never a NaN or an infinity.
func FixJSON(w io.Writer, f *Fix) error {
	r := f.Result
	out := jsonFix{
		SchemaVersion:   SchemaVersion,
		Model:           jsonModel(f.Model),
		Data:            jsonTreatmentDataOf(f.Data),
		Recipe:          jsonRecipeOf(f.Treatment, f.Data),
		Output:          jsonOutputOf(f.Output),
		Epochs:          make([]jsonEpoch, len(r.Epochs)),
		Before:          jsonFiguresOf(r.Before),
		Accepted:        r.Accepted(),
		Forced:          f.Forced,
		Trial:           f.Trial,
		Stopped:         optional(r.Stopped),
		Trained:         r.Trained,
		Steps:           r.Steps,
		SecondsPerEpoch: r.SecondsPerEpoch(),
		PeakBytes:       f.PeakBytes,
		Cache:           jsonCache{r.Cache.Neck, r.Cache.Bytes, cacheWhere(r.Cache.Bytes, r.Cache.InFile)},
		Scan:            jsonScan{r.Scans.Evaluations, r.Scans.Share},
		Provenance:      jsonProvenance(f.Provenance),
	}
	for i, e := range r.Epochs {
		out.Epochs[i] = jsonEpoch{
			Epoch: e.Number, Steps: e.Steps, TrainLoss: e.TrainLoss,
			ValLoss: number(e.Validation.Loss), ValError: number(e.Validation.Error), ValECE: number(e.Validation.ECE),
			Rejected: e.Rejected, Seconds: e.Duration.Seconds(), ScanSeconds: e.Scanning.Seconds(), Kept: e.Number == r.Best,
		}
	}
	if r.After != nil {
		after := jsonFiguresOf(*r.After)
		out.After = &after
	}
	if r.Gain != nil {
		out.Gain = jsonGainOf(*r.Gain, r.ErrorDrop)
	}
	if t := r.Temperature; t != nil {
		out.Temperature = &jsonFixTemperature{number(t.Value), number(t.Loss), number(t.Drop.Mean), number(t.Drop.SE), jsonInterval(t.Drop)}
	}
	return writeJSON(w, out)
}

func jsonTreatmentDataOf(d TreatmentData) jsonTreatmentData {
	return jsonTreatmentData{d.Name, jsonPart(d.Train), jsonPart(d.Validation), jsonPart(d.Holdout), d.Augment, d.Views, jsonPreprocess(d.Preprocess)}
}

func jsonRecipeOf(t Treatment, d TreatmentData) jsonRecipe {
	return jsonRecipe{
		Name: t.Recipe, Perturb: treatedNames(t.Perturb), Update: treatedNames(t.Update), ChosenBy: optional(t.ChosenBy),
		Layers:          jsonTreatedLayers(t.Perturb, t.Update),
		Hyperparameters: hyperparameters(t, d),
	}
}

func jsonTreatedLayers(perturb, update []TreatedLayer) []jsonTreatedLayer {
	list := []jsonTreatedLayer{}
	for _, role := range []struct {
		name   string
		layers []TreatedLayer
	}{{"perturb", perturb}, {"update", update}} {
		for _, l := range role.layers {
			list = append(list, jsonTreatedLayer{l.Name, role.name, l.Parameters, l.Kappa, l.DeltaLoss, l.SE})
		}
	}
	return list
}

// rule is how the treatment perturbs.
func (t *Treatment) rule() pol.Rule {
	r, err := pol.FindRecipe(t.Recipe)
	if err != nil || len(t.Perturb) == 0 {
		return pol.Unperturbed
	}
	return r.Rule
}

// trains reports whether the treatment trains any layer.
func (t *Treatment) trains() bool { return len(t.Update) > 0 }

func hyperparameters(t Treatment, d TreatmentData) jsonHyperparameters {
	o := t.Options
	h := jsonHyperparameters{Calibrated: o.Calibrated}
	if !t.trains() {
		return h
	}
	schedule, loss := string(o.Schedule), o.Loss.String()
	h.Epochs, h.Batch, h.Rate, h.Momentum, h.WeightDecay = &o.Epochs, &o.Batch, &o.Rate, &o.Momentum, &o.WeightDecay
	h.Schedule, h.Loss, h.Seed, h.Augment, h.Views = &schedule, &loss, &o.Seed, &d.Augment, &d.Views
	switch t.rule() {
	case pol.Search:
		h.PerturbBatch, h.GammaMax, h.PerturbEvery = &o.PerturbBatch, &o.GammaMax, &o.PerturbEvery
	case pol.Ascent:
		h.Rho = &o.Rho
	}
	return h
}

func jsonOutputOf(o *Output) *jsonOutput {
	if o == nil {
		return nil
	}
	return &jsonOutput{o.Path, o.SHA256, o.BytesChanged, optional(o.Backup), jsonDataFiles(o.DataFiles)}
}

func jsonDataFiles(files []onnx.DataFile) []jsonDataFile {
	list := make([]jsonDataFile, len(files))
	for i, f := range files {
		list[i] = jsonDataFile{f.Location, f.Path, f.Size, f.Copied}
	}
	return list
}

type jsonFixPlan struct {
	SchemaVersion int               `json:"schema_version"`
	Model         jsonModel         `json:"model"`
	Data          jsonTreatmentData `json:"data"`
	Recipe        jsonRecipe        `json:"recipe"`
	Cost          jsonCost          `json:"cost"`
	Cheapest      *jsonCheaper      `json:"cheapest"`
	Provenance    jsonProvenance    `json:"provenance"`
}

type jsonCheaper struct {
	Perturb []string `json:"perturb"`
	Update  []string `json:"update"`
	Cost    jsonCost `json:"cost"`
}

type jsonCost struct {
	Neck           int             `json:"neck"`
	CacheBytes     int64           `json:"cache_bytes"`
	Where          string          `json:"where"`
	Steps          int             `json:"steps"`
	SecondsPerStep float64         `json:"seconds_per_step"`
	ScanShare      float64         `json:"scan_share"`
	Seconds        jsonCostSeconds `json:"seconds"`
}

type jsonCostSeconds struct {
	Cache      float64 `json:"cache"`
	Training   float64 `json:"training"`
	Validation float64 `json:"validation"`
	Holdout    float64 `json:"holdout"`
	Total      float64 `json:"total"`
}

// costSeconds splits what a plan costs into its parts, in seconds.
func costSeconds(c *pol.Cost, epochs int) jsonCostSeconds {
	return jsonCostSeconds{
		Cache:      c.CacheTime.Seconds(),
		Training:   (time.Duration(c.Steps) * c.StepTime).Seconds(),
		Validation: c.Validating(epochs).Seconds(),
		Holdout:    c.HoldoutTime.Seconds(),
		Total:      c.Total(epochs).Seconds(),
	}
}

// FixPlanJSON writes a plan as one JSON document.
func FixPlanJSON(w io.Writer, f *FixPlan) error {
	epochs := f.Treatment.Options.Epochs
	cost := func(c *pol.Cost) jsonCost {
		return jsonCost{c.Neck, c.CacheBytes, cacheWhere(c.CacheBytes, c.CacheInFile), c.Steps, c.StepTime.Seconds(), c.ScanShare, costSeconds(c, epochs)}
	}
	out := jsonFixPlan{
		SchemaVersion: SchemaVersion,
		Model:         jsonModel(f.Model),
		Data:          jsonTreatmentDataOf(f.Data),
		Recipe:        jsonRecipeOf(f.Treatment, f.Data),
		Cost:          cost(&f.Cost),
		Provenance:    jsonProvenance(f.Provenance),
	}
	if c := f.Cheapest; c != nil {
		out.Cheapest = &jsonCheaper{treatedNames(c.Perturb), treatedNames(c.Update), cost(&c.Cost)}
	}
	return writeJSON(w, out)
}
