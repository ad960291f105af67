package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph/gpu/driver"

	"github.com/urfave/cli/v2"
)

// A mention is a command line that a document shows.
type mention struct {
	at   string // file and line
	line string
	// whole is a line of a block, which can be run as it stands. In a sentence
	// arguments may be left out.
	whole bool
}

// documentedCommand is a command line of this program, alone, in a container, under a
// clock, or as a step of a pipeline's description.
var documentedCommand = regexp.MustCompile(`^(?:- )?(?:script: )?(?:docker run .* |/usr/bin/time -v )?(sh ')?(?:\./)?((?:modeldoctor|go run \./cmd/modeldoctor) .*)$`)

// placeholder marks what is not meant to be run. Other words in capitals, such as FILE,
// can stand where they are.
var placeholder = regexp.MustCompile(`…|<[A-Za-z ]+>|\bNAME\b`)

// mentions are the commands of this program in a Markdown text.
func mentions(name, text string) (all []mention) {
	add := func(number int, line string, whole bool) {
		m := documentedCommand.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || placeholder.MatchString(line) {
			return
		}
		command := m[2]
		if m[1] != "" {
			command = strings.TrimSuffix(command, "'")
		}
		all = append(all, mention{fmt.Sprintf("%s:%d", name, number), command, whole})
	}
	lines := strings.Split(text, "\n")
	fenced := false
	for i := 0; i < len(lines); i++ {
		switch line := lines[i]; {
		case line == "":
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced || strings.HasPrefix(line, "    "):
			first := i
			for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
				i++
				line = strings.TrimSuffix(line, `\`) + strings.TrimSpace(lines[i])
			}
			add(first+1, line, true)
		default: // a paragraph, whose code may go on in the next line
			first := i
			for i+1 < len(lines) && lines[i+1] != "" && !strings.HasPrefix(lines[i+1], "```") {
				i++
				line += " " + strings.TrimSpace(lines[i])
			}
			for j, part := range strings.Split(line, "`") {
				if j%2 == 1 {
					add(first+1, strings.ReplaceAll(part, `\|`, "|"), false)
				}
			}
		}
	}
	return all
}

// documents are the texts that users read, by their names in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, path := range append(paths, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.ToSlash(name)] = string(text)
	}
	return texts
}

// arguments are those of each call of modeldoctor in a command line, as a shell sees
// them. There is no other program for it to run.
func arguments(shell, line string) (calls [][]string, err error) {
	printed, err := os.CreateTemp("", "arguments")
	if err != nil {
		return nil, err
	}
	defer os.Remove(printed.Name())
	defer printed.Close()
	script := `modeldoctor() { printf '%s\0' "$#" "$@" >&3; echo printed; }
go() { shift 2; modeldoctor "$@"; }
` + line
	cmd := exec.Command(shell, "-e", "-c", script)
	cmd.Env = []string{"PATH="}
	cmd.ExtraFiles = []*os.File{printed} // number 3
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output)
	}
	text, err := os.ReadFile(printed.Name())
	if err != nil {
		return nil, err
	}
	for words := strings.Split(string(text), "\x00"); len(words) > 1; {
		n, err := strconv.Atoi(words[0])
		if err != nil || n >= len(words) {
			return nil, fmt.Errorf("the shell has printed %q", text)
		}
		calls = append(calls, words[1:1+n])
		words = words[1+n:]
	}
	return calls, nil
}

// reading is a command's action that ends once flags and arguments are read.
func reading[T any](read func(*cli.Context) (T, error)) cli.ActionFunc {
	return func(c *cli.Context) error {
		_, err := read(c)
		return err
	}
}

// readArguments reads the arguments of a call as the program does, and does nothing
// else but for commands that only explain.
func readArguments(args []string) error {
	app := newApp(io.Discard, io.Discard)
	read := map[string]cli.ActionFunc{
		"check":   reading(readCheckOptions),
		"fix":     reading(readFixOptions),
		"compare": reading(readCompareOptions),
		"merge":   reading(readMergeOptions),
		"verify":  reading(readVerifyOptions),
		"inspect": reading(readInspectOptions),
		"probe":   reading(readProbeOptions),
		"data":    reading(readDataCommand),
		"devices": reading(readDevicesOptions),
	}
	for _, command := range app.Commands {
		switch {
		case read[command.Name] != nil:
			command.Action = read[command.Name]
		case command.Name != "explain" && command.Name != "version" && len(command.Subcommands) == 0:
			command.Action = func(*cli.Context) error {
				return fmt.Errorf("readArguments does not know what reads the flags of %s", command.Name)
			}
		}
	}
	return app.RunContext(context.Background(), flagsFirst(app, append([]string{"modeldoctor"}, args...)))
}

