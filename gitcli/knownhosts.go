package gitcli

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"slices"
	"strings"
)

// hostLines returns the lines of known_hosts files that may concern a host: what
// OpenSSH looks for is its name, with the port where that is not the usual one,
// and then without it. Lines with patterns are kept as they are.
func hostLines(known []byte, host, port string) []byte {
	names := []string{host}
	if ip := net.ParseIP(host); ip != nil && ip.String() != host {
		names = append(names, ip.String())
	}
	if port != "" && port != "22" {
		for _, name := range slices.Clone(names) {
			names = append(names, "["+name+"]:"+port)
		}
	}
	var lines []byte
	for line := range bytes.Lines(known) {
		if line = bytes.TrimSpace(line); concerns(string(line), names) {
			lines = append(append(lines, line...), '\n')
		}
	}
	return lines
}

// concerns says whether a line of a known_hosts file is for one of the names.
// The format is sshd(8)'s.
func concerns(line string, names []string) bool {
	if strings.HasPrefix(line, "#") {
		return false
	}
	hosts, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(hosts, "@") { // a marker: revoked, or a certificate authority
		hosts, _, _ = strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	}
	hosts, _, _ = strings.Cut(hosts, "\t")
	if salted, ok := strings.CutPrefix(hosts, "|1|"); ok {
		return slices.ContainsFunc(names, func(name string) bool { return isHashOf(salted, name) })
	}
	for pattern := range strings.SplitSeq(strings.ToLower(hosts), ",") {
		for _, name := range names {
			if matches(pattern, name) {
				return true
			}
		}
	}
	return false
}

// isHashOf says whether SALT|HASH, as HashKnownHosts writes them, is a name's.
func isHashOf(salted, name string) bool {
	s, h, _ := strings.Cut(salted, "|")
	salt, serr := base64.StdEncoding.DecodeString(s)
	hash, herr := base64.StdEncoding.DecodeString(h)
	if serr != nil || herr != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return subtle.ConstantTimeCompare(mac.Sum(nil), hash) == 1
}

// matches compares a name with a pattern, in which * stands for any characters
// and ? for one.
func matches(pattern, name string) bool {
	star, retry := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0: // let the last star take one more
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
