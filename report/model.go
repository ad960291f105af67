package report

// Model describes the file that was read.
type Model struct {
	Path           string `json:"path"`
	SHA256         string `json:"sha256,omitempty"` // hexadecimal; inspect does not read that far
	Producer       string `json:"producer"`         // name and version of the exporter
	Opset          int64  `json:"opset"`            // of ai.onnx
	IRVersion      int64  `json:"ir_version"`
	Parameters     int    `json:"parameters"`         // elements of all weights in layers
	Analysed       int    `json:"analysed,omitempty"` // of these, elements in the layers that were measured
	Classes        int    `json:"classes"`
	Family         string `json:"family"`          // in words, such as "ViT, 6 blocks"
	SoftmaxRemoved bool   `json:"softmax_removed"` // losses are of what enters the Softmax at the end
	FixedBatch     int    `json:"fixed_batch"`     // the batch the file is bound to; 0 if free
	// Output is the output that holds the scores, where the file has several.
	Output string `json:"output,omitempty"`
	// Ending says in words what else than a Softmax stands between the logits, on which
	// losses are measured, and the output.
	Ending string `json:"ending,omitempty"`
}

// Preprocess describes how images were turned into the model's input.
type Preprocess struct {
	Name   string     `json:"name"`
	Source string     `json:"source"` // a file, --preprocess, or how it was detected
	Mean   [3]float64 `json:"mean"`
	Std    [3]float64 `json:"std"`
	Size   [2]int     `json:"size"` // height, width
	// Channels is "bgr" where the model's channels are in that order, and EXIF says
	// that images were turned by their orientation.
	Channels string `json:"channels,omitempty"`
	EXIF     bool   `json:"exif,omitempty"`
}

// Part is a part of a data set.
type Part struct {
	Name string `json:"name"` // the split and slice, such as test[:1000]
	N    int    `json:"n"`    // number of images
	// SHA256 is a digest, in hexadecimal, of the images as the model sees them,
	// with their labels; empty where they were not all read.
	SHA256 string `json:"sha256,omitempty"`
}

// Skipped is a tensor that is in no layer.
type Skipped struct {
	Name     string `json:"name"`
	Elements int    `json:"elements"`
	Reason   string `json:"reason"`
}

// Figures are those of a model on some images, NaN where its loss is not finite.
type Figures struct {
	Loss  Number `json:"loss"`  // nats per image
	Error Number `json:"error"` // share of the images
	ECE   Number `json:"ece"`
}

// Gain is the drop of a loss, paired image by image, and that of the error beside
// it, which may be nil.
type Gain struct {
	Loss    Number    `json:"loss"`
	SE      Number    `json:"se"`
	CI95    [2]Number `json:"ci95"`
	Error   *Number   `json:"error"`
	ErrorSE *Number   `json:"error_se"`
}

// Provenance says how a result came about. Nothing outside it depends on the
// number of threads.
type Provenance struct {
	Version   string   `json:"version"`
	Command   []string `json:"command"`
	Seed      uint64   `json:"seed"`
	Device    string   `json:"device"`
	Threads   int      `json:"threads"`
	Seconds   float64  `json:"seconds"`
	PeakBytes int64    `json:"peak_bytes"` // largest resident set of the process
	// Parts are those of the machines that shared the work, in the order of their
	// shards; then Device names all of theirs, and Threads, Seconds and PeakBytes are the
	// largest of theirs.
	Parts []Provenance `json:"parts,omitempty"`
}
