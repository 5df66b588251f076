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

// Line makes one line of what others wrote: white space becomes spaces, what
// does not print is left out, and what goes beyond max bytes is cut off, with
// "..." in its place.
func Line(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	return Cut(strings.TrimSpace(s), max)
}

// Cut cuts off what goes beyond max bytes of a text, and puts "..." in its place.
func Cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "..."
}
