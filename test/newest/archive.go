package newest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// suites are where the newest sources are looked for, best first.
var suites = []string{"sid", "forky"}

// archive is Debian's, of one suite, with an apt configuration of its own.
type archive struct {
	dir string
	env []string
}

// newArchive reads the list of the newest suite that answers. It writes to dir,
// which must not be moved while the archive is used.
func newArchive(ctx context.Context, dir string) (*archive, error) {
	if _, err := os.Stat(keyring); err != nil {
		return nil, fmt.Errorf("check Debian's keys: %w: install debian-archive-keyring", err)
	}
	var failures []error
	for _, suite := range suites {
		a := &archive{dir: filepath.Join(dir, suite)}
		config := filepath.Join(a.dir, "apt.conf")
		a.env = []string{"APT_CONFIG=" + config}
		for _, d := range []string{"lists/partial", "archives/partial"} {
			if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
				return nil, err
			}
		}
		// Proxies and the like stay as the machine has them. A mirror that lags
		// has sources that are signed and new enough.
		settings := fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "%[1]s/lists";
Dir::Cache "%[1]s";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "";
`, a.dir)
		source := fmt.Sprintf("deb-src [signed-by=%s] http://deb.debian.org/debian %s main\n", keyring, suite)
		if err := errors.Join(
			os.WriteFile(config, []byte(settings), 0o644),
			os.WriteFile(filepath.Join(a.dir, "sources.list"), []byte(source), 0o644),
		); err != nil {
			return nil, err
		}
		// Without --error-on=any an archive that is away is only warned of.
		_, err := run(ctx, a.dir, a.env, "apt-get", "-q", "update", "--error-on=any")
		if err == nil {
			return a, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// source is upstream's tarball of one version.
type source struct{ pkg, full, version string }

// sources returns what the archive lists of a package, the newest first.
func (a *archive) sources(ctx context.Context, pkg string) ([]source, error) {
	text, err := run(ctx, a.dir, a.env, "apt-cache", "showsrc", "--only-source", pkg)
	if err != nil {
		return nil, err
	}
	found := parseSources(pkg, text)
	if len(found) == 0 {
		return nil, fmt.Errorf("no version of %s in Debian's list", pkg)
	}
	return found, nil
}

var versionField = regexp.MustCompile(`(?m)^Version: ((?:\d+:)?([^-~\s]+)-\S+)$`)

// parseSources reads the output of apt-cache showsrc. Release candidates (with
// a ~ in upstream's version) are left out.
func parseSources(pkg, text string) []source {
	var found []source
	for _, m := range versionField.FindAllStringSubmatch(text, -1) {
		found = append(found, source{pkg: pkg, full: m[1], version: m[2]})
	}
	slices.SortStableFunc(found, func(a, b source) int { return compareVersions(b.version, a.version) })
	return slices.CompactFunc(found, func(a, b source) bool { return a.version == b.version })
}

var numbers = regexp.MustCompile(`\d+`)

// compareVersions compares the numbers of two versions: 2.9.1 < 2.10, 10.3p1 <
// 10.3p2.
func compareVersions(a, b string) int {
	x, y := numbers.FindAllString(a, -1), numbers.FindAllString(b, -1)
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if c := cmp.Compare(m, n); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

var tarballLine = regexp.MustCompile(`(?m)^'(\S+)' (\S+\.orig\.tar\.(?:xz|gz|bz2)) \d+ (\S+)$`)

// fetch downloads upstream's tarball, checked against the archive's signed
// list, and returns its path.
func (a *archive) fetch(ctx context.Context, s source) (string, error) {
	text, err := run(ctx, a.dir, a.env, "apt-get", "source", "--print-uris", "--only-source", s.pkg+"="+s.full)
	if err != nil {
		return "", err
	}
	m := tarballLine.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("no tarball of %s %s in %s", s.pkg, s.full, strings.TrimSpace(text))
	}
	to := filepath.Join(a.dir, m[2])
	if _, err := run(ctx, a.dir, a.env, "/usr/lib/apt/apt-helper", "download-file", m[1], to, m[3]); err != nil {
		return "", err
	}
	return to, nil
}
