package patcher

import (
	"fmt"
	"strconv"
	"strings"
)

// Expression is a path to scalars, in a small part of yq's language: keys,
// indexes, [], select with == on scalars, and pipes. It is evaluated here, never by
// yq, so it reaches nothing but the document.
type Expression struct {
	text  string
	steps []step
}

const (
	maxExpression = 1000 // bytes
	maxSteps      = 64
)

type stepKind int

const (
	byKey stepKind = iota
	byIndex
	intoAll
	selecting
)

// step is one part of an expression.
type step struct {
	kind  stepKind
	key   string
	index int
	where *condition
	end   int // of the step in the text
}

// condition is what select compares.
type condition struct {
	steps []step
	value string
	null  bool
}

// String returns the expression as it was given, without space around it.
func (e Expression) String() string { return e.text }

// ParseExpression reads a path expression. Its errors are of type *Error with
// reason ErrPath, and name the part that is not allowed.
func ParseExpression(text string) (Expression, error) {
	text = strings.TrimSpace(text)
	p := &expressionParser{text: text}
	switch {
	case text == "":
		return Expression{}, refuse(0, ErrPath, "the path expression is empty: write a path, as in .image.tag")
	case len(text) > maxExpression:
		return Expression{}, refuse(0, ErrPath, "the path expression has %d bytes, more than the %d that are read: shorten it", len(text), maxExpression)
	}
	if err := p.pipe(); err != nil {
		return Expression{}, err
	}
	if len(p.steps) == 0 {
		return Expression{}, p.refuse(text)
	}
	return Expression{text: text, steps: p.steps}, nil
}

// ParsePaths reads a tag_path annotation: one expression a line. Empty lines mean
// nothing. Its errors are those of ParseExpression.
func ParsePaths(lines string) ([]Expression, error) {
	var all []Expression
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		e, err := ParseExpression(line)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		_, err := ParseExpression("")
		return nil, err
	}
	return all, nil
}

type expressionParser struct {
	text  string
	at    int
	steps []step
}

// rest is what has not been read.
func (p *expressionParser) rest() string { return p.text[p.at:] }

// space moves over spaces and tabs.
func (p *expressionParser) space() {
	p.at = len(p.text) - len(strings.TrimLeft(p.rest(), " \t"))
}

// take moves over a text, if it is what comes next.
func (p *expressionParser) take(text string) bool {
	if !strings.HasPrefix(p.rest(), text) {
		return false
	}
	p.at += len(text)
	return true
}

// refuse names the part that is not allowed.
func (p *expressionParser) refuse(part string) error {
	return refuse(0, ErrPath, "the path expression %s has %s, which is not allowed: use keys, indexes, [], select(.KEY == VALUE) and pipes", quote(p.text), quote(part))
}

// refuseNext names what comes next.
func (p *expressionParser) refuseNext() error {
	rest := p.rest()
	if rest == "" {
		return refuse(0, ErrPath, "the path expression %s ends too early: complete it", quote(p.text))
	}
	end := 1
	if isKeyByte(rest[0]) {
		for end < len(rest) && isKeyByte(rest[end]) {
			end++
		}
	} else {
		for end < len(rest) && !isKeyByte(rest[end]) && !strings.ContainsRune(" \t\"()", rune(rest[end])) {
			end++
		}
	}
	return p.refuse(rest[:end])
}

// add adds a step that ends here.
func (p *expressionParser) add(s step) error {
	if len(p.steps) >= maxSteps {
		return refuse(0, ErrPath, "the path expression %s has more than %d parts: shorten it", quote(p.text), maxSteps)
	}
	s.end = p.at
	p.steps = append(p.steps, s)
	return nil
}

// pipe reads stages with pipes between them.
func (p *expressionParser) pipe() error {
	for {
		p.space()
		stage := p.path
		if strings.HasPrefix(p.rest(), "select") {
			stage = p.selection
		}
		if err := stage(); err != nil {
			return err
		}
		p.space()
		switch {
		case p.rest() == "":
			return nil
		case !p.take("|"):
			return p.refuseNext()
		}
	}
}

// path reads .a.b[0]["c"][], or a dot alone.
func (p *expressionParser) path() error {
	if !p.take(".") {
		return p.refuseNext()
	}
	if rest := p.rest(); rest == "" || strings.ContainsRune(" \t|=)", rune(rest[0])) {
		return nil // the document itself
	}
	for first := true; ; first = false {
		if !first && !p.take(".") && !strings.HasPrefix(p.rest(), "[") {
			return nil
		}
		if err := p.part(); err != nil {
			return err
		}
	}
}

