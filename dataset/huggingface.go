package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// A processor is what transformers' image processor of a type does where its file
// is silent, from the constructors in transformers/models/*/image_processing_*.py.
type processor struct {
	size      int  // of the resize step, in pixels
	square    bool // whether a size of one number is a square, else the shortest edge
	filter    Interpolation
	crop      int // edge of the centre crop; 0: none unless the file asks for it
	mean, std [3]float64
	pct       float64 // crop_pct; 0: there is none
	convNeXt  bool    // below 384 pixels it resizes to a larger square and crops
}

var (
	imageNetMean, imageNetStd = [3]float64{0.485, 0.456, 0.406}, [3]float64{0.229, 0.224, 0.225}
	clipMean, clipStd         = [3]float64{0.48145466, 0.4578275, 0.40821073}, [3]float64{0.26862954, 0.26130258, 0.27577711}
	halfMean, halfStd         = [3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}
)

// processors are the types whose defaults are known, without the endings
// ImageProcessor (Fast or Pil) and FeatureExtractor. A file without a type
// is taken for a ViT's.
var processors = map[string]processor{
	"":             {224, true, Bilinear, 0, halfMean, halfStd, 0, false},
	"ViT":          {224, true, Bilinear, 0, halfMean, halfStd, 0, false},
	"DeiT":         {256, true, Bicubic, 224, halfMean, halfStd, 0, false},
	"Beit":         {256, true, Bicubic, 224, halfMean, halfStd, 0, false},
	"Siglip":       {224, true, Bicubic, 0, halfMean, halfStd, 0, false},
	"Pvt":          {224, true, Bilinear, 0, imageNetMean, imageNetStd, 0, false},
	"Segformer":    {512, true, Bilinear, 0, imageNetMean, imageNetStd, 0, false},
	"EfficientNet": {346, true, Nearest, 0, halfMean, halfStd, 0, false},
	"CLIP":         {224, false, Bicubic, 224, clipMean, clipStd, 0, false},
	"ChineseCLIP":  {224, false, Bicubic, 224, clipMean, clipStd, 0, false},
	"Bit":          {224, false, Bicubic, 224, clipMean, clipStd, 0, false},
	"ViTHybrid":    {224, false, Bicubic, 224, clipMean, clipStd, 0, false},
	"MobileNetV1":  {256, false, Bilinear, 224, halfMean, halfStd, 0, false},
	"MobileNetV2":  {256, false, Bilinear, 224, halfMean, halfStd, 0, false},
	"MobileViT":    {224, false, Bilinear, 256, halfMean, halfStd, 0, false},
	"PoolFormer":   {224, false, Bicubic, 224, imageNetMean, imageNetStd, 0.9, false},
	"Levit":        {224, false, Bicubic, 224, imageNetMean, imageNetStd, 0, false},
	"ConvNext":     {384, false, Bilinear, 0, halfMean, halfStd, 224.0 / 256, true},
}

// ParseHuggingFace reads a preprocessor_config.json of transformers. What is
// missing has the default of the processor's type, or, where there is none, that
// of the ViTImageProcessor (224×224, bilinear, mean and standard deviation 0.5).
// Every key is applied, or known not to change the images, or an error that names
// it; so is a missing key of a type whose defaults are not known.
func ParseHuggingFace(data []byte) (*Preprocess, error) {
	values, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	if inner, ok := values["image_processor"].(map[string]any); ok {
		values = inner // a processor_config.json
	}
	return huggingFace(newSettings(values))
}

// processorFile is a file of a processor of some type.
type processorFile struct {
	*settings
	kind  string // the type
	known processor
}

