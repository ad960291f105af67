// Makesample writes the sample of CIFAR-100 that package cifar embeds.
//
//	go run ./cifar/internal/makesample -data DIR -out cifar/sample
//
// DIR is CIFAR-100 in its binary form, with the records in the order that the
// sample was drawn from. The three parts are disjoint, pixel by pixel:
//
//	validation   records 0 to 999 of test.bin
//	holdout      records 1000 to 2999 of test.bin
//	train        of train.bin the first 20 of each class from record 5000 on,
//	             in file order, images of the other two parts passed over
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/cifar/internal/residual"
)

const (
	classes    = 100
	imageBytes = 3 * 32 * 32
	record     = 2 + imageBytes // coarse label, fine label, pixels

	validation = 1000 // records
	holdout    = 2000
	skipped    = 5000 // records of train.bin, which the fixture model was fine-tuned on
	perClass   = 20
)

func main() {
	data := flag.String("data", "", "folder with train.bin, test.bin and fine_label_names.txt")
	out := flag.String("out", "sample", "folder to write to")
	flag.Parse()
	if err := run(*data, *out); err != nil {
		fmt.Fprintln(os.Stderr, "makesample:", err)
		os.Exit(1)
	}
}

func run(data, out string) error {
	test, err := os.ReadFile(filepath.Join(data, "test.bin"))
	if err != nil {
		return err
	}
	train, err := os.ReadFile(filepath.Join(data, "train.bin"))
	if err != nil {
		return err
	}
	names, err := os.ReadFile(filepath.Join(data, "fine_label_names.txt"))
	if err != nil {
		return err
	}
	var v, h, t part
	seen := map[string]bool{}
	for i := range validation + holdout {
		r := test[i*record:][:record]
		seen[string(r[2:])] = true
		if i < validation {
			v.add(r)
		} else {
			h.add(r)
		}
	}
	var count [classes]int
	for i := skipped; i < len(train)/record; i++ {
		r := train[i*record:][:record]
		if label := r[1]; count[label] < perClass && !seen[string(r[2:])] {
			count[label]++
			t.add(r)
		}
	}
	if len(t.labels) != classes*perClass {
		return fmt.Errorf("train.bin has only %d of the %d training images", len(t.labels), classes*perClass)
	}
	for name, content := range map[string][]byte{
		"validation.residual":  residual.Encode(v.labels, v.pixels),
		"holdout.residual":     residual.Encode(h.labels, h.pixels),
		"train.residual":       residual.Encode(t.labels, t.pixels),
		"fine_label_names.txt": names,
	} {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// part is one part of the sample.
type part struct{ labels, pixels []byte }

func (p *part) add(record []byte) {
	p.labels = append(p.labels, record[1])
	p.pixels = append(p.pixels, record[2:]...)
}
