package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// summary is a preprocessing in one line.
func summary(p *Preprocess) string {
	s := fmt.Sprintf("%v %v %v to %v, scale %.4g, mean %.4g std %.4g", p.Resize, p.ResizeSize, p.Interpolation, p.Size, p.Rescale, p.Mean, p.Std)
	if p.Crop != CropNone {
		s += " crop " + string(p.Crop)
	}
	if p.Channels != RGB {
		s += " " + string(p.Channels)
	}
	return s
}

// TestSettings is a table of right answers made by hand: every key of a
// preprocessing file is applied, or is harmless, or is refused by name.
func TestSettings(t *testing.T) {
	const vit = "exact [32 32] bilinear to [32 32], scale 0.003922, mean [0.5 0.5 0.5] std [0.5 0.5 0.5]"
	const clip = "mean [0.4815 0.4578 0.4082] std [0.2686 0.2613 0.2758]"
	for name, c := range map[string]struct{ config, want string }{
		"size, a number":             {`{"size": 32}`, vit},
		"size, a list of one":        {`{"size": [32]}`, vit},
		"size, a square list":        {`{"size": [32, 32]}`, vit},
		"size, an object":            {`{"size": {"height": 32, "width": 32}}`, vit},
		"size, with nulls":           {`{"size": {"height": 32, "width": 32, "shortest_edge": null}}`, vit},
		"size, a text":               {`{"size": "32"}`, vit},
		"size, a float":              {`{"size": 32.0}`, vit},
		"size of a CLIP":             {`{"image_processor_type": "CLIPImageProcessor", "size": 36, "crop_size": 32}`, "shortest [36 36] bicubic to [32 32], scale 0.003922, " + clip + " crop floor"},
		"size, not square":           {`{"size": 32, "default_to_square": false, "do_center_crop": true, "crop_size": 28}`, "shortest [32 32] bilinear to [28 28], scale 0.003922, mean [0.5 0.5 0.5] std [0.5 0.5 0.5] crop floor"},
		"resample, a name":           {`{"size": 32, "resample": "bilinear"}`, vit},
		"resample, an enum's name":   {`{"size": 32, "resample": "PILImageResampling.BILINEAR"}`, vit},
		"resample, torchvision's":    {`{"size": 32, "resample": "InterpolationMode.BILINEAR"}`, vit},
		"resample, a number as text": {`{"size": 32, "resample": "2"}`, vit},
		"mean and std, numbers":      {`{"size": 32, "image_mean": 0.5, "image_std": 0.5}`, vit},
		"mean and std, of one":       {`{"size": 32, "image_mean": [0.5], "image_std": [0.5]}`, vit},
		"mean and std, texts":        {`{"size": 32, "image_mean": ["0.5", "0.5", "0.5"], "image_std": "1/2"}`, vit},
		"mean null":                  {`{"size": 32, "image_mean": null, "image_std": null}`, vit},
		"factor as a fraction":       {`{"size": 32, "rescale_factor": "1/255"}`, vit},
		"flags as numbers":           {`{"size": 32, "do_resize": 1, "do_pad": 0}`, vit},
		"harmless keys":              {`{"size": 32, "do_convert_rgb": true, "processor_class": "X", "_valid_processor_keys": ["a"], "do_reduce_labels": false, "data_format": "channels_first"}`, vit},
		"unknown, but off":           {`{"size": 32, "do_thumbnail": false, "do_grayscale": null}`, vit},
		"an old file":                {`{"feature_extractor_type": "ViTFeatureExtractor", "size": 32, "resample": 2}`, vit},
		"a fast processor":           {`{"image_processor_type": "ViTImageProcessorFast", "size": 32}`, vit},
		"a Pillow processor":         {`{"image_processor_type": "ViTImageProcessorPil", "size": 32}`, vit},
		"a processor_config":         {`{"image_processor": {"image_processor_type": "ViTImageProcessor", "size": 32}, "processor_class": "P"}`, vit},
		"NaN elsewhere":              {`{"size": 32, "_note": NaN}`, vit},
		"no normalisation":           {`{"size": 32, "do_normalize": false, "image_mean": [0.1, 0.2, 0.3]}`, "exact [32 32] bilinear to [32 32], scale 0.003922, mean [0 0 0] std [1 1 1]"},
		"no scaling":                 {`{"size": 32, "do_rescale": false, "image_mean": 127.5, "image_std": 127.5}`, "exact [32 32] bilinear to [32 32], scale 1, mean [127.5 127.5 127.5] std [127.5 127.5 127.5]"},
		"offset":                     {`{"size": 32, "rescale_offset": true, "rescale_factor": "2/255", "do_normalize": false}`, "exact [32 32] bilinear to [32 32], scale 0.007843, mean [1 1 1] std [1 1 1]"},
		"offset, Vivit's key":        {`{"size": 32, "offset": true, "rescale_factor": "2/255", "do_normalize": false}`, "exact [32 32] bilinear to [32 32], scale 0.007843, mean [1 1 1] std [1 1 1]"},
		"offset and normalisation":   {`{"size": 32, "rescale_offset": true, "rescale_factor": "2/255"}`, "exact [32 32] bilinear to [32 32], scale 0.007843, mean [1.5 1.5 1.5] std [0.5 0.5 0.5]"},
		"offset without scaling":     {`{"size": 32, "do_rescale": false, "rescale_offset": true, "do_normalize": false}`, "exact [32 32] bilinear to [32 32], scale 1, mean [0 0 0] std [1 1 1]"},
		"Caffe":                      {`{"do_resize": false, "do_rescale": false, "image_mean": [104, 117, 124], "image_std": [1, 1, 1], "do_flip_channel_order": true}`, "none [0 0] bilinear to [0 0], scale 1, mean [104 117 124] std [1 1 1] bgr"},
		"MobileViT":                  {`{"image_processor_type": "MobileViTImageProcessor", "size": {"shortest_edge": 36}, "crop_size": 32, "image_mean": [0.5, 0.5, 0.5]}`, "shortest [36 36] bilinear to [32 32], scale 0.003922, mean [0 0 0] std [1 1 1] crop floor bgr"},
		"EfficientNet":               {`{"image_processor_type": "EfficientNetImageProcessor", "size": 32, "image_std": 0.5}`, "exact [32 32] nearest to [32 32], scale 0.003922, mean [0.5 0.5 0.5] std [0.25 0.25 0.25]"},
		"EfficientNet without top":   {`{"image_processor_type": "EfficientNetImageProcessor", "size": 32, "include_top": false}`, "exact [32 32] nearest to [32 32], scale 0.003922, mean [0.5 0.5 0.5] std [0.5 0.5 0.5]"},
		"PoolFormer":                 {`{"image_processor_type": "PoolFormerImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32, "image_mean": 0, "image_std": 1}`, "shortest [35 35] bicubic to [32 32], scale 0.003922, mean [0 0 0] std [1 1 1] crop floor"},
		"an old PoolFormer":          {`{"feature_extractor_type": "PoolFormerFeatureExtractor", "size": 32, "crop_size": 32, "do_resize_and_center_crop": true, "image_mean": 0, "image_std": 1}`, "shortest [35 35] bicubic to [32 32], scale 0.003922, mean [0 0 0] std [1 1 1] crop floor"},
		"Levit":                      {`{"image_processor_type": "LevitImageProcessor", "size": 32, "crop_size": 32, "image_mean": 0, "image_std": 1}`, "shortest [36 36] bicubic to [32 32], scale 0.003922, mean [0 0 0] std [1 1 1] crop floor"},
		"an unknown type, explicit":  {`{"image_processor_type": "NewImageProcessor", "do_rescale": true, "do_normalize": true, "size": {"height": 32, "width": 32}, "resample": 2, "image_mean": 0.5, "image_std": 0.5}`, vit},
		"timm":                       {`{"pretrained_cfg": {"input_size": [3, 32, 32], "mean": 0.5, "std": 0.5, "crop_pct": 1, "interpolation": "bilinear", "tag": "x", "first_conv": "c"}}`, "shortest [32 32] bilinear to [32 32], scale 0.003922, mean [0.5 0.5 0.5] std [0.5 0.5 0.5] crop round"},
		"timm, one channel":          {`{"pretrained_cfg": {"input_size": [1, 28, 28], "mean": [0.1307], "std": [0.3081], "crop_pct": 1.0}}`, "shortest [28 28] bicubic to [28 28], scale 0.003922, mean [0.1307 0.1307 0.1307] std [0.3081 0.3081 0.3081] crop round"},
		"torchvision":                {`{"crop_size": [32], "resize_size": [36], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "InterpolationMode.BILINEAR", "antialias": true}`, "shortest [36 36] bilinear to [32 32], scale 0.003922, mean [0.5 0.5 0.5] std [0.5 0.5 0.5] crop round"},

		"size, of which sides":        {`{"size": [32, 24]}`, "error: a list does not say"},
		"size, longest":               {`{"size": {"longest_edge": 32}}`, "error: size"},
		"size, both kinds":            {`{"size": {"shortest_edge": 32, "longest_edge": 64}}`, "error: size"},
		"size, bounds":                {`{"size": {"max_height": 32, "max_width": 32}}`, "error: size"},
		"size, one side":              {`{"size": {"height": 32}}`, "error: size"},
		"size, a name":                {`{"size": "large"}`, "error: size"},
		"size, a fraction":            {`{"size": 32.5}`, "error: size"},
		"resample, unknown":           {`{"size": 32, "resample": "magic"}`, `error: resample the text "magic"`},
		"resample, out of range":      {`{"size": 32, "resample": 9}`, "error: resample 9"},
		"mean, of two":                {`{"size": 32, "image_mean": [0.5, 0.5]}`, "error: image_mean has 2"},
		"mean, of four":               {`{"size": 32, "image_mean": [0.5, 0.5, 0.5, 0.5]}`, "error: image_mean has 4"},
		"mean, a name":                {`{"size": 32, "image_mean": "imagenet"}`, "error: image_mean"},
		"mean, not a number":          {`{"size": 32, "image_mean": NaN}`, "error: image_mean"},
		"std, with null":              {`{"size": 32, "image_std": [0.5, null, 0.5]}`, "error: image_std"},
		"std of 0":                    {`{"size": 32, "image_std": 0}`, "error: deviation 0"},
		"flag, a text":                {`{"size": 32, "do_normalize": "no"}`, "error: do_normalize"},
		"pad":                         {`{"size": 32, "do_pad": true}`, "error: do_pad"},
		"an unknown step":             {`{"size": 32, "do_equalize": true}`, "error: do_equalize"},
		"an unknown number":           {`{"size": 32, "size_divisor": 32}`, "error: size_divisor"},
		"grey":                        {`{"size": 32, "do_grayscale": true}`, "error: do_grayscale"},
		"crop_pct of a ViT":           {`{"size": 32, "crop_pct": 0.9}`, "error: crop_pct"},
		"crop_pct of 0":               {`{"image_processor_type": "PoolFormerImageProcessor", "size": 32, "crop_pct": 0}`, "error: crop_pct"},
		"include_top of a ViT":        {`{"size": 32, "include_top": true}`, "error: include_top"},
		"a crop without a size":       {`{"size": 32, "do_center_crop": true}`, "error: crop_size"},
		"a crop of an edge":           {`{"size": 32, "do_center_crop": true, "crop_size": {"shortest_edge": 24}}`, "error: crop_size"},
		"MobileViT, normalised":       {`{"image_processor_type": "MobileViTImageProcessor", "do_normalize": true}`, "error: do_normalize"},
		"a type that is not known":    {`{"image_processor_type": "NewImageProcessor", "size": {"height": 32, "width": 32}}`, "error: do_rescale is missing"},
		"and its size":                {`{"image_processor_type": "NewImageProcessor", "do_rescale": true, "do_normalize": false, "size": 32, "resample": 2}`, "error: square or the shortest"},
		"a type that cannot be":       {`{"image_processor_type": "PerceiverImageProcessor", "size": 32}`, "error: PerceiverImageProcessor"},
		"timm, an unknown key":        {`{"pretrained_cfg": {"input_size": [3, 32, 32], "vertical_flip": true}}`, "error: vertical_flip"},
		"timm, BGR":                   {`{"pretrained_cfg": {"input_size": [4, 32, 32]}}`, "error: input_size"},
		"torchvision, not antialised": {`{"crop_size": 32, "resize_size": 36, "antialias": false}`, "error: antialias"},
		"a list":                      {`[1, 2]`, "error: a list of 2"},
	} {
		path := filepath.Join(t.TempDir(), "preprocessor_config.json")
		if err := os.WriteFile(path, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := LoadPreprocess(path)
		wanted, fails := strings.CutPrefix(c.want, "error: ")
		switch {
		case fails && (err == nil || !strings.Contains(err.Error(), wanted)):
			t.Errorf("%s: got %+v, %v, want an error with %q", name, p, err, wanted)
		case fails && (strings.Contains(err.Error(), "struct") || strings.Contains(err.Error(), "unmarshal") || strings.Contains(err.Error(), "map[")):
			t.Errorf("%s: %v names a Go type", name, err)
		case !fails && (err != nil || summary(p) != c.want):
			t.Errorf("%s: got %v\n", name, err)
			if err == nil {
				t.Errorf("got  %s\nwant %s", summary(p), c.want)
			}
		}
	}
}

// TestWithChannels: a preset's mean belongs to colours, a file's to channels.
func TestWithChannels(t *testing.T) {
	p, err := LoadPreprocess("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	turned := p.WithChannels(BGR)
	if turned.Mean != [3]float64{0.406, 0.456, 0.485} || turned.Std != [3]float64{0.225, 0.224, 0.229} {
		t.Errorf("the preset's mean %v, deviation %v", turned.Mean, turned.Std)
	}
	if again := turned.WithChannels(RGB); again != *p {
		t.Errorf("there and back: %+v", again)
	}
	file := *p
	file.Source = "file"
	if turned := file.WithChannels(BGR); turned.Mean != p.Mean || turned.Channels != BGR {
		t.Errorf("the file's mean %v", turned.Mean)
	}
	dst := make([]float32, 3*5*4)
	bgr := Preprocess{Size: [2]int{4, 5}, Rescale: 1, Mean: [3]float64{1, 2, 3}, Std: [3]float64{1, 1, 1}, Channels: BGR}
	if err := bgr.Apply(picture(5, 4), dst); err != nil {
		t.Fatal(err)
	}
	pix := picture(5, 4).Pix
	if dst[0] != float32(pix[2])-1 || dst[20] != float32(pix[1])-2 || dst[40] != float32(pix[0])-3 {
		t.Errorf("channels %v, %v, %v of pixel %v", dst[0], dst[20], dst[40], pix[:3])
	}
}

// TestFindSize takes the size that a file leaves open from what lies beside it.
func TestFindSize(t *testing.T) {
	dir := t.TempDir()
	model := ModelFile{Path: filepath.Join(dir, "model.onnx")}
	expect := func(what, preprocess string, want [2]int) {
		t.Helper()
		if got, err := FindSize(model, preprocess); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", what, got, err, want)
		}
	}
	expect("nothing", "", [2]int{})
	model.Metadata = map[string]string{"imgsz": "[48, 64]"}
	expect("metadata", "", [2]int{48, 64})
	model.Metadata = map[string]string{"imgsz": "48"}
	expect("metadata, a number", "", [2]int{48, 48})
	expect("metadata, beside a preset", "imagenet", [2]int{48, 48})
	model.Metadata = map[string]string{"imgsz": "[48, x]"}
	expect("metadata that cannot be read", "", [2]int{})
	path := filepath.Join(dir, "preprocessor_config.json")
	if err := os.WriteFile(path, []byte(`{"size": 96}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a file beside the model", "", [2]int{96, 96})
	expect("a file beside the model, and a preset", "imagenet", [2]int{96, 96})
	other := filepath.Join(dir, "other.json")
	if err := os.WriteFile(other, []byte(`{"size": 33, "do_center_crop": true, "crop_size": 31}`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("a file that is named", other, [2]int{31, 31})

	found, err := FindPreprocess(ModelFile{Path: filepath.Join(t.TempDir(), "yolo.onnx"), Metadata: map[string]string{"task": "classify", "imgsz": "[32, 32]", "names": "{0: 'a'}"}})
	const want = "shortest [32 32] bilinear to [32 32], scale 0.003922, mean [0 0 0] std [1 1 1] crop round"
	if err != nil || found == nil || summary(found) != want {
		t.Errorf("ultralytics: %+v, %v, want %s", found, err, want)
	}
}

// TestAlphaBytes: opacity is a byte like another, where it is known what is right.
func TestAlphaBytes(t *testing.T) {
	raw := Preprocess{Size: [2]int{4, 5}, Rescale: 1.0 / 255, Std: [3]float64{1, 1, 1}}
	dst := make([]byte, 20)
	if err := raw.AlphaBytes(picture(5, 4), dst); err != nil || dst[0] != 255 || dst[19] != 255 {
		t.Errorf("opaque: %v, %v", dst, err)
	}
	glass := picture(5, 4)
	glass.Pix[4*6+3] = 51 // the second pixel of the second row
	if err := raw.AlphaBytes(glass, dst); err != nil || dst[6] != 51 || dst[7] != 255 {
		t.Errorf("not opaque: %v, %v", dst, err)
	}
	smaller := raw
	smaller.Size = [2]int{2, 2}
	if err := smaller.AlphaBytes(picture(5, 4), dst[:4]); err != nil {
		t.Errorf("opaque and resized: %v", err)
	}
	if err := smaller.AlphaBytes(glass, dst[:4]); err == nil {
		t.Error("an image that is not opaque was resized")
	}
	normalised := raw
	normalised.Mean = [3]float64{0.5, 0.5, 0.5}
	if err := normalised.AlphaBytes(picture(5, 4), dst); err == nil {
		t.Error("opacity was normalised by nothing")
	}
}
