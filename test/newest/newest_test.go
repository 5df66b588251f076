package newest

import (
	"slices"
	"testing"
)

func TestSourcesNewestFirst(t *testing.T) {
	const text = `Package: openssh
Version: 1:10.0p1-7+deb13u4

Package: openssh
Version: 1:9.9p2-1

Package: openssh
Version: 1:10.3p1-4

Package: openssh
Version: 1:10.3p1-3

Package: openssh
Version: 1:10.7~rc1-1
`
	var got []string
	for _, s := range parseSources("openssh", text) {
		got = append(got, s.full+" "+s.version)
	}
	want := []string{"1:10.3p1-4 10.3p1", "1:10.0p1-7+deb13u4 10.0p1", "1:9.9p2-1 9.9p2"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"2.9", "2.9.1", "2.10", "2.55.0", "10.0p1", "10.0p2", "10.3p1"}
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareVersions(a, b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare %s with %s: %d", a, b, got)
			}
		}
	}
}
