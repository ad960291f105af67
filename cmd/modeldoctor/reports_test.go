package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkReports looks at what a command has written whose flags were right: JSON
// satisfies the command's schema, or that of a failure, and SARIF its standard's, JUnit
// counts what it holds, and all of them tell the exit status.
func checkReports(ts *testscript.TestScript, status string, args []string) {
	if len(args) == 0 || !slices.Contains([]string{"0", "1", "3", "4"}, status) {
		return
	}
	for format, text := range reports(ts, args) {
		switch {
		case text == "": // the command ended before there was a report, which would go to stdout
		case format == "json":
			checkJSON(ts, args, status, text)
		case format == "sarif":
			validate(ts, filepath.Join("report", "testdata", "sarif", "sarif-schema-2.1.0.json"), text)
			if !strings.Contains(text, fmt.Sprintf(`"exitCode": %s,`, status)) {
				ts.Fatalf("the exit status %s is missing in\n%s", status, text)
			}
		case format == "junit":
			checkJUnit(ts, args, status, text)
		}
	}
}

// reports are the texts that a command line asks for, by their formats.
func reports(ts *testscript.TestScript, args []string) map[string]string {
	items := strings.Split(ts.Getenv("MODELDOCTOR_FORMAT"), ",")
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--format="); ok {
			items = append(items, strings.Split(value, ",")...)
		}
		if arg == "--format" && i+1 < len(args) {
			items = append(items, strings.Split(args[i+1], ",")...)
		}
	}
	texts := map[string]string{}
	for _, item := range items {
		format, path, toFile := strings.Cut(item, "=")
		if !toFile {
			texts[format] = ts.ReadFile("stdout")
		} else if info, err := os.Stat(ts.MkAbs(path)); err == nil && info.Mode().IsRegular() {
			texts[format] = ts.ReadFile(path)
		}
	}
	return texts
}

// checkJSON compares a document with the schema of its command.
func checkJSON(ts *testscript.TestScript, args []string, status, text string) {
	schema, planned := args[0]+"-v1.json", slices.Contains(args, "--dry-run")
	switch {
	case strings.Contains(text, `"verdict": "ERROR"`):
		schema = "failure-v1.json"
	case planned && ts.Getenv("MODELDOCTOR_SEARCH_LAYERS") != "":
		schema = "search-plan-v1.json"
	case planned:
		schema = "fix-plan-v1.json"
	case args[0] == "check" && strings.Contains(text, `"models": [`):
		schema = "checks-v1.json"
	case args[0] == "data":
		schema = "data-sets-v1.json"
	}
	validate(ts, filepath.Join("docs", "schema", schema), text)
	if slices.Contains([]string{"check", "fix", "compare", "verify"}, args[0]) && !planned && !regexp.MustCompile(`"exit_code": `+status+`\b`).MatchString(text) {
		ts.Fatalf("the exit status %s is missing in\n%s", status, text)
	}
}

// checkJUnit compares counts with children, and whether there is a failure with the exit
// status.
func checkJUnit(ts *testscript.TestScript, args []string, status, text string) {
	type problem struct{}
	var document struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Failure *problem `xml:"failure"`
			Error   *problem `xml:"error"`
			Skipped *problem `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	ts.Check(xml.Unmarshal([]byte(text), &document))
	failures, errors, skipped := 0, 0, 0
	for _, c := range document.Cases {
		if c.Failure != nil {
			failures++
		}
		if c.Error != nil {
			errors++
		}
		if c.Skipped != nil {
			skipped++
		}
	}
	if len(document.Cases) == 0 || document.Tests != len(document.Cases) || document.Failures != failures || document.Errors != errors || document.Skipped != skipped {
		ts.Fatalf("the counts are not those of the children in\n%s", text)
	}
	if bad := failures+errors > 0; bad != (status != "0") && !slices.Contains(args, "never") {
		ts.Fatalf("exit status %s, but %d failures and %d errors in\n%s", status, failures, errors, text)
	}
}

// validate compares JSON with a schema at a path of the repository.
func validate(ts *testscript.TestScript, path, text string) {
	root, compiler := filepath.Join(ts.Getenv("FIXTURES"), ".."), jsonschema.NewCompiler()
	check, err := os.Open(filepath.Join(root, "docs", "schema", "check-v1.json")) // which checks-v1 refers to
	ts.Check(err)
	defer check.Close()
	referred, err := jsonschema.UnmarshalJSON(check)
	ts.Check(err)
	ts.Check(compiler.AddResource("urn:modeldoctor:schema:check-v1", referred))
	schema, err := compiler.Compile(filepath.Join(root, path))
	ts.Check(err)
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	ts.Check(err)
	ts.Check(schema.Validate(document))
}
