package patcher

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// cursor goes through the content as the YAML reader counts it: columns are
// characters, not bytes; CR, NEL, LS and PS end a line as LF and CRLF do; a
// byte order mark at the start has no column.
type cursor struct {
	content      []byte
	offset       int
	line, column int
}

func newCursor(content []byte) *cursor {
	c := &cursor{content: content, line: 1, column: 1}
	if bytes.HasPrefix(content, []byte("\xef\xbb\xbf")) {
		c.offset = 3
	}
	return c
}

// next moves over one character or line break.
func (c *cursor) next() {
	rest := c.content[c.offset:]
	size, newline := 1, false
	switch b := rest[0]; {
	case b == '\n':
		newline = true
	case b == '\r':
		newline = true
		if len(rest) > 1 && rest[1] == '\n' {
			size = 2
		}
	case b >= utf8.RuneSelf:
		var r rune
		r, size = utf8.DecodeRune(rest)
		newline = r == '\u0085' || r == '\u2028' || r == '\u2029'
	}
	c.offset += size
	c.column++
	if newline {
		c.line, c.column = c.line+1, 1
	}
}

// seek moves forward to a position and returns its offset, or -1 if there is
// no such position ahead.
func (c *cursor) seek(line, column int) int {
	for c.offset < len(c.content) && (c.line < line || c.line == line && c.column < column) {
		c.next()
	}
	if c.line != line || c.column != column {
		return -1
	}
	return c.offset
}

// lineAt returns the 1-based line of an offset.
func lineAt(content []byte, offset int) int {
	c := newCursor(content)
	for c.offset < offset {
		c.next()
	}
	return c.line
}

// span is where a scalar stands in the content, quotes included.
type span struct {
	start, end int
	quote      string // the quote on either side, or nothing
}

// locate returns the span of an image. The bytes there are the value of the
// scalar and nothing else; where that is not so, the image is refused.
func (f *File) locate(img image) (span, error) {
	n := img.node
	unsupported := func(what string) (span, error) {
		return span{}, refuse(n.Line, ErrUnsupported, "the image %s is written %s: write NAME:TAG on the line of its key", quote(n.Value), what)
	}
	if n.Style&(yqlib.LiteralStyle|yqlib.FoldedStyle) != 0 {
		return unsupported("as a block scalar")
	}
	if img.offset < 0 {
		return unsupported("where it cannot be located")
	}
	start, ok := skipProperties(f.content, img.offset)
	if !ok {
		return unsupported("below its anchor or tag")
	}
	s := span{start: start}
	switch {
	case n.Style&yqlib.DoubleQuotedStyle != 0:
		s.quote = `"`
	case n.Style&yqlib.SingleQuotedStyle != 0:
		s.quote = `'`
	}
	written := s.quote + n.Value + s.quote
	s.end = s.start + len(written)
	if bytes.HasPrefix(f.content[s.start:], []byte(written)) {
		return s, nil
	}
	line, _, _ := bytes.Cut(f.content[s.start:], []byte("\n"))
	switch inner := strings.TrimPrefix(string(line), s.quote); {
	case s.quote == "", !strings.Contains(inner, s.quote):
		return unsupported("over several lines")
	default:
		return unsupported("with escapes")
	}
}

// skipProperties moves from the start of a node over its anchor and tag to the
// scalar, which has to be on the same line.
func skipProperties(content []byte, offset int) (int, bool) {
	for offset < len(content) && (content[offset] == '&' || content[offset] == '!') {
		for offset < len(content) && !isBreak(content[offset]) && !isBlank(content[offset]) {
			offset++
		}
		for offset < len(content) && isBlank(content[offset]) {
			offset++
		}
	}
	return offset, offset < len(content) && !isBreak(content[offset]) && content[offset] != '#'
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' }
func isBreak(b byte) bool { return b == '\n' || b == '\r' }
