package text_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/kainlite/gitops-operator/internal/text"
)

func TestPrintable(t *testing.T) {
	if got := text.Printable("a\x1b[31m\nb\u202ec é"); got != "a?[31m?b?c é" {
		t.Errorf("%q", got)
	}
}

func TestLine(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "",
		" a \r\n\t b\n":           "a     b",
		"a\x1b[31mb\u202ec\xff d": "a[31mbc d",
		"123456789":               "123456789",
		"1234567890":              "1234567890",
		"12345678901":             "1234567890...",
		"123456789é":              "123456789...", // not half a character
	} {
		if got := text.Line(s, 10); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x00b\u2028c", 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 0 {
			return
		}
		got := text.Line(s, max)
		if len(got) > max+len("...") || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q holds %q", got, r)
			}
		}
	})
}
