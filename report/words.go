package report

import (
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// Wrap breaks prose into lines of at most width columns, at spaces. A word that
// is longer has a line of its own.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// columns is the number of terminal columns that a string takes. Combining
// accents take none, wide characters two.
func columns(s string) int { return uniseg.StringWidth(s) }

// printable replaces what would move the cursor or change the terminal's state:
// names come from files, and files from anywhere.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// base is the last element of a path, on any system.
func base(path string) string {
	return printable(path[strings.LastIndexAny(path, `/\`)+1:])
}

// shellWord writes a path so that it can be pasted into a shell.
func shellWord(path string) string {
	path = printable(path)
	special := func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_./:@%+=,-", r)
	}
	if path != "" && !strings.ContainsFunc(path, special) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// commandLine is a command as a shell takes it.
func commandLine(command []string) string {
	words := make([]string, len(command))
	for i, word := range command {
		words[i] = shellWord(word)
	}
	return strings.Join(words, " ")
}
