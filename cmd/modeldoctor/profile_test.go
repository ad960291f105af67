package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/exec"
)

// TestWriteProfile: shares are of the whole time and add up, however many kinds of
// operations there are.
func TestWriteProfile(t *testing.T) {
	work := []exec.Work{
		{Op: "Linear", Calls: 3, Time: 2 * time.Second, FLOPs: 100e9},
		{Op: "Linear", Gradient: true, Calls: 1, Time: time.Second, FLOPs: 50e9},
	}
	for i := range 30 {
		work = append(work, exec.Work{Op: fmt.Sprint("Small", i), Calls: 1, Time: 50 * time.Millisecond})
	}
	var b strings.Builder
	writeProfile(&b, work, 10*time.Second)
	for _, want := range []string{
		`(?m)^ +seconds +share +calls +GFLOP +GFLOP/s +operation$`,
		`(?m)^ +2\.000 +20\.0 % +3 +100\.0 +50\.0 +Linear$`,
		`(?m)^ +1\.000 +10\.0 % +1 +50\.0 +50\.0 +Linear, backward$`,
		`(?m)^ +0\.800 +8\.0 % +16 +16 other operations$`,
		`(?m)^ +4\.500 +45\.0 % +34 +150\.0 +33\.3 +all operations$`,
		`(?m)^ +5\.500 +55\.0 % +all else: `,
	} {
		if !regexp.MustCompile(want).MatchString(b.String()) {
			t.Errorf("no line %q in\n%s", want, b.String())
		}
	}
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)([\d.]+) % .* (Linear|Linear, backward|Small\d+|\d+ other operations|all else: .*)$`).FindAllStringSubmatch(b.String(), -1) {
		share, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += share
	}
	if sum < 99 || sum > 101 {
		t.Errorf("shares add up to %v %%:\n%s", sum, b.String())
	}
}
