package main

import (
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"

	"github.com/urfave/cli/v2"
)

// released is the version of a build that Go cannot know it of, such as one from
// an archive: go build -ldflags '-X main.released=v1.2.3' ./cmd/modeldoctor.
var released string

//go:generate go run ./internal/licenses
//go:embed licenses.txt
var licenses string

func versionCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:         "version",
		Usage:        "print the version, and whether this program can use a GPU",
		Flags:        []cli.Flag{&cli.BoolFlag{Name: "licenses", Usage: "print the licences of this program and of all that it is made from", Category: categoryOutput, DisableDefaultText: true}},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if c.Bool("licenses") {
				_, err := io.WriteString(c.App.Writer, licenses)
				return err
			}
			cli.ShowVersion(c)
			able := "no; rebuild with -tags gpu"
			if driver.Supported {
				able = "yes; see `modeldoctor devices`"
			}
			_, err := fmt.Fprintf(c.App.Writer, "GPU support: %s\n", able)
			return err
		},
	})
}

// version is the tag or the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	switch {
	case released != "":
		return released
	case ok:
		return versionOf(info)
	}
	return unknownVersion
}

// unknownVersion is Go's word for a build of files that it knows no version of:
// go run, go test, a build outside of version control or with -buildvcs=false.
const unknownVersion = "(devel)"

// pseudoVersion matches the versions that Go makes up for a commit without a
// tag (https://go.dev/ref/mod#pseudo-versions). The groups are the commit and
// what a build from changed files adds.
var pseudoVersion = regexp.MustCompile(`^v[0-9]+\.(?:0\.0-|[0-9]+\.[0-9]+-(?:[^+]*\.)?0\.)[0-9]{14}-([0-9a-f]{12})(\+dirty)?$`)

// versionOf is the main module's version if that is a tag, else the first twelve
// digits of the commit; either with "+dirty" if files differed from it.
func versionOf(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" {
		return unknownVersion
	}
	return pseudoVersion.ReplaceAllString(version, "$1$2")
}
