package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// format is the image's tag with placeholders, cut at their edges: text, and
// placeholders without braces at odd positions.
type format []string

const (
	shortSHA     = 7  // what {short} is
	leastSHA     = 4  // git itself abbreviates no further
	mostSHA      = 64 // a SHA-256 in hexadecimal
	notInTag     = `[^A-Za-z0-9_.-]`
	placeholders = "{sha}, {short}, {sha:N}, {branch}, {tag} and {version}"
	ofBranch     = "{sha}, {short}, {sha:N} and {branch}"
	ofTags       = "{tag}, {version}, {sha}, {short} and {sha:N}"
	ofRegistry   = "{tag} and {version}"
	ofPromotion  = "{tag}"
)

var badInTag = regexp.MustCompile(notInTag)

// values are what placeholders become.
type values struct{ sha, branch, tag, version string }

// parseFormat reads a format and tries it. The problem is empty where there is
// none.
func parseFormat(text string, source Source, branch string) (f format, problem string) {
	rest := text
	for {
		before, after, found := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return nil, fmt.Sprintf("%s has a } without a {: placeholders are %s", quote(text), placeholders)
		}
		f = append(f, before)
		if !found {
			break
		}
		placeholder, end, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Sprintf("%s has a { without a }: placeholders are %s", quote(text), placeholders)
		}
		if problem = known(placeholder, source); problem != "" {
			return nil, quote(text) + " " + problem
		}
		f, rest = append(f, placeholder), end
	}
	if len(f) == 1 {
		return nil, fmt.Sprintf("%s has no placeholder, so that nothing would ever move: use one of %s, or pin to stay on one tag", quote(text), fitting(source))
	}
	return f, f.try(text, source, branch)
}

// known says what is wrong with a placeholder.
func known(placeholder string, source Source) string {
	name, length, has := strings.Cut(placeholder, ":")
	if has && name == "sha" {
		if n, err := strconv.Atoi(length); err != nil || n < leastSHA || n > mostSHA || length[0] == '+' {
			return fmt.Sprintf("has {%s}: the length must be a number from %d to %d", placeholder, leastSHA, mostSHA)
		}
		placeholder = "sha:N"
	}
	if !strings.Contains(placeholders, "{"+placeholder+"}") {
		return fmt.Sprintf("has {%s}: placeholders are %s", oneLine(placeholder), placeholders)
	}
	if !strings.Contains(fitting(source), "{"+placeholder+"}") {
		return fmt.Sprintf("has {%s}, which is not known with this tag_from: use %s", placeholder, fitting(source))
	}
	return ""
}

// fitting lists the placeholders that have a value with a source.
func fitting(source Source) string {
	switch source {
	case GitTags:
		return ofTags
	case Registry:
		return ofRegistry
	case Promotion:
		return ofPromotion
	}
	return ofBranch
}

// try makes a tag of values as they will be, as far as they are known.
func (f format) try(text string, source Source, branch string) string {
	v := values{sha: strings.Repeat("0", 40), branch: branch, tag: "0", version: "0"}
	if branch == "" {
		v.branch = "main"
	}
	if tag := f.expand(v); !imageTag.MatchString(tag) {
		if source == Branch {
			return fmt.Sprintf("%s makes no image tag, but %s: %s", quote(text), quote(strings.ReplaceAll(tag, v.sha, "<sha>")), goodTag)
		}
		return fmt.Sprintf("%s makes no image tag, whatever the placeholders become: %s", quote(text), goodTag)
	}
	return ""
}

func (f format) expand(v values) string {
	var b strings.Builder
	for i, part := range f {
		name, length, _ := strings.Cut(part, ":")
		switch {
		case i%2 == 0:
			b.WriteString(part)
		case length != "":
			n, _ := strconv.Atoi(length)
			b.WriteString(v.sha[:min(n, len(v.sha))])
		case name == "sha":
			b.WriteString(v.sha)
		case name == "short":
			b.WriteString(v.sha[:min(shortSHA, len(v.sha))])
		case name == "branch":
			b.WriteString(badInTag.ReplaceAllString(v.branch, "-"))
		case name == "tag":
			b.WriteString(v.tag)
		case name == "version":
			b.WriteString(v.version)
		}
	}
	return b.String()
}

// hasCommit says whether a commit is part of it.
func (f format) hasCommit() bool {
	for i := 1; i < len(f); i += 2 {
		if name, _, _ := strings.Cut(f[i], ":"); name == "sha" || name == "short" {
			return true
		}
	}
	return false
}
