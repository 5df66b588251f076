// Package text makes text safe to show to people: on a terminal, in a log, in a
// chat. It touches nothing.
package text

import (
	"strings"
	"unicode"
)

// Printable returns s with a question mark in place of each character that does
// not print: terminal escapes, line breaks, text that runs backwards.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
