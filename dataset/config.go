package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// maxConfigBytes bounds a JSON or names file. ImageNet-21k's id2label has 2 MB.
const maxConfigBytes = 1 << 25

// FindPreprocess looks for preprocessing beside a model: transformers'
// preprocessor_config.json, else timm's config.json. In a folder called "onnx",
// where exports for the Hugging Face hub lie, the folder above is searched too.
// It returns nil and no error if there is none.
func FindPreprocess(modelPath string) (*Preprocess, error) {
	for _, dir := range configDirs(modelPath) {
		path := filepath.Join(dir, "preprocessor_config.json")
		if isFile(path) {
			return readPreprocess(path)
		}
		path = filepath.Join(dir, "config.json")
		if !isFile(path) {
			continue
		}
		data, err := readConfig(path)
		if err != nil {
			return nil, err
		}
		// A config.json of transformers says nothing of preprocessing.
		if !json.Valid(data) || isTimm(data) {
			return parsePreprocess(path, data)
		}
	}
	return nil, nil
}

// configDirs lists the folders where a model's configuration may lie.
func configDirs(modelPath string) []string {
	dir := filepath.Dir(modelPath)
	dirs := []string{dir}
	if abs, err := filepath.Abs(dir); err == nil && filepath.Base(abs) == "onnx" {
		dirs = append(dirs, filepath.Dir(abs))
	}
	return dirs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readConfig reads a small file.
func readConfig(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot read the file", Err: err}
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigBytes {
		return nil, &Error{Path: path, Msg: fmt.Sprintf("not a regular file of at most %d bytes", maxConfigBytes)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot read the file", Err: err}
	}
	return data, nil
}

func readPreprocess(path string) (*Preprocess, error) {
	data, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	return parsePreprocess(path, data)
}

// parsePreprocess reads a file of either form and names it.
func parsePreprocess(path string, data []byte) (*Preprocess, error) {
	parse := ParseHuggingFace
	if isTimm(data) {
		parse = ParseTimm
	}
	p, err := parse(data)
	if err != nil {
		return nil, &Error{
			Path: path,
			Msg:  "not a usable preprocessing file",
			Hint: "correct the file, or choose with --preprocess a preset (imagenet, inception, clip, cifar100, …) or another file",
			Err:  err,
		}
	}
	p.Name, p.Source = filepath.Base(path), path
	return p, nil
}

// unmarshal reads JSON with an error that has the byte offset.
func unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("bad JSON at byte %d: %w", syntax.Offset, err)
	}
	return err
}

// imageSize is a size in a preprocessor_config.json: a number or an object.
type imageSize struct {
	given    bool
	number   int // or 0
	Height   int `json:"height"`
	Width    int `json:"width"`
	Shortest int `json:"shortest_edge"`
	Longest  int `json:"longest_edge"`
}

func (s *imageSize) UnmarshalJSON(data []byte) error {
	s.given = true
	if json.Unmarshal(data, &s.number) == nil {
		return nil
	}
	type object imageSize
	if err := json.Unmarshal(data, (*object)(s)); err != nil {
		return fmt.Errorf("size %s: expected a number of pixels, {height, width} or {shortest_edge}", data)
	}
	return nil
}

// processorConfig is the part of a preprocessor_config.json that is used.
type processorConfig struct {
	Type         string     `json:"image_processor_type"`
	OldType      string     `json:"feature_extractor_type"`
	DoResize     *bool      `json:"do_resize"`
	Size         *imageSize `json:"size"`
	Resample     *int       `json:"resample"`
	DoCenterCrop *bool      `json:"do_center_crop"`
	CropSize     *imageSize `json:"crop_size"`
	CropPct      *float64   `json:"crop_pct"`
	DoRescale    *bool      `json:"do_rescale"`
	Rescale      *float64   `json:"rescale_factor"`
	Offset       bool       `json:"rescale_offset"`
	DoNormalize  *bool      `json:"do_normalize"`
	Mean         []float64  `json:"image_mean"`
	Std          []float64  `json:"image_std"`
	DoPad        bool       `json:"do_pad"`
}