// part reads one key, index or [].
func (p *expressionParser) part() error {
	if p.take("[") {
		return p.bracket()
	}
	if strings.HasPrefix(p.rest(), `"`) {
		key, err := p.quotedKey(false)
		if err != nil {
			return err
		}
		return p.add(step{kind: byKey, key: key})
	}
	start := p.at
	for p.at < len(p.text) && isKeyByte(p.text[p.at]) {
		p.at++
	}
	if p.at == start {
		return p.refuseNext()
	}
	return p.add(step{kind: byKey, key: p.text[start:p.at]})
}

func isKeyByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == '-' || b == '/' || b == '@'
}

// bracket reads the rest of [], [0] and ["key"].
func (p *expressionParser) bracket() error {
	inside, _, closed := strings.Cut(p.rest(), "]")
	if strings.HasPrefix(strings.TrimSpace(inside), `"`) {
		p.space()
		key, err := p.quotedKey(true)
		if err != nil {
			return err
		}
		if p.space(); !p.take("]") {
			return p.refuseNext()
		}
		return p.add(step{kind: byKey, key: key})
	}
	if !closed {
		return p.refuse("[" + inside)
	}
	p.at += len(inside) + 1
	inside = strings.TrimSpace(inside)
	if inside == "" {
		return p.add(step{kind: intoAll})
	}
	index, err := strconv.ParseInt(inside, 10, 32)
	if err != nil || inside[0] == '+' {
		return p.refuse("[" + inside + "]")
	}
	return p.add(step{kind: byIndex, index: int(index)})
}

// quotedKey reads a key in double quotes. Behind a dot, yq knows no escapes.
func (p *expressionParser) quotedKey(escapes bool) (string, error) {
	start := p.at
	key, err := p.str()
	if err != nil {
		return "", err
	}
	if i := strings.IndexByte(p.text[start:p.at], '\\'); i >= 0 && !escapes {
		return "", p.refuse(p.text[start+i : start+i+2])
	}
	if key == "" {
		return "", p.refuse(`""`)
	}
	return key, nil
}

// str reads a text in double quotes. What yq takes for a pattern or for more than
// a text is refused.
func (p *expressionParser) str() (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return b.String(), nil
		case '\\':
			if next := p.text[p.at+1:]; next == "" || next[0] != '"' && next[0] != '\\' {
				return "", p.refuse(p.text[p.at:min(p.at+2, len(p.text))])
			}
			p.at++
			b.WriteByte(p.text[p.at])
		case '*', '?':
			return "", p.refuse(string(c))
		default:
			b.WriteByte(c)
		}
	}
	return "", refuse(0, ErrPath, "the path expression %s has no end of the text %s: close the quotes", quote(p.text), quote(p.text[start:]))
}

// selection reads select(PATH == SCALAR).
func (p *expressionParser) selection() error {
	p.at += len("select")
	if p.space(); !p.take("(") {
		return p.refuseNext()
	}
	p.space()
	inner := &expressionParser{text: p.text, at: p.at}
	if err := inner.path(); err != nil {
		return err
	}
	p.at = inner.at
	if p.space(); !p.take("==") {
		return p.refuseNext()
	}
	p.space()
	where := &condition{steps: inner.steps}
	if err := p.scalar(where); err != nil {
		return err
	}
	if p.space(); !p.take(")") {
		return p.refuseNext()
	}
	return p.add(step{kind: selecting, where: where})
}

// scalar reads what a select compares with.
func (p *expressionParser) scalar(where *condition) (err error) {
	if strings.HasPrefix(p.rest(), `"`) {
		where.value, err = p.str()
		return err
	}
	end := strings.IndexAny(p.rest(), " \t)|")
	if end < 0 {
		end = len(p.rest())
	}
	word := p.rest()[:end]
	switch _, notNumber := strconv.ParseFloat(word, 64); {
	case word == "null":
		where.null = true
	case word != "true" && word != "false" && (notNumber != nil || strings.ContainsAny(word, "nixpNIXP_+")):
		return p.refuseNext()
	}
	where.value = word
	p.at += end
	return nil
}

// describe says what a step looks for, for a message.
func (s step) describe(text string, before int) string {
	switch s.kind {
	case byKey:
		return "has no key " + quote(s.key)
	case byIndex:
		return fmt.Sprintf("has no element [%d]", s.index)
	case intoAll:
		return "has nothing in it"
	}
	return "has nothing that fits " + strings.Trim(text[before:s.end], " \t|")
}
