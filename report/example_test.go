package report_test

import (
	"fmt"
	"log"
	"os"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report"
)

// The rules of a diagnosis, as text.
func ExampleWrite() {
	if err := report.Write(os.Stdout, report.Topics{Rules: diag.Rules()[:3]}, "text", report.Style{}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// rule   levels
	// MD001  error, warning  a layer holds loss that can be recovered
	// MD002  error, warning  one temperature recovers loss
	// MD003  warning         the model does no better than guessing
}

// Formats differ between results.
func ExampleFormats() {
	fmt.Println(report.Formats(&report.Compare{}))
	fmt.Println(report.Formats(&report.Inspect{}))
	// Output:
	// [text json github html junit markdown sarif]
	// [text json]
}
