package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/metric"
)

// maxReport is the size in bytes up to which a report is read. That of a model
// with ten thousand layers is a tenth of it.
const maxReport = 64 << 20

// CheckFile is what fix reads of a report that CheckJSON has written.
type CheckFile struct {
	ModelPath   string // as it was given to check
	ModelSHA256 string
	DataSHA256  string // empty where Report is not complete
	Granularity string // block, module or tensor
	// Report says whether it is complete and calibrated, and holds of each layer
	// name, index, number of parameters, status, κ, and ΔL̂ with its interval:
	// what [github.com/modeldoctor/modeldoctor/pol.Choice.Choose] looks at. Everything else is zero.
	Report *diag.Report
}

// checkFields are the fields of a report that ReadCheck looks at. Pointers tell
// zero and absence apart.
type checkFields struct {
	SchemaVersion *int `json:"schema_version"`
	Model         *struct {
		Path   *string `json:"path"`
		SHA256 *string `json:"sha256"`
	} `json:"model"`
	Data *struct {
		SHA256 string `json:"sha256"`
	} `json:"data"`
	Granularity *string        `json:"granularity"`
	Calibrated  *float64       `json:"calibrated_temperature"`
	Layers      *[]layerFields `json:"layers"`
	Complete    *bool          `json:"complete"`
}

type layerFields struct {
	Name       *string  `json:"name"`
	Index      int      `json:"index"`
	Parameters int      `json:"parameters"`
	Kappa      *float64 `json:"kappa"`
	Transfer   *struct {
		DeltaLoss *float64  `json:"delta_loss"`
		SE        *float64  `json:"se"`
		CI95      []float64 `json:"ci95"`
	} `json:"transfer"`
	Status *string `json:"status"`
}

// ReadCheck reads a report of check back, for a later fix. The error says what
// is wrong with a file that is none.
func ReadCheck(r io.Reader) (*CheckFile, error) {
	text, err := readReport(r)
	if err != nil {
		return nil, err
	}
	var f checkFields
	if err := decodeReport(text, &f); err != nil {
		return nil, err
	}
	switch {
	case f.SchemaVersion == nil:
		return nil, missing("schema_version")
	case *f.SchemaVersion != SchemaVersion:
		return nil, fmt.Errorf("the report has schema version %d, expected %d: another version of modeldoctor has written it", *f.SchemaVersion, SchemaVersion)
	case f.Model == nil || f.Model.Path == nil:
		return nil, missing("model.path")
	case f.Model.SHA256 == nil:
		return nil, missing("model.sha256")
	case f.Layers == nil:
		return nil, missing("layers")
	case f.Complete == nil:
		return nil, missing("complete")
	case f.Granularity == nil:
		return nil, missing("granularity")
	case *f.Complete && (f.Data == nil || f.Data.SHA256 == ""):
		return nil, missing("data.sha256")
	case !slices.Contains(graph.Granularities(), graph.Granularity(*f.Granularity)):
		return nil, fmt.Errorf("the report's granularity is %q, expected block, module or tensor", *f.Granularity)
	case f.Calibrated != nil && !(*f.Calibrated > 0):
		return nil, fmt.Errorf("the report's calibrated_temperature is %v, expected a positive number", *f.Calibrated)
	}
	read := &CheckFile{
		ModelPath: *f.Model.Path, ModelSHA256: *f.Model.SHA256, Granularity: *f.Granularity,
		Report: &diag.Report{Complete: *f.Complete, Calibrated: f.Calibrated != nil, CalibrationT: f.Calibrated},
	}
	if f.Data != nil {
		read.DataSHA256 = f.Data.SHA256
	}
	for i, l := range *f.Layers {
		layer, err := l.result(fmt.Sprintf("layers[%d]", i))
		if err != nil {
			return nil, err
		}
		read.Report.Layers = append(read.Report.Layers, layer)
	}
	return read, nil
}

// result is the layer as a diagnosis has it; at is its place in the report.
func (l *layerFields) result(at string) (diag.LayerResult, error) {
	none := diag.LayerResult{}
	switch {
	case l.Name == nil:
		return none, missing(at + ".name")
	case l.Status == nil:
		return none, missing(at + ".status")
	}
	layer := diag.LayerResult{Name: *l.Name, Index: l.Index, Parameters: l.Parameters, Kappa: l.Kappa, Status: diag.Status(*l.Status)}
	switch layer.Status {
	case diag.StatusOK, diag.StatusFlat, diag.StatusDiverged, diag.StatusSkipped:
	default:
		return none, fmt.Errorf("the report's %s.status is %q, expected ok, flat, diverged or skipped", at, *l.Status)
	}
	if t := l.Transfer; t != nil {
		switch {
		case t.DeltaLoss == nil:
			return none, missing(at + ".transfer.delta_loss")
		case t.SE == nil:
			return none, missing(at + ".transfer.se")
		case len(t.CI95) != 2:
			return none, fmt.Errorf("the report's %s.transfer.ci95 has %d numbers, expected 2", at, len(t.CI95))
		}
		layer.Transfer = &diag.Transfer{Gain: metric.Estimate{Mean: *t.DeltaLoss, SE: *t.SE, CI95: [2]float64(t.CI95)}}
	}
	return layer, nil
}

// missing says that a file is no report of check because of a field.
func missing(field string) error {
	return fmt.Errorf("no report of `modeldoctor check --format json`: %s is missing", field)
}

// readReport reads a file of at most maxReport bytes.
func readReport(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, fmt.Errorf("reading the report: %w", err)
	}
	if len(text) > maxReport {
		return nil, fmt.Errorf("no report: it has more than %d MiB", maxReport>>20)
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
