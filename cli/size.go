package cli

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// size is the value of a flag that is a number of bytes.
type size struct{ bytes *int64 }

// minSize catches a unit that was forgotten.
const minSize = 1 << 20

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(?:([KMGT])(i?))?B?$`)

// parseSize reads a size as 500MB, 500MiB or 2G: powers of 1000, or of 1024 with
// an i.
func parseSize(s string) (int64, error) {
	m := sizePattern.FindStringSubmatch(s)
	if m == nil {
		return 0, errors.New("not a size")
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, err
	}
	base := 1000.0
	if m[3] != "" {
		base = 1024
	}
	if m[2] != "" {
		n *= math.Pow(base, float64(1+strings.Index("KMGT", m[2])))
	}
	if n < minSize || n > 1<<60 {
		return 0, errors.New("too small or too large")
	}
	return int64(n), nil
}

func (s size) Set(v string) (err error) {
	n, err := parseSize(v)
	if err == nil {
		*s.bytes = n
	}
	return err
}

// String writes whole GiB or MiB as such.
func (s size) String() string {
	switch {
	case s.bytes == nil: // the flag package asks a zero value
		return ""
	case *s.bytes%(1<<30) == 0:
		return fmt.Sprintf("%dGiB", *s.bytes>>30)
	case *s.bytes%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", *s.bytes>>20)
	}
	return strconv.FormatInt(*s.bytes, 10)
}

// Get is for flag.Getter.
func (s size) Get() any { return s }
