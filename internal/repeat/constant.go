package repeat

import "regexp"

// varying is what differs from one time to the next in what servers answer:
// identifiers of requests, times, durations, counts, addresses. A word that
// holds a digit, or a long hexadecimal one, is taken for such a thing.
var varying = regexp.MustCompile(`[0-9A-Za-z]*[0-9][0-9A-Za-z]*(?:[-:.,_+/][0-9A-Za-z]*[0-9][0-9A-Za-z]*)*|\b[0-9A-Fa-f]{8,}\b`)

// Constant leaves out of a text what varies although it tells of the same thing:
// "no answer to request 7f3a9c after 1.2s" and "no answer to request 12ab77 after
// 1.4s" are one. It rather takes two things for one than one for two, so what is
// to be told apart by a number (a version, a commit) is added to its result.
func Constant(text string) string { return varying.ReplaceAllString(text, "#") }