func huggingFace(file *settings) (*Preprocess, error) {
	s := processorFile{settings: file, kind: file.text("image_processor_type"), known: processors[""]}
	if old := s.text("feature_extractor_type"); s.kind == "" {
		s.kind = old
	}
	kind := s.kind
	name := kind
	for _, ending := range []string{"Fast", "Pil", "ImageProcessor", "FeatureExtractor"} {
		name = strings.TrimSuffix(name, ending)
	}
	known, ok := processors[name]
	if ok {
		s.known = known
	}
	switch {
	case name == "Perceiver" || name == "ImageGPT":
		return nil, fmt.Errorf("%s is not supported", kind)
	case !ok:
		if err := s.requireAll(); err != nil {
			return nil, err
		}
	}
	known = s.known
	s.harmless("processor_class", "do_convert_rgb", "do_reduce_labels", "reduce_labels", "return_tensors", "data_format",
		"input_data_format", "device", "disable_grouping", "auto_map", "transformers_version", "num_channels", "model_type")

	p := &Preprocess{Name: "Hugging Face", Source: "file", Resize: ResizeNone, Crop: CropNone}
	p.Interpolation = s.interpolation("resample", known.filter)
	square := s.flag("default_to_square", known.square)
	size, pct := s.size("size", known.size, square), s.cropPct()
	if name == "Levit" && size.shortest > 0 {
		size.shortest = int(256.0 / 224 * float64(size.shortest)) // what the crop leaves
	}
	if name == "PoolFormer" && !s.flag("do_resize_and_center_crop", true) { // a key of older files
		s.fail("do_resize_and_center_crop: false is not supported")
	}
	if s.flag("do_resize", true) {
		if err := size.resize(p, known, pct); err != nil {
			s.fail("%w", err)
		}
	}
	crop := s.size("crop_size", cmp.Or(known.crop, 224), true)
	if s.flag("do_center_crop", known.crop > 0) {
		if known.crop == 0 && !s.has("crop_size") {
			s.fail("do_center_crop without a crop_size")
		}
		if crop.height == 0 {
			s.fail("crop_size: expected a number of pixels or {height, width}")
		}
		p.Crop, p.Size = CropFloor, [2]int{crop.height, crop.width}
	}
	s.rescale(p)
	normalise := name != "MobileViT"
	if given := s.flag("do_normalize", normalise); given && !normalise {
		s.fail("do_normalize: %s normalises in some versions of transformers and not in others", kind)
	} else {
		normalise = given
	}
	mean, std := s.perChannel("image_mean", known.mean), s.perChannel("image_std", known.std)
	s.normalise(p, normalise, mean, std)
	if s.flag("include_top", name == "EfficientNet") {
		if name != "EfficientNet" {
			s.fail("include_top is a step of the EfficientNet processor, not of %s", kind)
		}
		for c := range p.Std {
			p.Std[c] *= std[c] // divided by the deviation once more
		}
	}
	if s.flag("do_flip_channel_order", name == "MobileViT") {
		p.Channels = BGR
	}
	if s.flag("do_pad", false) {
		s.fail("do_pad is not supported")
	}
	s.harmless("pad_size") // says nothing without do_pad
	if err := s.finish(); err != nil {
		return nil, err
	}
	return p, p.check()
}

// requireAll returns an error unless the file leaves nothing to the defaults of
// its type.
func (s processorFile) requireAll() error {
	needed := []string{"do_rescale", "do_normalize"}
	if s.flag("do_resize", true) {
		needed = append(needed, "size", "resample")
	}
	if s.flag("do_normalize", true) {
		needed = append(needed, "image_mean", "image_std")
	}
	if s.has("crop_size") {
		needed = append(needed, "do_center_crop")
	}
	for _, key := range needed {
		if !s.has(key) {
			return fmt.Errorf("%s is missing, and what a %s does by default is not known", key, s.kind)
		}
	}
	if v, isObject := s.values["size"].(map[string]any); s.flag("do_resize", true) && (!isObject || v == nil) {
		return fmt.Errorf("size is %s, and whether a %s makes that a square or the shortest edge is not known: expected {height, width} or {shortest_edge}", describeValue(s.values["size"]), s.kind)
	}
	return nil
}

// rescale sets how bytes become numbers, before they are normalised.
func (s processorFile) rescale(p *Preprocess) {
	factor := s.number("rescale_factor", 1.0/255)
	if p.Rescale = 1; s.flag("do_rescale", true) {
		p.Rescale = factor
		if s.flag("rescale_offset", false) || s.flag("offset", false) {
			p.Mean = [3]float64{1, 1, 1} // what is taken off after scaling
		}
	}
	s.harmless("rescale_offset", "offset")
}

