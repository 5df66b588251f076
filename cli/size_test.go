package cli

import "testing"

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"1GiB": 1 << 30, "2Gi": 2 << 30, "500MB": 500_000_000, "500M": 500_000_000, "1.5 GiB": 3 << 29, "1TB": 1_000_000_000_000,
		"2048KiB": 2 << 20, "1073741824": 1 << 30, "1073741824B": 1 << 30, "1MiB": 1 << 20,
		"": 0, "0": 0, "500": 0, "500m": 0, "1000KB": 0, "-1GiB": 0, "1e9": 0, "GiB": 0, "1GiBs": 0, "1PiB": 0, "999999999TiB": 0, "1,5GiB": 0,
	} {
		got, err := parseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	for bytes, want := range map[int64]string{1 << 30: "1GiB", 3 << 29: "1536MiB", 500_000_000: "500000000"} {
		if got := (size{&bytes}).String(); got != want {
			t.Errorf("%d is written %q, want %q", bytes, got, want)
		}
	}
}
