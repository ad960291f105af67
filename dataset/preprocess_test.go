package dataset

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// picture draws the test picture of testdata/golden.py.
func picture(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := func(c int) uint8 {
				return uint8(x*7 + y*13 + c*50 + (x*x*31+y*y*17+x*y*c*5)%97)
			}
			img.SetNRGBA(x, y, color.NRGBA{v(0), v(1), v(2), 255})
		}
	}
	return img
}

// golden reads a JSON file of golden values.
func golden[T any](t *testing.T, name string) (cases []T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s: no cases", name)
	}
	return file.Cases
}

func TestResizeIsPillows(t *testing.T) {
	type resizeCase struct {
		W, H, RW, RH int
		Filter       Interpolation
		RGB          []byte
	}
	for _, c := range golden[resizeCase](t, "resize.json") {
		t.Run(fmt.Sprintf("%s/%dx%d-%dx%d", c.Filter, c.W, c.H, c.RW, c.RH), func(t *testing.T) {
			got := resize(toPixels(picture(c.W, c.H)), c.RW, c.RH, c.Filter).rgb
			for i := range c.RGB {
				if got[i] != c.RGB[i] {
					t.Fatalf("byte %d (x %d, y %d) is %d, want %d", i, i/3%c.RW, i/3/c.RW, got[i], c.RGB[i])
				}
			}
		})
	}
}

func TestHuggingFaceIsTransformers(t *testing.T) {
	type processorCase struct {
		W, H, OH, OW int
		Config       json.RawMessage
		Float32      string
	}
	for _, c := range golden[processorCase](t, "processors.json") {
		t.Run(string(c.Config), func(t *testing.T) {
			p, err := ParseHuggingFace(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			fitted, err := p.ForInput(c.OH, c.OW)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, 3*c.OH*c.OW)
			if err := fitted.Apply(picture(c.W, c.H), got); err != nil {
				t.Fatal(err)
			}
			data, err := base64.StdEncoding.DecodeString(c.Float32)
			if err != nil {
				t.Fatal(err)
			}
			for i := range got {
				want := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
				// Transformers normalises in float32.
				if diff := math.Abs(float64(got[i] - want)); diff > 1e-6*max(1, math.Abs(float64(want))) {
					t.Fatalf("value %d is %v, want %v", i, got[i], want)
				}
			}
		})
	}
}

