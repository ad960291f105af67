package cifar

import (
	"bytes"
	"testing"

	"github.com/modeldoctor/modeldoctor/dataset"
	"github.com/modeldoctor/modeldoctor/internal/shareddata"
)

// sampleRecords decodes a split of the sample.
func sampleRecords(t *testing.T, split string) *records {
	t.Helper()
	set, err := Sample().Split(split)
	if err != nil {
		t.Fatal(err)
	}
	return set.(*records)
}

func TestSample(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct {
		split string
		n     int
	}{{dataset.Validation, 1000}, {dataset.Holdout, 2000}, {dataset.Train, 2000}} {
		r := sampleRecords(t, c.split)
		if r.Len() != c.n || len(r.Classes()) != 100 {
			t.Fatalf("%s: %d images of %d classes", c.split, r.Len(), len(r.Classes()))
		}
		if err := dataset.CheckLabels(r, 100); err != nil {
			t.Error(err)
		}
		for i := range r.Len() {
			image := string(r.pixels[i*imageBytes:][:imageBytes])
			if other, ok := seen[image]; ok && other != c.split {
				t.Errorf("image %d of %s is in %s as well", i, c.split, other)
			}
			seen[image] = c.split
		}
	}
	if _, err := Sample().Split("test"); err == nil {
		t.Error("the sample has no test split")
	}
	v, h, err := dataset.Divide(Sample())
	if err != nil || v.Name() != dataset.Validation || h.Name() != dataset.Holdout {
		t.Errorf("divided into %v, %v, %v", v, h, err)
	}
}

func TestSampleIsTheSharedData(t *testing.T) {
	src, err := Open(shareddata.Path(t, "data", "cifar-100-binary"))
	if err != nil {
		t.Fatal(err)
	}
	open := func(split string) *records {
		set, err := src.Split(split)
		if err != nil {
			t.Fatal(err)
		}
		return set.(*records)
	}
	test, train := open("test"), open("train")
	for _, c := range []struct {
		split    string
		from, to int
	}{{dataset.Validation, 0, 1000}, {dataset.Holdout, 1000, 3000}} {
		r := sampleRecords(t, c.split)
		if !bytes.Equal(r.labels, test.labels[c.from:c.to]) || !bytes.Equal(r.pixels, test.pixels[c.from*imageBytes:c.to*imageBytes]) {
			t.Errorf("%s is not test[%d:%d]", c.split, c.from, c.to)
		}
	}
	taken := map[string]bool{}
	for i := range 3000 {
		taken[string(test.pixels[i*imageBytes:][:imageBytes])] = true
	}
	r := sampleRecords(t, dataset.Train)
	var count [100]int
	next := 0
	for i := 5000; i < train.Len() && next < r.Len(); i++ {
		label, image := train.labels[i], train.pixels[i*imageBytes:][:imageBytes]
		if taken[string(image)] || count[label] == 20 {
			continue
		}
		count[label]++
		if r.labels[next] != label || !bytes.Equal(r.pixels[next*imageBytes:][:imageBytes], image) {
			t.Fatalf("training image %d is not record %d of train.bin", next, i)
		}
		next++
	}
	if next != 2000 {
		t.Errorf("%d training images, want 2000", next)
	}
	for class, name := range test.Classes() {
		if r.Classes()[class] != name {
			t.Errorf("class %d is %q, want %q", class, r.Classes()[class], name)
		}
	}
}
