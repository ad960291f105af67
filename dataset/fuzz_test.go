package dataset

import (
	"image"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// FuzzConfig reads preprocessing, class names and lists of classes from files that
// nobody vouches for. What is accepted can be used: it turns an image into finite
// numbers, all of them set.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"size": {"height": 8, "width": 8}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_resize": true, "resample": 3}`))
	f.Add([]byte(`{"architecture": "vit", "pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.9, "interpolation": "bicubic"}}`))
	f.Add([]byte(`{"id2label": {"0": "tench", "1": "goldfish"}}`))
	for _, pattern := range []string{filepath.Join("testdata", "*.json"), filepath.Join("testdata", "*", "*.json")} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			if data, err := os.ReadFile(path); err == nil {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if names, err := ParseLabels(data); err == nil {
			_, _ = MatchClasses(names, names.Shown()) // names may be anything; an error is one way to say so
		}
		values, err := parseObject(data)
		if err != nil {
			return
		}
		_, _ = configNames(values)
		p, err := namedPreprocess("config.json", values)
		if err != nil {
			return
		}
		if err := p.check(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		const most = 64
		if p.Size[0] > most || p.Size[1] > most || p.ResizeSize[0] > most || p.ResizeSize[1] > most {
			return
		}
		if p.Size == [2]int{} {
			p.Size = [2]int{8, 8}
		}
		img := image.NewRGBA(image.Rect(0, 0, 5, 7))
		dst := make([]float32, 3*p.Size[0]*p.Size[1])
		for i := range dst {
			dst[i] = float32(math.NaN())
		}
		if err := p.Apply(img, dst); err != nil {
			return
		}
		for i, x := range dst {
			if math.IsNaN(float64(x)) {
				t.Fatalf("value %d is %v, with %+v", i, x, p)
			}
		}
	})
}