// TestJPEGIsPillows allows for the rounding of the two decoders' inverse cosine
// transforms, which chroma carries to red and blue nearly doubled. Repeating
// chroma instead of interpolating it is off by 13 to 20 levels.
func TestJPEGIsPillows(t *testing.T) {
	for name, tolerance := range map[string]int{"420": 2, "422": 2, "440": 2, "444": 2, "grey": 1} {
		jpeg, err := decodeFile(filepath.Join("testdata", name+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		png, err := decodeFile(filepath.Join("testdata", name+".png"))
		if err != nil {
			t.Fatal(err)
		}
		got, want := toPixels(jpeg), toPixels(png)
		worst := 0
		for i := range want.rgb {
			worst = max(worst, int(got.rgb[i])-int(want.rgb[i]), int(want.rgb[i])-int(got.rgb[i]))
		}
		if worst > tolerance {
			t.Errorf("%s.jpg differs from Pillow's by %d levels, want at most %d", name, worst, tolerance)
		}
	}
}

func TestToPixelsIgnoresTheImageType(t *testing.T) {
	want := toPixels(picture(5, 4)).rgb
	translucent := picture(5, 4)
	for i := 3; i < len(translucent.Pix); i += 4 {
		translucent.Pix[i] = 100 // dropped, as convert("RGB") does
	}
	rgba := image.NewRGBA(image.Rect(-2, 3, 3, 7))
	wide := image.NewNRGBA64(image.Rect(0, 0, 5, 4))
	larger := image.NewNRGBA(image.Rect(0, 0, 9, 9))
	for y := range 4 {
		for x := range 5 {
			c := picture(5, 4).NRGBAAt(x, y)
			rgba.Set(x-2, y+3, c)
			wide.Set(x, y, c)
			larger.Set(x+1, y+2, c)
		}
	}
	for name, img := range map[string]image.Image{
		"translucent": translucent, "RGBA with an origin": rgba, "16 bits": wide,
		"part of another": larger.SubImage(image.Rect(1, 2, 6, 6)),
	} {
		if got := toPixels(img).rgb; string(got) != string(want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestApplyNormalises(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	copy(img.Pix, []byte{0, 128, 255, 255, 10, 20, 30, 255})
	p := Preprocess{Size: [2]int{1, 2}, Rescale: 1.0 / 255, Mean: [3]float64{0.5, 0.25, 0}, Std: [3]float64{0.5, 0.25, 2}}
	got := make([]float32, 6)
	if err := p.Apply(img, got); err != nil {
		t.Fatal(err)
	}
	want := []float32{
		-1, float32((10.0/255 - 0.5) / 0.5),
		float32((128.0/255 - 0.25) / 0.25), float32((20.0/255 - 0.25) / 0.25),
		float32(255.0 / 255 / 2), float32(30.0 / 255 / 2),
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-7 {
			t.Errorf("value %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestPresetFollowsTheModel(t *testing.T) {
	p, err := LoadPreprocess("CIFAR100")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ h, w, rh, rw int }{
		{32, 32, 32, 32}, // already of that size
		{64, 64, 32, 32},
		{30, 60, 32, 64},
		{60, 30, 64, 32},
	} {
		fitted, err := p.ForInput(32, 32)
		if err != nil {
			t.Fatal(err)
		}
		if rh, rw := fitted.resized(c.h, c.w); rh != c.rh || rw != c.rw {
			t.Errorf("%d×%d is resized to %d×%d, want %d×%d", c.h, c.w, rh, rw, c.rh, c.rw)
		}
		if err := fitted.Apply(picture(c.w, c.h), make([]float32, 3*32*32)); err != nil {
			t.Error(err)
		}
	}
	if p.Size != [2]int{} {
		t.Error("ForInput changed its receiver")
	}
}

func TestApplyRefusesAnotherSize(t *testing.T) {
	p, err := ParseHuggingFace([]byte(`{"do_resize": false}`))
	if err != nil {
		t.Fatal(err)
	}
	fitted, err := p.ForInput(32, 32)
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := fitted.Apply(picture(30, 32), make([]float32, 3*32*32)); !errors.As(err, &e) || !strings.Contains(e.Msg, "32×30") {
		t.Errorf("got %v, want an error that names the size", err)
	}
	// A line of pixels 100,000 times as long as wide must not be enlarged.
	p, err = LoadPreprocess("imagenet")
	if err != nil {
		t.Fatal(err)
	}
	if fitted, err = p.ForInput(1024, 1024); err != nil {
		t.Fatal(err)
	}
	if err := fitted.Apply(image.NewNRGBA(image.Rect(0, 0, 100_000, 1)), make([]float32, 3<<20)); !errors.As(err, &e) {
		t.Errorf("got %v, want an *Error", err)
	}
}

func TestParseTimm(t *testing.T) {
	const imagenet = `"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]`
	base := Preprocess{
		Name: "timm", Source: "file", Size: [2]int{224, 224}, Resize: ResizeShortest, ResizeSize: [2]int{256, 256},
		Interpolation: Bicubic, Crop: CropRound, Rescale: 1.0 / 255,
		Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225},
	}
	half := base
	half.ResizeSize, half.Interpolation = [2]int{248, 248}, Bilinear
	half.Mean, half.Std = [3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}
	tall := base
	tall.Size, tall.ResizeSize, tall.Resize = [2]int{256, 128}, [2]int{256, 128}, ResizeCover
	squash := base
	squash.Size, squash.ResizeSize, squash.Resize = [2]int{32, 32}, [2]int{32, 32}, ResizeExact
	for _, c := range []struct {
		name, config string
		want         Preprocess
	}{
		{"defaults", `{"architecture": "vit", "pretrained_cfg": {}}`, base},
		{"flat", `{"architecture": "vit", "input_size": [3, 224, 224], ` + imagenet + `}`, base},
		{"augreg", `{"pretrained_cfg": {"input_size": [3,224,224], "interpolation": "bilinear", "crop_pct": 0.9, "mean": [0.5,0.5,0.5], "std": [0.5,0.5,0.5]}}`, half},
		{"tall", `{"pretrained_cfg": {"input_size": [3,256,128], "crop_pct": 1.0}}`, tall},
		{"squash", `{"pretrained_cfg": {"input_size": [3,32,32], "crop_pct": 1.0, "crop_mode": "squash"}}`, squash},
	} {
		got, err := ParseTimm([]byte(c.config))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if *got != c.want {
			t.Errorf("%s: got\n%+v, want\n%+v", c.name, *got, c.want)
		}
	}
}

func TestBadPreprocessing(t *testing.T) {
	for config, want := range map[string]string{
		`{"size": `:                                       "byte 9",
		`{"size": {"longest_edge": 32}}`:                  "size",
		`{"size": -1}`:                                    "size",
		`{"size": 100000000}`:                             "100000000",
		`{"resample": 9}`:                                 "resample 9",
		`{"image_mean": [0.5, 0.5]}`:                      "image_mean",
		`{"image_std": [0, 1, 1]}`:                        "deviation 0",
		`{"image_std": [1, 1, -0.5]}`:                     "deviation -0.5 of channel 2",
		`{"rescale_factor": 0}`:                           "rescale factor 0",
		`{"do_pad": true}`:                                "do_pad",
		`{"do_center_crop": 3}`:                           "do_center_crop",
		`{"pretrained_cfg": {"std": [1, 1]}}`:             "std",
		`{"input_size": [2, 28, 28]}`:                     "input_size",
		`{"pretrained_cfg": {"crop_pct":0}}`:              "crop_pct",
		`{"pretrained_cfg": {"crop_mode": "border"}}`:     "border",
		`{"pretrained_cfg": {"interpolation": "random"}}`: "random",
	} {
		path := filepath.Join(t.TempDir(), "preprocessor_config.json")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		var e *Error
		if _, err := LoadPreprocess(path); !errors.As(err, &e) || e.Path != path || e.Hint == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an *Error with %q", config, err, want)
		}
	}
	if _, err := LoadPreprocess("imagnet"); err == nil || !strings.Contains(err.(*Error).Hint, "imagenet, inception") {
		t.Errorf("unknown name: got %v, want an error that lists the presets", err)
	}
	p := Preprocess{Size: [2]int{224, 224}}
	if _, err := p.ForInput(32, 32); err == nil {
		t.Error("ForInput took a model of another size")
	}
}

func TestFindPreprocess(t *testing.T) {
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	model := filepath.Join(dir, "onnx", "model.onnx")
	find := func() *Preprocess {
		t.Helper()
		p, err := FindPreprocess(ModelFile{Path: model})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := find(); p != nil {
		t.Errorf("found %+v where there is nothing", p)
	}
	write(filepath.Join(dir, "onnx", "config.json"), `{"model_type": "vit", "id2label": {"0": "cat", "1": "dog"}}`)
	if p := find(); p != nil {
		t.Errorf("found %+v in a config.json of transformers", p)
	}
	names, _, err := FindOutputNames(ModelFile{Path: model}, 2)
	if err != nil || len(names) != 2 || names[1][0] != "dog" {
		t.Errorf("class names %v, %v", names, err)
	}
	write(filepath.Join(dir, "preprocessor_config.json"), `{"size": 96}`)
	if p := find(); p == nil || p.Size != [2]int{96, 96} || p.Name != "preprocessor_config.json" {
		t.Errorf("in the folder above onnx: found %+v", p)
	}
	write(filepath.Join(dir, "onnx", "config.json"), `{"pretrained_cfg": {"input_size": [3, 64, 64]}}`)
	if p := find(); p == nil || p.Size != [2]int{64, 64} {
		t.Errorf("timm's config.json: found %+v", p)
	}
	write(filepath.Join(dir, "onnx", "config.json"), `{`)
	if _, err := FindPreprocess(ModelFile{Path: model}); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("broken config.json: got %v", err)
	}
}
