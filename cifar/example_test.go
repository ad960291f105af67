package cifar_test

import (
	"fmt"
	"log"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/dataset"
)

// The splits of the built-in sample of CIFAR-100, and one of its images.
func ExampleSample() {
	sample := cifar.Sample()
	for _, name := range sample.Splits() {
		set, err := sample.Split(name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, set.Len(), "images,", len(set.Classes()), "classes")
	}
	set, err := sample.Split(dataset.Validation)
	if err != nil {
		log.Fatal(err)
	}
	img, err := set.Image(0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(set.Classes()[set.Label(0)], img.Bounds().Size())
	// Output:
	// train 2000 images, 100 classes
	// validation 1000 images, 100 classes
	// holdout 2000 images, 100 classes
	// fox (32,32)
}
