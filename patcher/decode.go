package patcher

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
	"go.yaml.in/yaml/v4"
)

const (
	// maxDepth bounds the nesting of nodes. The deepest custom resource
	// definitions in use need about half of it.
	maxDepth = 200

	// maxFlow bounds the brackets and commas of a file, and maxMarks the hyphens,
	// question marks and colons that begin an entry or a value. Each may make a
	// node, of which the reader holds some hundred bytes, and of a flow
	// collection all tokens besides. As many as these take about 300 MB; a
	// manifest of MaxSize as people write them stays below.
	maxFlow  = 60_000
	maxMarks = 200_000

	// maxTagDirectives bounds the %TAG directives: the reader's time grows with
	// the square of their number.
	maxTagDirectives = 100
)

func init() {
	// yq logs to standard error through a logger of its package.
	yqlib.GetLogger().SetSlogger(slog.New(slog.DiscardHandler))
}

// checkText refuses what is no text that a YAML reader accepts, or would cost
// it too much.
func checkText(content []byte) error {
	switch {
	case len(content) > MaxSize:
		return refuse(0, ErrTooLarge, "the file has %d bytes, more than the %d that are read: split it", len(content), MaxSize)
	case bytes.HasPrefix(content, []byte("\xff\xfe")), bytes.HasPrefix(content, []byte("\xfe\xff")):
		return refuse(1, ErrNotUTF8, "the file is UTF-16: save it as UTF-8")
	}
	if i := invalidUTF8(content); i >= 0 {
		return refuse(lineAt(content, i), ErrNotUTF8, "the byte 0x%02x is not UTF-8: save the file as UTF-8", content[i])
	}
	if i := bytes.IndexFunc(content, forbidden); i >= 0 {
		if content[i] == 0 {
			return refuse(lineAt(content, i), ErrNotYAML, "a NUL byte: the file is binary or UTF-16; save it as UTF-8 text")
		}
		r, _ := utf8.DecodeRune(content[i:])
		return refuse(lineAt(content, i), ErrNotYAML, "the character %U is not allowed in YAML: remove it", r)
	}
	flow, marks := count(content)
	if marks > maxMarks {
		return refuse(0, ErrTooComplex, "the file has %d entries, more than the %d that are read: split it", marks, maxMarks)
	}
	if flow > maxFlow {
		return refuse(0, ErrTooComplex, "the file has %d brackets and commas, more than the %d that are read: split it, or write it in block style", flow, maxFlow)
	}
	if n := bytes.Count(content, []byte("%TAG")); n > maxTagDirectives {
		return refuse(0, ErrTooComplex, "the file has %d %%TAG directives, more than the %d that are read: remove those that are not needed", n, maxTagDirectives)
	}
	return nil
}

// count counts what may make a node, wherever it stands: also in texts, where it
// makes none.
func count(content []byte) (flow, marks int) {
	for i, c := range content {
		switch c {
		case ',', '[', '{':
			flow++
		case '-', '?', ':':
			// Beyond ASCII there are more line breaks than LF and CR.
			if i+1 == len(content) || content[i+1] <= ' ' || content[i+1] >= utf8.RuneSelf {
				marks++
			}
		}
	}
	return flow, marks
}

func invalidUTF8(content []byte) int {
	if utf8.Valid(content) {
		return -1
	}
	for i := 0; ; {
		r, size := utf8.DecodeRune(content[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
}

// forbidden tells the characters that the YAML reader rejects without a line.
func forbidden(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\ufffe' || r == '\uffff'
}

// heavy is held while a file is read that takes a lot of memory: one at a time.
var heavy sync.Mutex

// decode reads all documents.
func decode(content []byte) (docs []*node, err error) {
	if flow, marks := count(content); flow > maxFlow/10 || marks > maxMarks/10 {
		heavy.Lock()
		defer heavy.Unlock()
	}
	defer func() {
		if p := recover(); p != nil {
			docs, err = nil, refuse(0, ErrNotYAML, "the YAML reader failed on the file (%v): correct the file", p)
		}
	}()
	prefs := yqlib.NewDefaultYamlPreferences()
	prefs.LeadingContentPreProcessing = false // it would shift the lines
	decoder := yqlib.NewYamlDecoder(prefs)
	if err := decoder.Init(bytes.NewReader(content)); err != nil {
		return nil, notYAML(content, err)
	}
	for {
		doc, err := decoder.Decode()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, notYAML(content, err)
		}
		docs = append(docs, doc)
	}
}

// template matches a line that a template fills in, or that steers it.
var template = regexp.MustCompile(`(?m)^[ \t-]*(?:[\w./-]+:[ \t]+)?(\{\{.*)$`)

func notYAML(content []byte, err error) error {
	line, problem := 0, err.Error()
	if load := (*yaml.LoadError)(nil); errors.As(err, &load) {
		line, problem = load.Mark.Line, load.Message
	}
	if m := template.FindSubmatchIndex(content); m != nil {
		text := strings.TrimSpace(string(content[m[2]:m[3]]))
		return refuse(lineAt(content, m[2]), ErrNotYAML, "the file is a template, as Helm's are, not YAML: %s; name a file that holds the finished manifest", quote(text))
	}
	if problem == "found incompatible YAML document" {
		return refuse(line, ErrNotYAML, "the %%YAML directive names a version other than 1.1, which most readers refuse: remove it")
	}
	return refuse(line, ErrNotYAML, "the file is not valid YAML: %s; correct the file", problem)
}

// survey checks the shape of a document, and notes which anchors are in use.
// It leaves a graph without cycles.
func (f *File) survey(n, doc *node, depth int) error {
	switch {
	case depth > maxDepth:
		return refuse(n.Line, ErrTooComplex, "the file is nested more than %d levels deep: flatten it", maxDepth)
	case n.Kind == yqlib.AliasNode:
		return f.surveyAlias(n, doc)
	case n.Kind == yqlib.ScalarNode && n.Tag == "!!null" && n.Style&yqlib.TaggedStyle != 0:
		// yq drops whatever such a node contains, so it would go unchecked.
		return refuse(n.Line, ErrUnsupported, "the tag !!null is not supported: remove it")
	}
	for _, child := range n.Content {
		if err := f.survey(child, doc, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) surveyAlias(n, doc *node) error {
	target := n.Alias
	root := target
	for root != nil && root.Parent != nil {
		root = root.Parent
	}
	if root != doc { // yq looks for anchors in earlier documents too
		return refuse(n.Line, ErrNotYAML, "the alias *%s refers to an anchor of another document: repeat the anchor in this one", n.Value)
	}
	for p := n.Parent; p != nil; p = p.Parent {
		if p == target {
			return refuse(n.Line, ErrNotYAML, "the alias *%s refers to a node that contains it: remove the cycle", n.Value)
		}
	}
	if _, known := f.aliased[target]; !known {
		f.aliased[target] = n.Line
	}
	return nil
}
