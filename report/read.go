package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
)

// maxReport is the size in bytes up to which a report is read. That of a model
// with ten thousand layers is a tenth of it.
const maxReport = 64 << 20

// ReadCheck reads a report of check back, for a later fix. The error says what
// is wrong with a file that is none.
func ReadCheck(r io.Reader) (*Check, error) {
	text, err := readWhole(r, "report", maxReport)
	if err != nil {
		return nil, err
	}
	return parseCheck(text)
}

// ReadChecks reads what check has written of one model or of several. Of several it
// returns those that could be diagnosed.
func ReadChecks(r io.Reader) ([]*Check, error) {
	text, err := readWhole(r, "report", maxReport)
	if err != nil {
		return nil, err
	}
	var several struct {
		Schema int `json:"schema_version"`
		Models []struct {
			Check json.RawMessage `json:"check"`
		} `json:"models"`
	}
	if err := decodeReport(text, &several); err != nil {
		return nil, err
	}
	if several.Models == nil {
		one, err := parseCheck(text)
		return []*Check{one}, err
	}
	var checks []*Check
	for i, m := range several.Models {
		if len(m.Check) == 0 {
			continue
		}
		c, err := parseCheck(m.Check)
		if err != nil {
			return nil, fmt.Errorf("models[%d]: %w", i, err)
		}
		checks = append(checks, c)
	}
	return checks, nil
}

// parseCheck reads the text of a report and says what is wrong with it.
func parseCheck(text []byte) (*Check, error) {
	var c Check
	if err := decodeReport(text, &c); err != nil {
		return nil, err
	}
	// Zero and absence are told apart by the fields that are there.
	var there any
	if err := json.Unmarshal(text, &there); err != nil {
		return nil, err
	}
	required := []string{"model.path", "model.sha256", "layers", "complete", "granularity"}
	switch absent := firstAbsent(there, required...); {
	case field(there, "schema_version") == nil:
		return nil, missing("schema_version")
	case c.Schema != SchemaVersion:
		return nil, fmt.Errorf("the report has schema version %d, expected %d: another version of modeldoctor has written it", c.Schema, SchemaVersion)
	case c.Verdict == Errored:
		return nil, fmt.Errorf("the report is of a command that came to none: %v", field(there, "error"))
	case field(there, "models") != nil:
		return nil, errors.New("the report is of several models: check each of them alone")
	case absent != "":
		return nil, missing(absent)
	case c.Complete && c.Data.SHA256 == "":
		return nil, missing("data.sha256")
	case c.Data.ValN < 0 || c.Data.ValN > maxReport:
		return nil, fmt.Errorf("the report's data.val_n is %d, expected a number of images", c.Data.ValN)
	case !slices.Contains([]string{"block", "module", "tensor"}, c.Granularity):
		return nil, fmt.Errorf("the report's granularity is %q, expected block, module or tensor", c.Granularity)
	case c.Calibrated != nil && !(*c.Calibrated > 0):
		return nil, fmt.Errorf("the report's calibrated_temperature is %v, expected a positive number", *c.Calibrated)
	}
	layers, _ := field(there, "layers").([]any)
	if len(layers) != len(c.Layers) {
		return nil, errors.New("no report of `modeldoctor check --format json`: layers is there twice") // in another case, say
	}
	for i, layer := range layers {
		if err := c.Layers[i].check(layer, fmt.Sprintf("layers[%d]", i), c.Data.ValN); err != nil {
			return nil, err
		}
	}
	for i, v := range c.Violations {
		if _, known := diag.ExplainRule(v.Rule); !known {
			return nil, fmt.Errorf("the report's violations[%d].rule is %q, which is no rule of this version", i, v.Rule)
		}
		if severity(v.Level) < 0 {
			return nil, fmt.Errorf("the report's violations[%d].level is %q, expected error, warning or info", i, v.Level)
		}
	}
	if err := c.Metrics.consistent(); err != nil {
		return nil, err
	}
	if n := len(c.Metrics.Losses); n != 0 && n != c.Data.ValN {
		return nil, fmt.Errorf("the report's metrics.losses has %d numbers, expected one for each of %d images", n, c.Data.ValN)
	}
	if n := len(c.Metrics.Right); n != 0 && n != c.Data.ValN {
		return nil, fmt.Errorf("the report's metrics.right has %d answers, expected one for each of %d images", n, c.Data.ValN)
	}
	if e := c.Metrics.Error; e != nil && !(*e >= 0 && *e <= 1) {
		return nil, fmt.Errorf("the report's metrics.error is %v, expected a share from 0 to 1", *e)
	}
	if se := c.Metrics.LossSE; se != nil && !(*se >= 0) {
		return nil, fmt.Errorf("the report's metrics.loss_se is %v, expected none below 0", *se)
	}
	return &c, nil
}