// ParseHuggingFace reads a preprocessor_config.json of transformers. What is
// missing has the default of the ViTImageProcessor (224×224, bilinear, mean and
// standard deviation 0.5) or, in the file of a CLIP or BiT processor, of that
// (shortest edge and crop of 224, bicubic, CLIP's mean and deviation). A
// ConvNeXt processor's crop_pct is understood. What would need a step that
// Preprocess does not have is an error.
func ParseHuggingFace(data []byte) (*Preprocess, error) {
	var c processorConfig
	if err := unmarshal(data, &c); err != nil {
		return nil, err
	}
	if c.Type == "" {
		c.Type = c.OldType
	}
	is := func(prefixes ...string) bool {
		for _, p := range prefixes {
			if strings.HasPrefix(c.Type, p) {
				return true
			}
		}
		return false
	}
	clip := is("CLIP", "Bit", "ChineseCLIP")
	convNeXt := is("ConvNext")
	switch {
	case c.DoPad:
		return nil, errors.New("do_pad is not supported")
	case c.Offset:
		return nil, errors.New("rescale_offset is not supported")
	case is("Levit", "Perceiver"):
		return nil, fmt.Errorf("%s is not supported", c.Type)
	}
	p := &Preprocess{Name: "Hugging Face", Source: "file", Resize: ResizeNone, Crop: CropNone, Interpolation: Bilinear}
	if clip {
		p.Interpolation = Bicubic
	}
	if c.Resample != nil {
		// Pillow's numbers.
		names := []Interpolation{Nearest, Lanczos, Bilinear, Bicubic, Box, Hamming}
		if *c.Resample < 0 || *c.Resample >= len(names) {
			return nil, fmt.Errorf("resample %d: expected 0 to %d", *c.Resample, len(names)-1)
		}
		p.Interpolation = names[*c.Resample]
	}
	if orDefault(c.DoResize, true) {
		if err := c.resize(p, clip, convNeXt); err != nil {
			return nil, err
		}
	}
	if orDefault(c.DoCenterCrop, clip) {
		size, err := c.cropSize()
		if err != nil {
			return nil, err
		}
		p.Crop, p.Size = CropFloor, size
	}
	if p.Rescale = 1; orDefault(c.DoRescale, true) {
		p.Rescale = orDefault(c.Rescale, 1.0/255)
	}
	if p.Std = [3]float64{1, 1, 1}; orDefault(c.DoNormalize, true) {
		mean, std := [3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}
		if clip {
			mean, std = [3]float64{0.48145466, 0.4578275, 0.40821073}, [3]float64{0.26862954, 0.26130258, 0.27577711}
		}
		if err := errors.Join(channels(&mean, c.Mean, "image_mean"), channels(&std, c.Std, "image_std")); err != nil {
			return nil, err
		}
		p.Mean, p.Std = mean, std
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// resize sets p's resize step, and its size where that fixes it.
func (c *processorConfig) resize(p *Preprocess, clip, convNeXt bool) error {
	size := imageSize{number: 224}
	if c.Size != nil {
		size = *c.Size
	}
	if size.number > 0 {
		if clip || convNeXt {
			size.Shortest = size.number
		} else {
			size.Height, size.Width = size.number, size.number
		}
	}
	switch {
	case size.Height > 0 && size.Width > 0 && size.Shortest == 0 && size.Longest == 0:
		p.Resize, p.ResizeSize = ResizeExact, [2]int{size.Height, size.Width}
		p.Size = p.ResizeSize
	case size.Shortest > 0 && size.Longest == 0 && size.Height == 0 && size.Width == 0:
		edge := size.Shortest
		if convNeXt {
			// Below 384 pixels it resizes to a larger square and crops.
			p.Size = [2]int{edge, edge}
			if edge >= 384 {
				p.Resize, p.ResizeSize = ResizeExact, p.Size
				return nil
			}
			pct := orDefault(c.CropPct, 224.0/256)
			if !(pct > 0 && pct <= 1) {
				return fmt.Errorf("crop_pct %v: expected more than 0, at most 1", pct)
			}
			edge = int(float64(edge) / pct)
			p.Crop = CropFloor
		}
		p.Resize, p.ResizeSize = ResizeShortest, [2]int{edge, edge}
	default:
		return errors.New("size: expected a number of pixels, {height, width} or {shortest_edge}")
	}
	return nil
}

// cropSize returns the height and width of the centre crop.
func (c *processorConfig) cropSize() ([2]int, error) {
	size := imageSize{number: 224}
	if c.CropSize != nil {
		size = *c.CropSize
	}
	if size.number > 0 {
		size.Height, size.Width = size.number, size.number
	}
	if size.Height <= 0 || size.Width <= 0 {
		return [2]int{}, errors.New("crop_size: expected a number of pixels or {height, width}")
	}
	return [2]int{size.Height, size.Width}, nil
}

// timmConfig is the part of timm's pretrained_cfg that is used.
type timmConfig struct {
	InputSize     []int     `json:"input_size"`
	Mean          []float64 `json:"mean"`
	Std           []float64 `json:"std"`
	Interpolation string    `json:"interpolation"`
	CropPct       *float64  `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
}

// timmFile is a config.json of timm: since 2022 with the settings in
// pretrained_cfg, before that beside the architecture's name.
type timmFile struct {
	Architecture  string          `json:"architecture"`
	PretrainedCfg json.RawMessage `json:"pretrained_cfg"`
	InputSize     json.RawMessage `json:"input_size"`
}

// isTimm reports whether data is a config.json of timm.
func isTimm(data []byte) bool {
	var f timmFile
	return json.Unmarshal(data, &f) == nil && (f.PretrainedCfg != nil || f.InputSize != nil)
}

// ParseTimm reads a config.json of timm, with the defaults of its
// resolve_data_config: 224×224, bicubic, crop_pct 0.875, ImageNet's mean and
// standard deviation. The border crop mode is not supported.
func ParseTimm(data []byte) (*Preprocess, error) {
	var f timmFile
	if err := unmarshal(data, &f); err != nil {
		return nil, err
	}
	settings := data
	if f.PretrainedCfg != nil {
		settings = f.PretrainedCfg
	}
	var c timmConfig
	if err := unmarshal(settings, &c); err != nil {
		return nil, err
	}
	p := &Preprocess{Name: "timm", Source: "file", Crop: CropRound, Interpolation: Bicubic, Rescale: 1.0 / 255}
	if c.InputSize == nil {
		c.InputSize = []int{3, 224, 224}
	}
	if len(c.InputSize) != 3 || c.InputSize[0] != 3 {
		return nil, fmt.Errorf("input_size %v: expected 3 channels, height, width", c.InputSize)
	}
	p.Size = [2]int(c.InputSize[1:])
	switch i := Interpolation(c.Interpolation); i {
	case "":
	case Nearest, Box, Bilinear, Hamming, Bicubic, Lanczos:
		p.Interpolation = i
	default:
		return nil, fmt.Errorf("interpolation %q: expected bilinear, bicubic, nearest, lanczos, box or hamming", c.Interpolation)
	}
	pct := orDefault(c.CropPct, 0.875)
	if !(pct > 0 && pct <= 1) {
		return nil, fmt.Errorf("crop_pct %v: expected more than 0, at most 1", pct)
	}
	scale := func(edge int) int { return int(math.Floor(float64(edge) / pct)) }
	p.ResizeSize = [2]int{scale(p.Size[0]), scale(p.Size[1])}
	switch c.CropMode {
	case "", "center":
		p.Resize = ResizeCover
		if p.Size[0] == p.Size[1] {
			p.Resize = ResizeShortest
		}
	case "squash":
		p.Resize = ResizeExact
	default:
		return nil, fmt.Errorf("crop_mode %q: expected center or squash", c.CropMode)
	}
	p.Mean, p.Std = [3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}
	if err := errors.Join(channels(&p.Mean, c.Mean, "mean"), channels(&p.Std, c.Std, "std")); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// orDefault returns what v points to, or otherwise if it is nil.
func orDefault[T any](v *T, otherwise T) T {
	if v == nil {
		return otherwise
	}
	return *v
}

// channels copies values, if given, into dst.
func channels(dst *[3]float64, values []float64, name string) error {
	switch len(values) {
	case 0:
	case 3:
		copy(dst[:], values)
	default:
		return fmt.Errorf("%s has %d values: expected 3", name, len(values))
	}
	return nil
}
