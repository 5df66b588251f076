// Package mask takes what may be a secret out of texts that people are shown:
// annotations, messages. Whoever may annotate a Deployment may write a password
// where none belongs; who looks at it later need not be the same person.
package mask

import (
	"regexp"
	"strings"
)

var (
	scheme = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://`)
	query  = regexp.MustCompile(`\?[^\s"'<>#]+`)
	// user:password@host, which git takes without a scheme. What looks so and is
	// not is an image with its digest: name:tag@sha256:…
	scpPassword = regexp.MustCompile(`(?s)^([^\s:/@]+):(.*)@`)
	quoted      = regexp.MustCompile(`"[^\s:/@"]+:[^@"]*@[^"]*"`)
	digest      = regexp.MustCompile(`@sha(256|512):[0-9a-f]*"?$`)
	// Tokens of GitHub, GitLab and Slack, addresses of Slack's webhooks, and keys.
	token = regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{16,}|gl[a-z]{2,5}-[A-Za-z0-9_.-]{20,}|xox[a-z]-[A-Za-z0-9-]{10,})|` +
		`(hooks\.slack\.com/services/)[A-Za-z0-9/_-]+|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*)`)
)

// Value masks what may be a secret in a value: the password, token and query of
// a URL, and what is known to be a token. Of SSH's URLs it leaves the user name.
// It rather masks too much.
func Value(s string) string {
	if strings.Contains(s, "://") {
		at := scheme.FindStringIndex(s)
		if at != nil && at[0] == 0 { // all of it is the URL, whatever its password is made of
			return tokens(s[:at[1]] + url(s[:at[1]-len("://")], s[at[1]:]))
		}
	} else if !digest.MatchString(s) {
		return tokens(scpPassword.ReplaceAllString(s, "$1:***@"))
	}
	return Text(s)
}

// Text masks the same where it stands in a text. A URL ends at a space there.
func Text(s string) string {
	var b strings.Builder
	for rest := s; ; {
		at := scheme.FindStringIndex(rest)
		if at == nil {
			b.WriteString(rest)
			break
		}
		b.WriteString(rest[:at[1]])
		name := rest[at[0] : at[1]-len("://")]
		rest = rest[at[1]:]
		end := strings.IndexAny(rest, " \t\r\n")
		if end < 0 {
			end = len(rest)
		}
		if next := scheme.FindStringIndex(rest[:end]); next != nil {
			end = next[0]
		}
		b.WriteString(url(name, rest[:end]))
		rest = rest[end:]
	}
	return tokens(quoted.ReplaceAllStringFunc(b.String(), func(s string) string {
		if digest.MatchString(s) || scheme.MatchString(s) {
			return s
		}
		return `"` + scpPassword.ReplaceAllString(s[1:], "$1:***@")
	}))
}

func tokens(s string) string { return token.ReplaceAllString(s, "$1***") }

// url masks a URL, given without its scheme: what stands before the last @, and
// the query.
func url(scheme, s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		user, _, password := strings.Cut(s[:i], ":")
		switch {
		case !strings.EqualFold(scheme, "ssh"):
			s = "***" + s[i:]
		case password:
			s = user + ":***" + s[i:]
		}
	}
	return query.ReplaceAllString(s, "?***")
}