// check returns what is wrong with a layer that was read from there, at that
// place in the report of n images.
func (l *Layer) check(there any, at string, n int) error {
	required := []string{"name", "status"}
	if l.Transfer != nil {
		required = append(required, "transfer.delta_loss")
		if l.Transfer.Reason == "" {
			required = append(required, "transfer.se", "transfer.ci95", "transfer.corrected_low")
		}
	}
	if absent := firstAbsent(there, required...); absent != "" {
		return missing(at + "." + absent)
	}
	switch l.Status {
	case diag.StatusOK, diag.StatusFlat, diag.StatusDiverged, diag.StatusSkipped:
	default:
		return fmt.Errorf("the report's %s.status is %q, expected ok, flat, diverged or skipped", at, l.Status)
	}
	if l.Transfer == nil {
		return nil
	}
	if each := len(l.Transfer.Gains); each != 0 && each != n {
		return fmt.Errorf("the report's %s.transfer.gains has %d numbers, expected one for each of %d images", at, each, n)
	}
	if l.Transfer.Reason == "" {
		if !(*l.Transfer.SE >= 0) {
			return fmt.Errorf("the report's %s.transfer.se is %v, expected none below 0", at, *l.Transfer.SE)
		}
		if interval, _ := field(there, "transfer.ci95").([]any); len(interval) != 2 {
			return fmt.Errorf("the report's %s.transfer.ci95 has %d numbers, expected 2", at, len(interval))
		}
		at += ".transfer"
		if err := agrees(at, l.Transfer.Mean, *l.Transfer.SE, *l.Transfer.CI95); err != nil {
			return err
		}
		if low, end := *l.Transfer.CorrectedLow, l.Transfer.CI95[0]; low > end+slack(l.Transfer.Mean, *l.Transfer.SE) {
			return fmt.Errorf("the report's %s.corrected_low is %v, above the lower end of ci95, %v", at, low, end)
		}
	}
	return nil
}

// field is what a JSON document has at a path of names joined by points; nil
// where there is nothing.
func field(document any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		object, _ := document.(map[string]any)
		document = object[name]
	}
	return document
}

// firstAbsent is the first of some paths at which a JSON document has nothing; ""
// where there is none.
func firstAbsent(document any, paths ...string) string {
	for _, path := range paths {
		if field(document, path) == nil {
			return path
		}
	}
	return ""
}

// missing says that a file is no report of check because of a field.
func missing(field string) error {
	return fmt.Errorf("no report of `modeldoctor check --format json`: %s is missing", field)
}

// readWhole reads a file of at most so many bytes, which is to be what it is called.
func readWhole(r io.Reader, what string, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("no %s: it has more than %d MiB", what, most>>20)
	}
	return text, nil
}

// decodeReport reads one JSON object, and says what is wrong where it is none.
func decodeReport(text []byte, into any) error {
	err := json.Unmarshal(text, into)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case strings.TrimSpace(string(text[:min(len(text), 1024)])) == "":
		return errors.New("no report: the file is empty")
	case errors.As(err, &syntax):
		return fmt.Errorf("no report in JSON: byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("no report of `modeldoctor check --format json`: byte %d: %s is a JSON %s", kind.Offset, orDocument(kind.Field), kind.Value)
	}
	return err
}

// orDocument names the field, or the whole where there is none.
func orDocument(field string) string {
	if field == "" {
		return "the document"
	}
	return field
}

// ReadFix reads a report of fix.
func ReadFix(r io.Reader) (*Fix, error) {
	var f Fix
	if err := json.NewDecoder(io.LimitReader(r, maxReport)).Decode(&f); err != nil {
		return nil, fmt.Errorf("no report of a treatment: %w", err)
	}
	if f.Schema != SchemaVersion {
		return nil, errors.New("no report of a treatment")
	}
	return &f, nil
}
