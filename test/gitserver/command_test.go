package gitserver

import (
	"slices"
	"strings"
	"testing"
)

// sqQuote quotes as git does.
func sqQuote(s string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
}

var awkward = []string{
	"", " ", "'", "''", "!", "it's", "wow!", "!'!", `\`, `\'`, "a\nb", "\t", `"$(id)"`, "grün", "\xff", "-x", "a b  c",
}

func TestSplitCommandUndoesTheQuotingOfGit(t *testing.T) {
	c := client{t: t}
	for _, s := range awkward {
		quoted := c.mustGit("rev-parse", "--sq-quote", s)
		equal(t, "quoting of the test", " "+sqQuote(s), quoted)
		words, err := splitCommand("git-upload-pack" + quoted)
		if err != nil || !slices.Equal(words, []string{"git-upload-pack", s}) {
			t.Errorf("%q: got %q, %v", s, words, err)
		}
	}
}

func FuzzSplitCommand(f *testing.F) {
	for _, s := range awkward {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := splitCommand("git-upload-pack " + sqQuote(s))
		if strings.Contains(s, "\x00") {
			if err == nil {
				t.Errorf("NUL accepted: %q", words)
			}
		} else if err != nil || !slices.Equal(words, []string{"git-upload-pack", s}) {
			t.Errorf("quoted: got %q, %v", words, err)
		}
		// Unquoted, it is refused or split into words that can be quoted again.
		if words, err = splitCommand(s); err != nil {
			return
		}
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = sqQuote(word)
		}
		again, err := splitCommand(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("got %q, %v, want %q", again, err, words)
		}
	})
}
