package dataset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// settings are the keys of a preprocessing file as they are read one by one. What
// was never asked for is an error in the end: a step that is passed over in
// silence gives wrong figures. The first error stays, and makes the rest harmless.
type settings struct {
	values map[string]any
	asked  map[string]bool
	err    error
}

func newSettings(values map[string]any) *settings {
	return &settings{values: values, asked: map[string]bool{}}
}

// get returns a value, nil where it is missing or null.
func (s *settings) get(key string) any {
	s.asked[key] = true
	return s.values[key]
}

func (s *settings) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

// has reports whether a key is there and not null.
func (s *settings) has(key string) bool { return s.values[key] != nil }

// flag is a yes or no.
func (s *settings) flag(key string, otherwise bool) bool {
	switch v := s.get(key).(type) {
	case nil:
		return otherwise
	case bool:
		return v
	case float64:
		if v == 0 || v == 1 {
			return v == 1
		}
		s.fail("%s is %v: expected true or false", key, v)
	default:
		s.fail("%s is %s: expected true or false", key, describeValue(v))
	}
	return otherwise
}

// text is a word.
func (s *settings) text(key string) string {
	switch v := s.get(key).(type) {
	case nil:
	case string:
		return v
	default:
		s.fail("%s is %s: expected a name", key, describeValue(v))
	}
	return ""
}

// number is a number, or a text that holds one, such as "1/255".
func (s *settings) number(key string, otherwise float64) float64 {
	v := s.get(key)
	if v == nil {
		return otherwise
	}
	x, ok := toNumber(v)
	if !ok {
		s.fail("%s is %s: expected a number", key, describeValue(v))
		return otherwise
	}
	return x
}

// toNumber reads a finite number.
func toNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		over, under, fraction := strings.Cut(v, "/")
		x, err := strconv.ParseFloat(strings.TrimSpace(over), 64)
		if fraction && err == nil {
			var y float64
			y, err = strconv.ParseFloat(strings.TrimSpace(under), 64)
			x /= y
		}
		return x, err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
	}
	return 0, false
}

// toLength reads a number of pixels, at least 1.
func toLength(v any) (int, bool) {
	x, ok := toNumber(v)
	return int(x), ok && x >= 1 && x <= 1<<30 && x == math.Trunc(x)
}

// perChannel is a value for each of three channels: a list of three, or one that
// holds for all, as a number or a list of one. The models of one channel have
// files with one.
func (s *settings) perChannel(key string, otherwise [3]float64) [3]float64 {
	v := s.get(key)
	if v == nil {
		return otherwise
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if len(list) != 1 && len(list) != 3 {
		s.fail("%s has %d values: expected one for each of 3 channels, or 1", key, len(list))
		return otherwise
	}
	var values [3]float64
	for c := range values {
		if values[c], ok = toNumber(list[min(c, len(list)-1)]); !ok {
			s.fail("%s is %s: expected numbers", key, describeValue(v))
			return otherwise
		}
	}
	return values
}

// harmless says of keys that they do not change what a model sees.
func (s *settings) harmless(keys ...string) {
	for _, key := range keys {
		s.asked[key] = true
	}
}

// finish returns the first error: of a key that was asked for, else of one that
// was not and says something other than no.
func (s *settings) finish() error {
	if s.err != nil {
		return s.err
	}
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		v := s.values[key]
		if s.asked[key] || v == nil || v == false || strings.HasPrefix(key, "_") {
			continue
		}
		return fmt.Errorf("%s (%s) is a step that is not known and might change the images: remove the key if it does not", key, describeValue(v))
	}
	return nil
}

// interpolation reads the name of a filter, as Pillow, torchvision and timm write
// it ("bicubic", "InterpolationMode.BICUBIC"), or Pillow's number for it.
func (s *settings) interpolation(key string, otherwise Interpolation) Interpolation {
	byNumber := []Interpolation{Nearest, Lanczos, Bilinear, Bicubic, Box, Hamming}
	v := s.get(key)
	if v == nil {
		return otherwise
	}
	if x, ok := toNumber(v); ok {
		if x >= 0 && int(x) < len(byNumber) && x == math.Trunc(x) {
			return byNumber[int(x)]
		}
		s.fail("%s %v: expected 0 to %d", key, x, len(byNumber)-1)
		return otherwise
	}
	name, _ := v.(string)
	name = strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])
	if name == "antialias" { // an old name of Pillow's
		name = string(Lanczos)
	}
	if !slices.Contains(byNumber, Interpolation(name)) {
		s.fail("%s %s: expected bilinear, bicubic, nearest, lanczos, box or hamming", key, describeValue(v))
		return otherwise
	}
	return Interpolation(name)
}
