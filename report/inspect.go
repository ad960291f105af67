package report

import (
	"github.com/modeldoctor/modeldoctor/onnx"
)

// Inspect is the result of the command inspect. Of a model that cannot be run
// there are no layers, weights, necks and notes.
type Inspect struct {
	Document
	Model       Model              `json:"model"`
	Input       string             `json:"input"` // name, type and shape of the image
	Output      string             `json:"output"`
	Layers      []InspectLayer     `json:"layers"` // of all granularities, coarse ones first
	Weights     []Weight           `json:"weights"`
	Skipped     []Skipped          `json:"skipped"`
	Unsupported []onnx.Unsupported `json:"unsupported"`
	Obstacles   []Obstacle         `json:"obstacles"`
	Complete    bool               `json:"obstacles_complete"`
	Necks       []Neck             `json:"necks"`
	Notes       []Note             `json:"notes"`
	Coverage    float64            `json:"coverage"` // share of the parameters that lie in layers

	// Chosen are layers that the text is to tell all about; nil where it is to
	// list all of them briefly.
	Chosen []InspectLayer `json:"-"`
}

// InspectLayer is a layer, and where it lies between the necks.
type InspectLayer struct {
	Name           string   `json:"name"`
	Granularity    string   `json:"granularity"` // block, module or tensor
	Parameters     int      `json:"parameters"`
	Neck           int      `json:"neck"`
	Stages         []int    `json:"stages"`
	StagesComputed int      `json:"stages_computed"` // by a search on it
	Why            []string `json:"why"`
	Weights        []string `json:"weights"` // names
}

// Obstacle is what stands in the way of all nodes of one operator.
type Obstacle struct {
	Node   string `json:"node"` // the first
	Op     string `json:"op"`
	Domain string `json:"domain"`
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	Advice string `json:"advice"`
}

// Neck is a value that every path from the image to the logits passes.
type Neck struct {
	Index  int      `json:"index"`
	Name   string   `json:"name"`
	Shape  []int    `json:"shape"`  // of one image
	Layers []string `json:"layers"` // blocks whose first use is behind it
}

// Weight is a weight, what it is called and why, how it is stored and used.
type Weight struct {
	Name           string          `json:"name"`
	Tensor         string          `json:"tensor"`
	Shape          []int           `json:"shape"`
	DType          string          `json:"dtype"`
	Storage        onnx.Storage    `json:"storage"`
	File           string          `json:"file"`
	Offset         *int64          `json:"offset"` // nil where the data are in several pieces
	Bytes          *int64          `json:"bytes"`
	Quantization   *Quantization   `json:"quantization"` // nil for a weight of floating-point numbers
	Source         onnx.NameSource `json:"name_source"`
	Neck           int             `json:"neck"`
	NeckName       string          `json:"neck_name"`
	Stages         []int           `json:"stages"`
	Uses           []Use           `json:"uses"`
	Shared         []string        `json:"shared"` // what else it serves
	StoredTogether []string        `json:"stored_together"`
	Fix            Storing         `json:"fix"`
}

// Quantization is how a weight of integers is to be read.
type Quantization struct {
	Values    string  `json:"values"` // type of the dequantised ones
	Per       string  `json:"per"`    // tensor, axis or block: what a scale is for
	Axis      *int    `json:"axis"`
	BlockSize *int    `json:"block_size"`
	Scale     string  `json:"scale"`
	ZeroPoint *string `json:"zero_point"`
}

// Use is one node that reads a weight.
type Use struct {
	Node    string   `json:"node"`
	Input   int      `json:"input"`
	Through []string `json:"through"` // nodes that rearrange it before, nearest to the tensor first
	Path    Optional `json:"path"`    // the parameter that it is there
}

// Storing says what a treatment does with a weight, by [NewStoring].
type Storing struct {
	Where   string   `json:"where"`   // in place, or moved into the model's file
	Rounded Optional `json:"rounded"` // to what
	Needs   Optional `json:"needs"`   // a flag, without which the treatment is refused
	Text    string   `json:"text"`
}

// NewStoring words what a treatment does with a weight that is stored in a file in
// some way: whether it is moved into the model's file; what it is rounded to,
// which may be nothing; in which type --dequantize stores it, "" where it is not
// quantised; and whether it serves other places.
func NewStoring(storage onnx.Storage, file string, moved bool, rounded, dequantized string, shared bool) Storing {
	s := Storing{Where: "in place", Rounded: Optional(rounded), Text: "in place, in " + string(storage)}
	if moved {
		s.Where, s.Text = "moved", "moved from "+base(file)+", which is not written to, into the model's file"
	}
	if rounded != "" {
		s.Text += "; rounded to "
		if dequantized != "" {
			s.Text += "its " + rounded + ", or stored as " + dequantized + " with --dequantize"
		} else {
			s.Text += rounded
		}
	}
	if shared {
		s.Needs = "--shared"
		s.Text += "; refused without --shared update or --shared untie, since other places are served, too"
	}
	return s
}

// Note is something about a model that can be run, but to be known of when it is
// diagnosed or treated.
type Note struct {
	Kind string `json:"kind"` // one word for each sort of note, for programs
	Text string `json:"text"`
}

// Traits are what a network has that notes are about.
type Traits struct {
	FixedBatch           int // 0: none
	SoftmaxRemoved       bool
	Ending               string   // see [Model]
	Output               string   // that losses are measured on
	OtherOutputs         []string // that they are not measured on
	Opset, NewestExport  int64    // of the model, and of the exports that are compared with their frameworks
	Rounded              int      // weights that round what is stored in them
	RoundedTypes         []string // theirs, each once
	QuantisesActivations bool
	Shared               int      // weights that serve several places
	Unused               []string // parameters that the logits do not depend on
	Coverage             float64
}
