package report

import (
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/pol"
)

// Part is a part of a data set.
type Part struct {
	Name   string // the split and slice, such as test[:1000]
	N      int    // number of images
	SHA256 string // of the images as the model sees them, with their labels; empty where they were not all read
}

// TreatmentData describes the images of a treatment.
type TreatmentData struct {
	Name       string
	Train      Part
	Validation Part
	Holdout    Part
	Augment    string // none or flip-crop
	Views      int    // views of each training image; 1 without augmentation
	Preprocess Preprocess
}

// Treatment is what is done to which layers.
type Treatment struct {
	Recipe  string
	Perturb []TreatedLayer
	Update  []TreatedLayer
	// ChosenBy says where the choice of layers comes from: "diagnosis", the path
	// of a report, or empty where the recipe or the user names them.
	ChosenBy string
	Options  pol.Options // the hyperparameters
}

// TreatedLayer is a layer that is perturbed or updated.
type TreatedLayer struct {
	Name       string
	Parameters int
	Kappa      *float64 // κ, where a diagnosis chose the layer by it
	// DeltaLoss is ΔL̂ with its standard error, where a diagnosis chose the layer
	// by it.
	DeltaLoss *float64
	SE        *float64
}

// Output is the file that a treatment has written.
type Output struct {
	Path         string
	SHA256       string
	BytesChanged int64
	Backup       string // where the original is kept, after --in-place; else empty
	DataFiles    []onnx.DataFile
}

// Fix is the result of the command fix.
type Fix struct {
	Model     Model
	Data      TreatmentData
	Treatment Treatment
	Result    *pol.Result
	Output    *Output // nil where nothing was written
	Trial     bool    // nothing was to be written
	Forced    bool    // the file was written although its gain is not sure
	// PeakBytes is the most memory that the program held for itself at a time:
	// heap and arena, without the pages of mapped files.
	PeakBytes  int64
	Provenance Provenance
}

// FixPlan is what fix would do, from --dry-run.
type FixPlan struct {
	Model      Model
	Data       TreatmentData
	Treatment  Treatment
	Cost       pol.Cost
	Cheapest   *CheaperPlan // nil where the plan itself is the cheapest
	Provenance Provenance
}

// CheaperPlan is a treatment that costs less than the one that was chosen.
type CheaperPlan struct {
	Perturb []TreatedLayer
	Update  []TreatedLayer
	Cost    pol.Cost
}

// Verify is the result of the command verify.
type Verify struct {
	A, B       string // paths
	Comparison *onnx.Comparison
	// Layers are the layers whose weights differ, at block granularity and in
	// forward order; nil where one of the files cannot be read as a network.
	Layers     []LayerChange
	Measured   *Measured // nil without data
	Provenance Provenance
}

// LayerChange is how far a layer's weights are apart.
type LayerChange struct {
	Name      string
	Tensors   int      // tensors that differ
	WNorm     float64  // ‖w‖ in A, over the whole layer
	DeltaNorm float64  // ‖Δw‖
	Relative  *float64 // ‖Δw‖/‖w‖; nil if ‖w‖ = 0
}

// Measured is what two models make of the same images.
type Measured struct {
	Data      string // the data set's name
	Part      Part
	A, B      metric.Figures
	LossDrop  metric.Estimate // paired, from A to B
	ErrorDrop metric.Estimate
}

// Compare is the result of the command compare.
type Compare struct {
	Model  Model
	Data   TreatmentData
	Seeds  []uint64
	Before metric.Figures // of the checkpoint, on the hold-out set
	Rows   []CompareRow
	// PeakBytes of a row is of a process of its own; this provenance is that of
	// the process that started them.
	Provenance Provenance
}

// CompareRow is what one recipe did, over all seeds.
type CompareRow struct {
	Recipe  string
	Perturb []string
	Update  []string
	Runs    []CompareRun
	// The figures are of the hold-out set after the treatment, over the runs that
	// have one; nil where none has.
	Loss, Error, ECE *Spread
	Gain             *Spread // drop of the hold-out loss
	SecondsPerEpoch  *Spread // nil where nothing is trained
	PeakBytes        int64   // the largest of the runs: heap and arena
	ResidentBytes    int64   // the largest resident set, mapped files included
	CacheBytes       int64
	CacheInFile      bool
	Accepted         int    // runs whose gain is above zero for sure
	Failed           string // why runs are missing; empty if none is
}

// CompareRun is one treatment.
type CompareRun struct {
	Seed            uint64
	Loss            *float64 // nil where the training diverged before an epoch was complete
	Error           *float64
	ECE             *float64
	Gain            *float64
	GainCI95        *[2]float64
	SecondsPerEpoch float64
	PeakBytes       int64
	ResidentBytes   int64
	Accepted        bool
	Stopped         string
}

// Spread is a mean over runs with the standard deviation (n − 1), 0 for one run.
type Spread struct {
	Mean, SD float64
	N        int
}
