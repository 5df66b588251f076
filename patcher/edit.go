package patcher

import (
	"strings"

	"github.com/mikefarah/yq/v4/pkg/yqlib"
)

// edit replaces the bytes of one scalar, or inserts keys into a mapping.
type edit struct {
	start, end int    // in the content, quotes included
	text       string // the bytes to put there
	now        Version

	node   *node  // the scalar; nil for an insertion
	value  string // what the bytes mean
	quoted bool   // quotes were added
	filled bool   // there was nothing

	into *insertion
	keys []pair
}

// pair is an inserted key with its value.
type pair struct {
	key, value string
	quoted     bool // the value
}

// edits returns what gives the target a version. What has it already is not
// touched, unless it has to be written again.
func (t *target) edits(v Version, pin, again bool) []edit {
	pin = pin && v.Digest != ""
	digest := v.Digest
	if t.bare {
		digest = strings.TrimPrefix(digest, "sha256:")
	}
	var all []edit
	switch {
	case !t.alone:
		value := t.prefix + t.is().name() + ":" + v.Tag
		if pin {
			value += "@" + v.Digest
		}
		all = t.replace(all, again, t.tag, t.site.tag.value, value, readsAsNumber)
	case t.only:
		all = t.replace(all, again, t.tag, t.site.tag.value, digest, needsQuotes)
	case t.tagInsert != nil:
		pairs := []pair{{"newTag", v.Tag, needsQuotes(v.Tag)}}
		if pin && t.site.digest.value == nil {
			pairs = append(pairs, pair{"digest", digest, false})
		}
		all = append(all, t.tagInsert.edit(pairs))
	default:
		value := v.Tag
		if pin && t.site.digest.value == nil && t.digInsert == nil {
			value += "@" + v.Digest
		}
		all = t.replace(all, again, t.tag, t.site.tag.value, value, needsQuotes)
	}
	switch {
	case !pin:
	case t.digInsert != nil:
		all = append(all, t.digInsert.edit([]pair{{"digest", digest, false}}))
	case t.alone && t.site.digest.value != nil:
		all = t.replace(all, again, t.digest, t.site.digest.value, digest, needsQuotes)
	}
	for i := range all {
		all[i].now = v
	}
	return all
}

// replace adds the edit that gives a scalar a value, unless it has it.
func (t *target) replace(all []edit, again bool, at span, n *node, value string, quotes func(string) bool) []edit {
	plain := n.Style&(yqlib.DoubleQuotedStyle|yqlib.SingleQuotedStyle) == 0
	if !again && n.Value == value && (!t.alone || n.Tag == "!!str" && !(plain && notText.MatchString(value))) {
		return all
	}
	e := edit{node: n, start: at.start, end: at.end, value: value, text: value, filled: at.gap != ""}
	switch {
	case at.quote != "":
		e.text = at.quote + value + at.quote
	case quotes(value):
		e.text, e.quoted = `"`+value+`"`, true
	}
	e.text = at.gap + e.text
	return append(all, e)
}

// offsets returns where the target may have edits.
func (t *target) offsets() []int {
	all := []int{t.offset()}
	switch {
	case t.digInsert != nil:
		all = append(all, t.digInsert.offset)
	case t.site.digest.value != nil:
		all = append(all, t.digest.start)
	}
	return all
}

// edit returns the edit that inserts the keys.
func (in *insertion) edit(keys []pair) edit {
	e := edit{start: in.offset, end: in.offset, into: in, keys: keys}
	for _, k := range keys {
		value := k.value
		if k.quoted || in.quote != "" { // quoted keys are JSON, whose values are too
			value = `"` + value + `"`
		}
		e.text += in.before + in.quote + k.key + in.quote + ": " + value
	}
	return e
}

// lines is how many lines the edit adds.
func (e edit) lines() int {
	if e.into == nil || e.into.flow {
		return 0
	}
	return len(e.keys)
}
