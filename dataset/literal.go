package dataset

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseLiteral reads JSON, or what Python prints of a dict or a list, as
// exporters leave it in metadata: {0: 'cat', 1: 'dog'}. NaN and Infinity, which
// Python writes into JSON, are numbers. Objects become map[string]any, whatever
// their keys were, lists and tuples []any, numbers float64.
func ParseLiteral(data []byte) (any, error) {
	p := literalParser{text: strings.TrimPrefix(string(data), "\ufeff")}
	v, err := p.value(0)
	if err == nil {
		if p.space(); p.at < len(p.text) {
			err = p.unexpected("the end")
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// literalParser is a position in a text.
type literalParser struct {
	text string
	at   int
}

// maxLiteralDepth bounds the nesting, and with it the stack.
const maxLiteralDepth = 100

func (p *literalParser) unexpected(wanted string) error {
	found := "the end"
	if p.at < len(p.text) {
		r, _ := utf8.DecodeRuneInString(p.text[p.at:])
		found = strconv.QuoteRune(r)
	}
	return fmt.Errorf("bad JSON at byte %d: expected %s, found %s", p.at, wanted, found)
}

func (p *literalParser) space() {
	p.at += len(p.text[p.at:]) - len(strings.TrimLeft(p.text[p.at:], " \t\r\n"))
}

// take skips a character, and space before it, and reports whether it was there.
func (p *literalParser) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *literalParser) value(depth int) (any, error) {
	if depth > maxLiteralDepth {
		return nil, fmt.Errorf("bad JSON at byte %d: nested too deeply", p.at)
	}
	switch {
	case p.take('{'):
		return p.object(depth)
	case p.take('['):
		return p.list(depth, ']')
	case p.take('('):
		return p.list(depth, ')')
	}
	if p.at < len(p.text) && strings.IndexByte(`"'`, p.text[p.at]) >= 0 {
		return p.quoted()
	}
	return p.word()
}

func (p *literalParser) object(depth int) (any, error) {
	object := map[string]any{}
	for !p.take('}') {
		if len(object) > 0 && !p.take(',') {
			return nil, p.unexpected("a comma or }")
		}
		if p.take('}') { // Python allows a last comma
			break
		}
		start := p.at
		key, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if n, isNumber := key.(float64); isNumber {
			name, ok = strconv.FormatFloat(n, 'f', -1, 64), true
		}
		if !ok {
			p.at = start
			return nil, p.unexpected("a key")
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("bad JSON at byte %d: the key %q is there twice", start, name)
		}
		if !p.take(':') {
			return nil, p.unexpected("a colon")
		}
		if object[name], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return object, nil
}

func (p *literalParser) list(depth int, end byte) (any, error) {
	list := []any{}
	for !p.take(end) {
		if len(list) > 0 && !p.take(',') {
			return nil, p.unexpected("a comma or " + string(end))
		}
		if p.take(end) {
			break
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// word reads a number or a constant.
func (p *literalParser) word() (any, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n,:]})", p.text[p.at]) < 0 {
		p.at++
	}
	switch word := p.text[start:p.at]; word {
	case "null", "None":
		return nil, nil
	case "true", "True":
		return true, nil
	case "false", "False":
		return false, nil
	case "NaN", "nan":
		return math.NaN(), nil
	case "Infinity", "inf":
		return math.Inf(1), nil
	case "-Infinity", "-inf":
		return math.Inf(-1), nil
	default:
		if v, err := strconv.ParseFloat(word, 64); err == nil && strings.IndexByte("-.0123456789", word[0]) >= 0 {
			return v, nil
		}
	}
	p.at = start
	return nil, p.unexpected("a value")
}

// quoted reads a string, at whose quote p is.
func (p *literalParser) quoted() (any, error) {
	start, quote := p.at, p.text[p.at]
	for p.at++; p.at < len(p.text) && p.text[p.at] != quote; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	if p.at >= len(p.text) {
		return nil, fmt.Errorf("bad JSON at byte %d: a string that does not end", start)
	}
	p.at++
	var s string
	if quote == '"' && json.Unmarshal([]byte(p.text[start:p.at]), &s) == nil {
		return s, nil
	}
	var b strings.Builder
	for rest := p.text[start+1 : p.at-1]; rest != ""; {
		if strings.HasPrefix(rest, `\'`) || strings.HasPrefix(rest, `\"`) {
			b.WriteByte(rest[1])
			rest = rest[2:]
			continue
		}
		r, raw, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return nil, fmt.Errorf("bad JSON at byte %d: a string with a bad escape", p.at-1-len(rest))
		}
		if raw && r < utf8.RuneSelf || rest[0] != '\\' && r == utf8.RuneError {
			b.WriteByte(rest[0]) // as it is, be it no text at all
		} else {
			b.WriteRune(r)
		}
		rest = tail
	}
	return b.String(), nil
}

// describeValue says in plain words what was found where something else was
// expected.
func describeValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case map[string]any:
		return "an object"
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case string:
		return fmt.Sprintf("the text %.40q", v)
	}
	return fmt.Sprint(v)
}
