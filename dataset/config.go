package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// maxConfigBytes bounds a JSON or names file. ImageNet-21k's id2label has 2 MB.
const maxConfigBytes = 1 << 25

// A ModelFile is a model as far as its configuration is looked for: where it
// lies, and the metadata in it.
type ModelFile struct {
	Path     string
	Metadata map[string]string
	// Warn is told of files that are passed over, and why; it may be nil.
	Warn func(format string, args ...any)
}

func (m ModelFile) warn(format string, args ...any) {
	if m.Warn != nil {
		m.Warn(format, args...)
	}
}

// config reads the config.json of a folder and says where it lies. There are no values
// where it is not there, or is no configuration of a model and passed over.
func (m ModelFile) config(dir string) (path string, values map[string]any, err error) {
	path = filepath.Join(dir, "config.json")
	if !isFile(path) {
		return path, nil, nil
	}
	values, err = readObject(path)
	if errors.Is(err, errNoObject) {
		m.warn("%v; it is passed over", err)
		return path, nil, nil
	}
	return path, values, err
}

// FindPreprocess looks for preprocessing beside a model: transformers'
// preprocessor_config.json, else timm's config.json, else what ultralytics left in
// the model's metadata. In a folder called "onnx", where exports for the Hugging
// Face hub lie, the folder above is searched too. A config.json that is no
// configuration of a model is passed over with a warning. It returns nil and no
// error if there is none.
func FindPreprocess(model ModelFile) (*Preprocess, error) {
	for _, dir := range configDirs(model.Path) {
		path := filepath.Join(dir, "preprocessor_config.json")
		if isFile(path) {
			return readPreprocess(path)
		}
		path, values, err := model.config(dir)
		if err != nil {
			return nil, err
		}
		// A config.json of transformers says nothing of preprocessing.
		if isTimm(values) {
			return namedPreprocess(path, values)
		}
	}
	p, err := metadataPreprocess(model.Metadata)
	if err != nil {
		return nil, &Error{Path: model.Path, Msg: "the model's metadata", Hint: preprocessHint, Err: err}
	}
	return p, nil
}

// FindSize looks for the height and width of a model's images where its file
// leaves them open: in the preprocessing that is named, else in that beside the
// model, else in its metadata. It returns zeros where none of them says.
func FindSize(model ModelFile, nameOrFile string) ([2]int, error) {
	find := []func() (*Preprocess, error){func() (*Preprocess, error) { return FindPreprocess(model) }}
	if nameOrFile != "" {
		find = slices.Insert(find, 0, func() (*Preprocess, error) { return LoadPreprocess(nameOrFile) })
	}
	for _, find := range find {
		p, err := find()
		if err != nil {
			return [2]int{}, err
		}
		if p != nil && p.Size != [2]int{} {
			return p.Size, nil
		}
	}
	size, _ := metadataSize(model.Metadata)
	return size, nil
}

// configDirs lists the folders where a model's configuration may lie: none beside a
// model that is no file.
func configDirs(modelPath string) []string {
	if modelPath == "" {
		return nil
	}
	dir := filepath.Dir(modelPath)
	dirs := []string{dir}
	if abs, err := filepath.Abs(dir); err == nil && filepath.Base(abs) == "onnx" {
		dirs = append(dirs, filepath.Dir(abs))
	}
	return dirs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readConfig reads a small file.
func readConfig(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot read the file", Err: err}
	}
	if !info.Mode().IsRegular() || info.Size() > maxConfigBytes {
		return nil, &Error{Path: path, Msg: fmt.Sprintf("not a regular file of at most %d bytes", maxConfigBytes)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot read the file", Err: err}
	}
	if what := notData(data); what == lfsPointer {
		return nil, &Error{Path: path, Msg: what, Hint: lfsHint}
	}
	return data, nil
}

// errNoObject is the error of JSON that is no object, as configurations are.
var errNoObject = errors.New("not a model's configuration, which is a JSON object")

// parseObject reads a JSON object.
func parseObject(data []byte) (map[string]any, error) {
	v, err := ParseLiteral(data)
	if err != nil {
		return nil, err
	}
	values, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it is %s: %w", describeValue(v), errNoObject)
	}
	return values, nil
}

// readObject reads a file that holds a JSON object.
func readObject(path string) (map[string]any, error) {
	data, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	values, err := parseObject(data)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot be read", Hint: "correct the file, or move it away", Err: err}
	}
	return values, nil
}

const preprocessHint = "correct the file, or choose with --preprocess a preset (imagenet, inception, clip, cifar100, …) or another file"

func readPreprocess(path string) (*Preprocess, error) {
	values, err := readObject(path)
	if err != nil {
		return nil, err
	}
	return namedPreprocess(path, values)
}

// namedPreprocess reads the settings of a file of any form and names it.
func namedPreprocess(path string, values map[string]any) (*Preprocess, error) {
	var p *Preprocess
	var err error
	inner, nested := values["image_processor"].(map[string]any)
	switch {
	case isTimm(values):
		p, err = timm(values)
	case values["resize_size"] != nil:
		p, err = torchvision(values)
	case nested: // a processor_config.json
		p, err = huggingFace(newSettings(inner))
	default:
		p, err = huggingFace(newSettings(values))
	}
	if err != nil {
		return nil, &Error{Path: path, Msg: "not a usable preprocessing file", Hint: preprocessHint, Err: err}
	}
	p.Name, p.Source = filepath.Base(path), path
	return p, nil
}
