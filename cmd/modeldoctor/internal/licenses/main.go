// Command licenses writes the licences of the modules that modeldoctor is built
// from, as `modeldoctor version --licenses` prints them: each text once, below the
// modules that have it. It needs these modules, as a build does.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// program is what is built; tags are those of all its builds.
const (
	program = "github.com/modeldoctor/modeldoctor/cmd/modeldoctor"
	tags    = "gpu"
)

func main() {
	log.SetFlags(0)
	text, err := collect()
	if err == nil {
		err = os.WriteFile("licenses.txt", text, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// module is a module as `go list` describes it.
type module struct {
	Path, Version, Dir string
	Main               bool
	Replace            *module
}

// collect is the text of all licences.
func collect() ([]byte, error) {
	modules, err := built()
	if err != nil {
		return nil, err
	}
	var texts []string
	having := map[string][]string{}
	for _, m := range modules {
		found, err := licensesIn(m.Dir)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		name := m.Path + " " + m.Version
		if m.Main {
			name = m.Path
		}
		if having[found] == nil {
			texts = append(texts, found)
		}
		having[found] = append(having[found], name)
	}
	var out bytes.Buffer
	for _, text := range texts {
		line := strings.Repeat("=", 80)
		fmt.Fprintf(&out, "%s\n%s\n%s\n\n%s\n", line, strings.Join(having[text], "\n"), line, text)
	}
	return out.Bytes(), nil
}

// built lists the modules that the program's packages are of, on any system, by
// path: this one first.
func built() ([]module, error) {
	byPath := map[string]module{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		command := exec.Command("go", "list", "-deps", "-tags", tags, "-json=Module", program)
		command.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := command.Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, exit.Stderr)
			}
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(out))
		for {
			var p struct{ Module *module }
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if m := p.Module; m != nil {
				if m.Replace != nil {
					m.Dir = m.Replace.Dir
				}
				byPath[m.Path] = *m
			}
		}
	}
	var modules []module
	for _, m := range byPath {
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int {
		if a.Main != b.Main {
			if a.Main {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return modules, nil
}

// licenseFile matches what files with a licence are called.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([.-].*)?$`)

// licensesIn is the texts of the licences in a module's folder.
func licensesIn(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, e := range entries {
		if e.IsDir() || !licenseFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return "", err
		}
		texts = append(texts, strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))+"\n")
	}
	if texts == nil {
		return "", errors.New("no file with a licence")
	}
	return strings.Join(texts, "\n"), nil
}
