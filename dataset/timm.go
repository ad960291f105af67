package dataset

import (
	"fmt"
	"math"
)

// isTimm reports whether a file is a config.json of timm: since 2022 with the
// settings in pretrained_cfg, before that beside the architecture's name.
func isTimm(values map[string]any) bool {
	_, inner := values["pretrained_cfg"].(map[string]any)
	return inner || values["input_size"] != nil
}

// ParseTimm reads a config.json of timm, with the defaults of its
// resolve_data_config: 224×224, bicubic, crop_pct 0.875, ImageNet's mean and
// standard deviation. The border crop mode is not supported.
func ParseTimm(data []byte) (*Preprocess, error) {
	values, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	return timm(values)
}

func timm(values map[string]any) (*Preprocess, error) {
	if inner, ok := values["pretrained_cfg"].(map[string]any); ok {
		values = inner
	}
	s := newSettings(values)
	// The rest of timm's PretrainedCfg, and of the older form.
	s.harmless("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "architecture", "tag", "custom_load",
		"test_input_size", "min_input_size", "fixed_input_size", "test_crop_pct", "num_classes", "label_offset", "label_names",
		"label_descriptions", "pool_size", "test_pool_size", "first_conv", "classifier", "license", "description", "origin_url",
		"paper_name", "paper_ids", "notes", "num_features", "global_pool", "model_args", "hf_hub", "image_processor_type",
		"model_type", "transformers_version", "architectures")

	p := &Preprocess{Name: "timm", Source: "file", Crop: CropRound, Rescale: 1.0 / 255}
	p.Size = s.inputSize("input_size")
	p.Interpolation = s.interpolation("interpolation", Bicubic)
	pct := s.number("crop_pct", 0.875)
	if !(pct > 0 && pct <= 1) {
		s.fail("crop_pct %v: expected more than 0, at most 1", pct)
	}
	scale := func(edge int) int { return int(math.Floor(float64(edge) / pct)) }
	p.ResizeSize = [2]int{scale(p.Size[0]), scale(p.Size[1])}
	switch mode := s.text("crop_mode"); mode {
	case "", "center":
		p.Resize = ResizeCover
		if p.Size[0] == p.Size[1] {
			p.Resize = ResizeShortest
		}
	case "squash":
		p.Resize = ResizeExact
	default:
		s.fail("crop_mode %q: expected center or squash", mode)
	}
	p.Mean, p.Std = s.perChannel("mean", imageNetMean), s.perChannel("std", imageNetStd)
	if err := s.finish(); err != nil {
		return nil, err
	}
	return p, p.check()
}

// inputSize reads channels, height and width.
func (s *settings) inputSize(key string) [2]int {
	v := s.get(key)
	if v == nil {
		return [2]int{224, 224}
	}
	list, _ := v.([]any)
	var dims [3]int
	ok := len(list) == len(dims)
	for i := range list {
		if ok {
			dims[i], ok = toLength(list[i])
		}
	}
	if !ok || dims[0] != 1 && dims[0] != 3 {
		s.fail("%s %v: expected 3 channels (or 1), height, width", key, v)
		return [2]int{224, 224}
	}
	return [2]int{dims[1], dims[2]}
}

// torchvision reads the settings of torchvision's ImageClassification transform,
// as Weights.transforms() prints them, written as JSON.
func torchvision(values map[string]any) (*Preprocess, error) {
	s := newSettings(values)
	p := &Preprocess{Name: "torchvision", Source: "file", Resize: ResizeShortest, Crop: CropRound, Rescale: 1.0 / 255}
	p.Interpolation = s.interpolation("interpolation", Bilinear)
	crop, resize := s.size("crop_size", 224, true), s.size("resize_size", 256, false)
	p.Size = [2]int{crop.height, crop.width}
	switch {
	case resize.shortest > 0:
		p.ResizeSize = [2]int{resize.shortest, resize.shortest}
	default: // two numbers are height and width there
		p.Resize, p.ResizeSize = ResizeExact, [2]int{resize.height, resize.width}
	}
	p.Mean, p.Std = s.perChannel("mean", imageNetMean), s.perChannel("std", imageNetStd)
	if !s.flag("antialias", true) {
		s.fail("antialias: false is not supported")
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	return p, p.check()
}

// metadataPreprocess is what the metadata of a model say of its preprocessing;
// nil where they say nothing. Ultralytics' classifiers see 0 to 1, resized by the
// shorter edge and cropped (ultralytics/data/augment.py, classify_transforms).
func metadataPreprocess(metadata map[string]string) (*Preprocess, error) {
	if metadata["task"] != "classify" || metadata["imgsz"] == "" {
		return nil, nil
	}
	size, ok := metadataSize(metadata)
	if !ok {
		return nil, fmt.Errorf("imgsz %.40q: expected [height, width]", metadata["imgsz"])
	}
	p := &Preprocess{
		Name: "ultralytics", Source: "the model's metadata", Size: size, Resize: ResizeShortest,
		Interpolation: Bilinear, Crop: CropRound, Rescale: 1.0 / 255, Std: [3]float64{1, 1, 1},
	}
	if p.ResizeSize = size; size[0] != size[1] {
		p.Resize = ResizeExact
	}
	return p, p.check()
}

// metadataSize reads the image size that ultralytics leaves in a model's
// metadata.
func metadataSize(metadata map[string]string) (size [2]int, ok bool) {
	v, err := ParseLiteral([]byte(metadata["imgsz"]))
	if err != nil {
		return size, false
	}
	list, isList := v.([]any)
	if !isList {
		list = []any{v, v}
	}
	if len(list) != 2 {
		return size, false
	}
	for i := range size {
		if size[i], ok = toLength(list[i]); !ok {
			return size, false
		}
	}
	return size, true
}
