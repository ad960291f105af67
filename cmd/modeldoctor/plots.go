package main

import (
	"io"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// plotFlag is for commands whose results have charts.
func plotFlag() cli.Flag {
	return stringFlag(categoryOutput, "plot", "DIR", "", "write the charts of the report in HTML into this folder, as SVG and PNG; it is made if it is not there")
}

// readPlots makes the folder that --plot names, so that one that cannot be made is
// told of before the work.
func readPlots(c *cli.Context) (folder string, err error) {
	if folder = c.String("plot"); folder == "" {
		return "", nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", usage("--plot: %v", err).withHint("name a folder, or one that can be made")
	}
	return folder, checkWritable("--plot", filepath.Join(folder, "chart.svg"))
}

// writePlots writes the charts of a result into a folder, each in both formats.
func writePlots(folder string, result report.Result) error {
	for _, c := range report.Charts(result) {
		for ending, draw := range map[string]func(io.Writer) error{".svg": c.SVG, ".png": c.PNG} {
			if err := writeFile(filepath.Join(folder, c.Name+ending), draw); err != nil {
				return err
			}
		}
	}
	return nil
}
