package dataset_test

import (
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// A part of the test split of a folder, which has a folder of images for each
// class: test/cat, test/dog.
func ExampleOpen() {
	folder, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	for _, name := range []string{"test/cat/1.png", "test/cat/2.png", "test/dog/1.png"} {
		if err := writeGrey(filepath.Join(folder, name)); err != nil {
			log.Fatal(err)
		}
	}

	source, err := dataset.Open(folder)
	if err != nil {
		log.Fatal(err)
	}
	part, err := dataset.ParseSlice("test[1:]")
	if err != nil {
		log.Fatal(err)
	}
	set, err := part.Apply(source)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(source.Splits(), set.Name())
	for i := range set.Len() {
		img, err := set.Image(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(set.Classes()[set.Label(i)], img.Bounds().Size())
	}
	// Output:
	// [test] test[1:]
	// cat (8,6)
	// dog (8,6)
}

// writeGrey writes a small picture.
func writeGrey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 6)))
}
