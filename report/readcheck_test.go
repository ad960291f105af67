package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/google/go-cmp/cmp"
)

// checkText is CheckJSON's output, with a change.
func checkText(t *testing.T, c *Check, change func(document map[string]any)) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, c, "json", Style{}); err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(out.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	change(document)
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadCheck: what a treatment looks at comes back as it was.
func TestReadCheck(t *testing.T) {
	d := diagnosis()
	c := checkOf(d)
	read, err := ReadCheck(strings.NewReader(checkText(t, c, func(map[string]any) {})))
	if err != nil {
		t.Fatal(err)
	}
	all := *c
	all.Schema = SchemaVersion
	if diff := cmp.Diff(&all, read); diff != "" {
		t.Error(diff)
	}
	want := &diag.Report{Complete: true, N: c.Data.ValN}
	for _, l := range d.Layers {
		kept := diag.LayerResult{Name: l.Name, Index: l.Index, Parameters: l.Parameters, Kappa: l.Kappa, Status: l.Status}
		if l.Transfer != nil {
			kept.Transfer = &diag.Transfer{Gain: l.Transfer.Gain, Reason: l.Transfer.Reason, CorrectedLow: l.Transfer.CorrectedLow}
		}
		want.Layers = append(want.Layers, kept)
	}
	if diff := cmp.Diff(want, read.Diagnosis()); diff != "" {
		t.Error(diff)
	}
	var layers []diag.Layer
	for _, l := range d.Layers {
		layers = append(layers, diag.Layer{Name: l.Name})
	}
	for _, choice := range []pol.Choice{pol.LargestKappa, pol.LargestTransfer} {
		before, err1 := choice.Choose(layers, diag.Layer{}, d)
		after, err2 := choice.Choose(layers, diag.Layer{}, read.Diagnosis())
		if err1 != nil || err2 != nil || before[0].Name != after[0].Name {
			t.Errorf("choice %d: %v (%v), after reading %v (%v)", choice, before, err1, after, err2)
		}
	}
}

// TestReadCheckIncomplete: a report that the time limit cut short is read as
// such, though nothing says which images it saw.
func TestReadCheckIncomplete(t *testing.T) {
	read, err := ReadCheck(strings.NewReader(checkText(t, unknown(), func(map[string]any) {})))
	if err != nil {
		t.Fatal(err)
	}
	if read.Complete || read.Data.SHA256 != "" || len(read.Layers) != 1 {
		t.Errorf("read %+v", read)
	}
}

// endless is a reader that never ends, of what JSON may begin with.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestReadCheckRefuses(t *testing.T) {
	layer := func(d map[string]any, i int) map[string]any { return d["layers"].([]any)[i].(map[string]any) }
	changed := func(change func(d map[string]any)) string { return checkText(t, sample(), change) }
	var fix bytes.Buffer
	if err := Write(&fix, inspection(t, "inspect"), "json", Style{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {" \n", "the file is empty"},
		"text":              {"vit.onnx   ViT, 2 blocks", "no report in JSON: byte 1:"},
		"cut off":           {changed(func(map[string]any) {})[:100], "no report in JSON: byte 100:"},
		"two documents":     {"{}{}", "no report in JSON: byte 3:"},
		"a list":            {"[]", "the document is a JSON array"},
		"null":              {"null", "schema_version is missing"},
		"another document":  {`{"name": "x"}`, "schema_version is missing"},
		"another command":   {fix.String(), "model.sha256 is missing"},
		"another version":   {changed(func(d map[string]any) { d["schema_version"] = 2 }), "has schema version 2, expected 1"},
		"no model":          {changed(func(d map[string]any) { delete(d, "model") }), "model.path is missing"},
		"no layers":         {changed(func(d map[string]any) { delete(d, "layers") }), "layers is missing"},
		"not complete?":     {changed(func(d map[string]any) { delete(d, "complete") }), "complete is missing"},
		"no granularity":    {changed(func(d map[string]any) { delete(d, "granularity") }), "granularity is missing"},
		"other granularity": {changed(func(d map[string]any) { d["granularity"] = "atom" }), `granularity is "atom", expected block, module or tensor`},
		"no digest":         {changed(func(d map[string]any) { delete(d["data"].(map[string]any), "sha256") }), "data.sha256 is missing"},
		"no name":           {changed(func(d map[string]any) { delete(layer(d, 1), "name") }), "layers[1].name is missing"},
		"no status":         {changed(func(d map[string]any) { delete(layer(d, 0), "status") }), "layers[0].status is missing"},
		"other status":      {changed(func(d map[string]any) { layer(d, 2)["status"] = "fine" }), `layers[2].status is "fine"`},
		"half an interval":  {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["ci95"] = []any{1} }), "layers[5].transfer.ci95 has 1 numbers"},
		"no figure":         {changed(func(d map[string]any) { delete(layer(d, 5)["transfer"].(map[string]any), "delta_loss") }), "layers[5].transfer.delta_loss is missing"},
		"no error":          {changed(func(d map[string]any) { delete(layer(d, 5)["transfer"].(map[string]any), "se") }), "layers[5].transfer.se is missing"},
		"no corrected end":  {changed(func(d map[string]any) { delete(layer(d, 5)["transfer"].(map[string]any), "corrected_low") }), "layers[5].transfer.corrected_low is missing"},
		"text for number":   {changed(func(d map[string]any) { layer(d, 0)["kappa"] = "1" }), "layers.kappa is a JSON string"},
		"too large number":  {strings.Replace(changed(func(map[string]any) {}), "1.612", "1e999", 1), "layers.kappa is a JSON number"},
		"temperature 0":     {changed(func(d map[string]any) { d["calibrated_temperature"] = 0 }), "calibrated_temperature is 0, expected a positive number"},
		"negative error":    {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["se"] = -1 }), "layers[5].transfer.se is -1"},
		"error too small":   {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["se"] = 1e-6 }), "layers[5].transfer.ci95 is from"},
		"other interval":    {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["ci95"] = []any{0.5, 0.1} }), "layers[5].transfer.ci95 is from 0.5 to 0.1, and by se"},
		"other mean":        {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["delta_loss"] = 9 }), "layers[5].transfer.ci95 is from"},
		"corrected inwards": {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["corrected_low"] = 7 }), "layers[5].transfer.corrected_low is 7, above the lower end of ci95"},
		"temperature":       {changed(func(d map[string]any) { d["metrics"].(map[string]any)["temperature"].(map[string]any)["se"] = 0 }), "metrics.temperature.ci95 is from"},
		"answers":           {changed(func(d map[string]any) { d["metrics"].(map[string]any)["right"] = []any{true, false} }), "metrics.error is"},
		"too few gains":     {changed(func(d map[string]any) { layer(d, 5)["transfer"].(map[string]any)["gains"] = []any{1} }), "layers[5].transfer.gains has 1 numbers, expected one for each of 1000"},
		"too few losses":    {changed(func(d map[string]any) { d["metrics"].(map[string]any)["losses"] = []any{1} }), "metrics.losses has 1 numbers"},
		"fewer than none":   {changed(func(d map[string]any) { d["data"].(map[string]any)["val_n"] = -3 }), "data.val_n is -3"},
		"too many images":   {changed(func(d map[string]any) { d["data"].(map[string]any)["val_n"] = 1e12 }), "data.val_n is 1000000000000"},
		"two lists":         {strings.TrimSuffix(changed(func(map[string]any) {}), "}") + `,"Layers":[]}`, "layers is there twice"},
		"unknown rule":      {changed(func(d map[string]any) { d["violations"].([]any)[0].(map[string]any)["rule"] = "MD999" }), `violations[0].rule is "MD999"`},
		"unknown level":     {changed(func(d map[string]any) { d["violations"].([]any)[0].(map[string]any)["level"] = "fatal" }), `violations[0].level is "fatal"`},
		"several models":    {`{"schema_version": 1, "models": [], "exit_code": 0}`, "several models"},
	} {
		read, err := ReadCheck(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: read %v, error %v, want one with %q", name, read, err, c.want)
		}
	}
	var large endless
	if _, err := ReadCheck(&large); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") || large.read > 2*maxReport {
		t.Errorf("of an endless file %d bytes are read, error %v", large.read, err)
	}
	if _, err := ReadCheck(io.MultiReader(strings.NewReader("{"), failingReader{})); err == nil || !strings.Contains(err.Error(), "closed pipe") {
		t.Errorf("a file that cannot be read: error %v", err)
	}
}

// TestReadChecks: of a report of several models those come back that were diagnosed, and
// what is wrong with one is said.
func TestReadChecks(t *testing.T) {
	var out bytes.Buffer
	if err := Write(&out, several(), "json", Style{}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{out.String(): 1, checkText(t, sample(), func(map[string]any) {}): 1, `{"schema_version": 1, "models": []}`: 0} {
		read, err := ReadChecks(strings.NewReader(text))
		if err != nil || len(read) != want || want == 1 && read[0].Model.Path != "models/vit.onnx" {
			t.Errorf("%d checks, error %v, want %d", len(read), err, want)
		}
	}
	broken := strings.Replace(out.String(), `"granularity": "block"`, `"granularity": "atom"`, 1)
	if _, err := ReadChecks(strings.NewReader(broken)); err == nil || !strings.Contains(err.Error(), `models[0]: the report's granularity is "atom"`) {
		t.Errorf("error %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
