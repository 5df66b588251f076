package gitcli

import (
	"slices"
	"strings"
	"testing"
)

func TestParseTags(t *testing.T) {
	a, b, c := strings.Repeat("a", 40), strings.Repeat("b", 40), strings.Repeat("c", 64)
	out := a + "\trefs/tags/v1\n" + // annotated
		b + "\trefs/tags/v1^{}\n" +
		a + "\trefs/tags/v2\n" +
		c + "\trefs/tags/release/3\n" +
		"nonsense\trefs/tags/v4\n" +
		a + "\trefs/heads/v5\n" +
		b + "\trefs/tags/gone^{}\n" +
		a + "\n"
	want := []Tag{{"v1", b}, {"v2", a}, {"release/3", c}}
	if got := parseTags(out); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
