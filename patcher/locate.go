package patcher

import (
	"bytes"
	"sort"
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

// lineBreak returns the length of the line break that rest begins with, or 0.
func lineBreak(rest []byte) int {
	switch {
	case len(rest) == 0:
	case rest[0] == '\n':
		return 1
	case rest[0] == '\r':
		if len(rest) > 1 && rest[1] == '\n' {
			return 2
		}
		return 1
	case rest[0] >= utf8.RuneSelf:
		if r, size := utf8.DecodeRune(rest); r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return size
		}
	}
	return 0
}

// next moves over one character or line break.
func (c *cursor) next() {
	rest := c.content[c.offset:]
	if size := lineBreak(rest); size > 0 {
		c.offset += size
		c.line, c.column = c.line+1, 1
		return
	}
	size := 1
	if rest[0] >= utf8.RuneSelf {
		_, size = utf8.DecodeRune(rest)
	}
	c.offset += size
	c.column++
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

// marks are cursors at places not far from each other, so that a position is
// found without going through all that is before it.
func marks(content []byte) []cursor {
	const apart = 2048
	c := newCursor(content)
	all := make([]cursor, 0, len(content)/apart+1)
	all = append(all, *c)
	for c.offset < len(content) {
		if c.next(); c.offset-all[len(all)-1].offset >= apart {
			all = append(all, *c)
		}
	}
	return all
}

// offset returns where a position is in the content, or -1.
func (f *File) offset(line, column int) int {
	behind := sort.Search(len(f.marks), func(i int) bool {
		m := f.marks[i]
		return m.line > line || m.line == line && m.column > column
	})
	c := f.marks[max(behind, 1)-1]
	return c.seek(line, column)
}

// span is where a scalar stands in the content, quotes included.
type span struct {
	start, end int
	quote      string // the quote on either side, or nothing
	gap        string // what to write before a value where there was none
}

// locate returns the span of a scalar that is to be replaced. The bytes there are
// its value and nothing else; where that is not so, it is refused.
func (f *File) locate(s slot, isRef bool) (span, error) {
	n := s.value
	if n.Tag == "!!null" && n.Value == "" {
		return f.locateNothing(s)
	}
	return f.locateAt(n, f.offset(n.Line, n.Column), isRef)
}

// unsupported refuses a scalar for the way it is written.
func unsupported(n *node, isRef bool, how string) error {
	form := "it"
	if isRef {
		form = "NAME:TAG"
	}
	return refuse(n.Line, ErrUnsupported, "the %s is written %s: write %s on the line of its key", named(n, isRef), how, form)
}

// locateAt returns the span of a scalar whose node begins at an offset, -1 where
// that is not known.
func (f *File) locateAt(n *node, offset int, isRef bool) (span, error) {
	if n.Style&(yqlib.LiteralStyle|yqlib.FoldedStyle) != 0 {
		return span{}, unsupported(n, isRef, "as a block scalar")
	}
	if offset < 0 {
		return span{}, unsupported(n, isRef, "where it cannot be located")
	}
	start, ok := skipProperties(f.content, offset)
	if !ok {
		return span{}, unsupported(n, isRef, "below its anchor or tag")
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
		return span{}, unsupported(n, isRef, "over several lines")
	default:
		return span{}, unsupported(n, isRef, "with escapes")
	}
}

// locateNothing returns where the value of a key goes that has none.
func (f *File) locateNothing(s slot) (span, error) {
	refused := refuse(s.value.Line, ErrUnsupported, `the value is left out: write "" there`)
	if s.key == nil || s.value.Anchor != "" || s.value.Style&yqlib.TaggedStyle != 0 {
		return span{}, refused
	}
	key, err := f.locateAt(s.key, f.offset(s.key.Line, s.key.Column), false)
	if err != nil || key.end >= len(f.content) || f.content[key.end] != ':' {
		return span{}, refused
	}
	// With the colon, so that it is apart from what is inserted behind it.
	return span{start: key.end, end: key.end + 1, gap: ": "}, nil
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

// insertion is where a key goes that a mapping does not have.
type insertion struct {
	entry  *entry
	after  slot
	offset int
	line   int    // of the entry below which it goes
	before string // what is written before the key
	flow   bool   // on the same line
	quote  string // of the key
}

// insertion returns where the lines go that are missing below an entry of a
// mapping: on lines of their own, as the entry's own line begins and ends; in
// {…} behind the value.
func (f *File) insertion(e *entry, after slot) (*insertion, error) {
	refused := refuse(e.mapping.Line, ErrUnsupported, "the line of the new tag or digest cannot be inserted, as the entry is written: write the key there by hand")
	if after.key == nil || after.key.Line != after.value.Line {
		return nil, refused
	}
	value, err := f.locate(after, false)
	if err != nil {
		return nil, refused
	}
	in := &insertion{entry: e, after: after, offset: value.end, line: after.key.Line, before: ", "}
	if after.key.Style&(yqlib.DoubleQuotedStyle|yqlib.SingleQuotedStyle) != 0 {
		in.quote = `"`
	}
	if e.mapping.Style&yqlib.FlowStyle != 0 {
		in.flow = true
		return in, nil
	}
	rest := f.content[in.offset:]
	end := 0
	for end < len(rest) && lineBreak(rest[end:]) == 0 {
		end++
	}
	if text := bytes.TrimLeft(rest[:end], " \t"); len(text) > 0 && (text[0] != '#' || len(text) == end) {
		return nil, refused
	}
	in.offset += end
	in.before = f.newline(in.offset) + strings.Repeat(" ", after.key.Column-1)
	return in, nil
}

// newline returns the line break at an offset; at the end of the file, the first
// one that it has.
func (f *File) newline(offset int) string {
	for _, from := range []int{offset, 0} {
		for i := from; i < len(f.content); i++ {
			if size := lineBreak(f.content[i:]); size > 0 {
				return string(f.content[i : i+size])
			}
		}
	}
	return "\n"
}
