package gitcli

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A git that is killed leaves locks and temporary files in its mirror. A mirror
// has one user at a time, so what is found there between two commands belongs
// to nobody: a lock would only block, and the rest would pile up.

// removeLeftovers removes them before the first fetch of this process, and
// before the next one whenever a git command has failed or complained since.
func (m *Mirror) removeLeftovers() {
	if m.c.cache.isClean(m.dir) {
		return
	}
	// What cannot be removed, git will complain of.
	filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if rel, err := filepath.Rel(m.dir, path); err == nil && leftover(filepath.ToSlash(rel)) {
			os.RemoveAll(path)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
}

// leftover says whether a path of a mirror is something that git removes or
// renames before it ends. No branch can have such a name.
func leftover(path string) bool {
	name := path[strings.LastIndexByte(path, '/')+1:]
	if strings.HasSuffix(name, ".lock") || strings.HasPrefix(path, "fast_import_crash_") {
		return true
	}
	return strings.HasPrefix(path, "objects/") && (strings.HasPrefix(name, "tmp_") || strings.HasSuffix(name, ".keep"))
}