// completed are the ways in which a sentence may have meant a call.
func completed(args []string) (ways [][]string) {
	for _, more := range []string{"", "model.onnx", "model.onnx --trial", "a.onnx b.onnx", "--input x.f32 model.onnx"} {
		ways = append(ways, append(slices.Clone(args), strings.Fields(more)...))
	}
	return ways
}

// TestDocumentedCommands: every command in the documents has flags and values that
// there are, and as many arguments as it needs.
func TestDocumentedCommands(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	texts := documents(t)
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	// What commands look at before they begin.
	earlier, err := os.ReadFile(filepath.Join(root, "report", "testdata", "check.json"))
	if err := errors.Join(err, os.Mkdir("models", 0o755), os.WriteFile("models/model.onnx", nil, 0o644), os.WriteFile("baseline.json", earlier, 0o644)); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for name, text := range texts {
		for _, m := range mentions(name, text) {
			count[name]++
			calls, err := arguments(shell, m.line)
			if err == nil && len(calls) == 0 {
				err = fmt.Errorf("nothing is called")
			}
			if err != nil {
				t.Errorf("%s: %s: %v", m.at, m.line, err)
				continue
			}
			for _, args := range calls {
				if err := readMention(args, m.whole); err != nil && (driver.Supported || !slices.Contains(args, "gpu")) {
					t.Errorf("%s: %s: %v (%s)", m.at, m.line, err, hintOf(err))
				}
				for _, arg := range args {
					if _, err := os.Stat(filepath.Join(root, arg)); strings.HasPrefix(arg, "fixtures/") && err != nil {
						t.Errorf("%s: %s: %v", m.at, m.line, err)
					}
				}
			}
		}
	}
	for _, name := range []string{"README.md", "docs/ci.md", "docs/faq.md", "docs/gpu.md", "docs/troubleshooting.md"} {
		if count[name] == 0 {
			t.Errorf("%s: no command was found", name)
		}
	}
}

// readMention is nil if a call is one that the program understands, or can be
// completed to one where it need not be whole.
func readMention(args []string, whole bool) error {
	err := readArguments(args)
	if err == nil || whole {
		return err
	}
	for _, way := range completed(args) {
		if readArguments(way) == nil {
			return nil
		}
	}
	return err
}

// TestMentions: commands are found where they stand, and wrong ones are noticed.
func TestMentions(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell")
	}
	text := "Use `modeldoctor\nexplain MD001`, or `./modeldoctor check --wide`:\n\n" +
		"    modeldoctor check --val 'val[:10]' \\\n        model.onnx\n    modeldoctor check … model.onnx\n    modeldoctor: loss (0 %)\n\n" +
		"```\n- modeldoctor check \"$(modeldoctor data ls)\"\n    sh 'modeldoctor check a.onnx'\ndocker run -v \"$PWD:/work\" modeldoctor check b.onnx\n```\n"
	var got bytes.Buffer
	for _, m := range mentions("x.md", text) {
		calls, err := arguments(shell, m.line)
		fmt.Fprintf(&got, "%s %t %q %v\n", m.at, m.whole, calls, err)
	}
	want := `x.md:1 false [["explain" "MD001"]] <nil>
x.md:1 false [["check" "--wide"]] <nil>
x.md:4 true [["check" "--val" "val[:10]" "model.onnx"]] <nil>
x.md:10 true [["data" "ls"] ["check" "printed"]] <nil>
x.md:11 true [["check" "a.onnx"]] <nil>
x.md:12 true [["check" "b.onnx"]] <nil>
`
	if got.String() != want {
		t.Errorf("found\n%swant\n%s", &got, want)
	}
	t.Chdir(t.TempDir())
	for line, right := range map[string]bool{
		"check model.onnx": true, "fix model.onnx -o fixed.onnx": true, "explain MD001": true, "verify a b": true,
		"check": false, "check --fial-on never model.onnx": false, "check --fail-on always model.onnx": false,
		"fix model.onnx": false, "explain MD999": false, "verify a": false, "chek model.onnx": false, "check --val test[0 model.onnx": false,
	} {
		if err := readMention(strings.Fields(line), true); (err == nil) != right {
			t.Errorf("%s: %v", line, err)
		}
	}
	for line, right := range map[string]bool{"check --wide": true, "fix --recipe sam": true, "verify": true, "probe": true, "fix --recipe smile": false, "check --wider": false} {
		if err := readMention(strings.Fields(line), false); (err == nil) != right {
			t.Errorf("mention of %s: %v", line, err)
		}
	}
	if _, err := arguments(shell, "modeldoctor check model.onnx | nonsense"); err == nil {
		t.Error("another program is not noticed")
	}
}