// normalise sets mean and deviation, where that is asked for.
func (s processorFile) normalise(p *Preprocess, asked bool, mean, std [3]float64) {
	p.Std = [3]float64{1, 1, 1}
	if !asked {
		return
	}
	for c := range mean {
		p.Mean[c] += mean[c]
	}
	p.Std = std
}

// cropPct is the share of a larger image that the crop leaves, 0 where the
// processor has no such step.
func (s processorFile) cropPct() float64 {
	known := s.known
	v, given := s.values["crop_pct"]
	pct := s.number("crop_pct", known.pct)
	switch {
	case given && v == nil:
		if known.convNeXt {
			return known.pct
		}
		return 0
	case pct == 0 && v == nil:
	case known.pct == 0:
		s.fail("crop_pct is a step of the ConvNext and PoolFormer processors, and not known of this one")
	case !(pct > 0 && pct <= 1):
		s.fail("crop_pct %v: expected more than 0, at most 1", pct)
		return known.pct
	}
	return pct
}

// imageSize is a size in a preprocessor_config.json: height and width, or the
// shortest edge.
type imageSize struct {
	height, width, shortest int
}

// size reads a size in any of its shapes: a number or a list of one, [height,
// width] where they are the same, {height, width}, {shortest_edge}.
func (s *settings) size(key string, otherwise int, square bool) imageSize {
	v := s.get(key)
	if v == nil {
		v = float64(otherwise)
	}
	bad := func(expected string) imageSize {
		s.fail("%s %s: expected %s", key, describeSize(v), expected)
		return imageSize{}
	}
	one := func(v any) imageSize {
		n, ok := toLength(v)
		switch {
		case !ok:
			return bad("a number of pixels, {height, width} or {shortest_edge}")
		case square:
			return imageSize{height: n, width: n}
		}
		return imageSize{shortest: n}
	}
	switch v := v.(type) {
	case []any:
		if len(v) == 1 {
			return one(v[0])
		}
		if len(v) != 2 || v[0] != v[1] {
			return bad("{height, width}: a list does not say which is which")
		}
		n, ok := toLength(v[0])
		if !ok {
			return bad("numbers of pixels")
		}
		return imageSize{height: n, width: n}
	case map[string]any:
		var size imageSize
		edges := map[string]*int{"height": &size.height, "width": &size.width, "shortest_edge": &size.shortest}
		for name, edge := range v {
			if edge == nil {
				continue
			}
			n, ok := toLength(edge)
			if edges[name] == nil || !ok {
				return bad("a number of pixels, {height, width} or {shortest_edge}")
			}
			*edges[name] = n
		}
		if (size.height > 0) != (size.width > 0) || (size.height > 0) == (size.shortest > 0) {
			return bad("a number of pixels, {height, width} or {shortest_edge}")
		}
		return size
	}
	return one(v)
}

// describeSize is a size as the file has it, when it is wrong.
func describeSize(v any) string {
	if object, ok := v.(map[string]any); ok {
		return strings.TrimPrefix(fmt.Sprint(object), "map")
	}
	return fmt.Sprint(v)
}

// resize sets p's resize step, and its size where that fixes it.
func (size imageSize) resize(p *Preprocess, known processor, pct float64) error {
	square := size.height == size.width && size.height > 0
	switch {
	case known.convNeXt && (size.shortest > 0 || square):
		edge := max(size.shortest, size.height)
		p.Size = [2]int{edge, edge}
		if edge >= 384 {
			p.Resize, p.ResizeSize = ResizeExact, p.Size
			return nil
		}
		p.Crop, size = CropFloor, imageSize{shortest: int(float64(edge) / pct)}
	case pct > 0 && !known.convNeXt && (size.shortest > 0 || square): // PoolFormer
		size = imageSize{shortest: int(float64(max(size.shortest, size.height)) / pct)}
	case pct > 0:
		return errors.New("size: with crop_pct, expected {shortest_edge} or a square")
	}
	if size.shortest > 0 {
		p.Resize, p.ResizeSize = ResizeShortest, [2]int{size.shortest, size.shortest}
		return nil
	}
	p.Resize, p.ResizeSize = ResizeExact, [2]int{size.height, size.width}
	p.Size = p.ResizeSize
	return nil
}
