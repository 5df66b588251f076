package policy

import (
	"cmp"
	"strings"
)

// number is a decimal number of any length, without the zeros that say nothing.
type number struct{ whole, fraction string }

// parseNumber reads digits, perhaps with a fraction.
func parseNumber(s string) (n number, ok bool) {
	whole, fraction, dot := strings.Cut(s, ".")
	if !digits(whole) || dot && !digits(fraction) {
		return number{}, false
	}
	return number{strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")}, true
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func (n number) compare(m number) int {
	return cmp.Or(
		cmp.Compare(len(n.whole), len(m.whole)),
		cmp.Compare(n.whole, m.whole),
		cmp.Compare(n.fraction, m.fraction))
}
