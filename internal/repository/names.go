package repository

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckBranch says whether git would accept a branch of that name: the rules of
// git-check-ref-format(1), no leading hyphen, and printable characters only.
func CheckBranch(name string) error {
	bad := func(why string) error { return fmt.Errorf("branch name %.100q %s", name, why) }
	switch {
	case name == "":
		return errors.New("branch name is empty")
	case len(name) > 240:
		return bad("is too long")
	case strings.HasPrefix(name, "-"):
		return bad("begins with a hyphen")
	case !utf8.ValidString(name):
		return bad("is not UTF-8")
	case name == "HEAD":
		return bad("is reserved by git")
	case strings.HasSuffix(name, "."):
		return bad("ends with a dot")
	}
	for _, s := range []string{"..", "@{", "//"} {
		if strings.Contains(name, s) {
			return bad("contains " + strconv.Quote(s))
		}
	}
	// git takes more than what is printable; people are shown it.
	if i := strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || strings.ContainsRune(" ~^:?*[\\", r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return bad("contains " + strconv.QuoteRune(r))
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return bad("begins or ends with a slash")
		case strings.HasPrefix(part, "."):
			return bad("has a part that begins with a dot")
		case strings.HasSuffix(part, ".lock"):
			return bad(`has a part that ends with ".lock"`)
		}
	}
	return nil
}

// CheckPath returns the canonical form of a path inside a repository, or says
// why it is none: absolute, leaving the repository, or not printable.
func CheckPath(p string) (string, error) {
	clean := path.Clean(p)
	switch {
	case p == "" || clean == ".":
		return "", errors.New("path is empty")
	case !utf8.ValidString(p) || strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("path %.200q has unprintable characters", p)
	case path.IsAbs(p):
		return "", fmt.Errorf("path %.200q is absolute: give it from the repository's top folder", p)
	case clean == ".." || strings.HasPrefix(clean, "../"):
		return "", fmt.Errorf("path %.200q leaves the repository", p)
	case len(p) > 4096:
		return "", fmt.Errorf("path %.60q... is too long", p)
	}
	for part := range strings.SplitSeq(clean, "/") {
		if strings.EqualFold(part, ".git") {
			return "", fmt.Errorf("path %.200q leads into .git", p)
		}
	}
	return clean, nil
}
