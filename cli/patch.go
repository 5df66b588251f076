package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/kainlite/gitops-operator/patcher"
)

// Patch is the command patch: it shows, or writes, what the operator would change
// in files, and returns the exit code.
func Patch(args []string, stdout, stderr io.Writer) int {
	fs := New("patch", "--image NAME --tag TAG [--write] FILE ...")
	image := fs.String("image", "", "image `NAME`, without tag")
	tag := fs.String("tag", "", "new `TAG`")
	write := fs.Bool("write", false, "write the files instead of showing a diff")
	var name patcher.Name
	check := func(files []string) {
		var err error
		if name, err = patcher.ParseName(*image, true); err != nil {
			fs.Faultf("--image: %s", err)
		}
		if err := patcher.CheckTag(*tag); err != nil {
			fs.Faultf("--tag: %s", err)
		}
		if len(files) == 0 {
			fs.Faultf("FILE is missing")
		}
	}
	files, code, ok := fs.Parse(args, stdout, stderr, check)
	if !ok {
		return code
	}
	for _, file := range files {
		changed, err := patchFile(stdout, file, name, *tag, *write)
		switch {
		case err != nil:
			fmt.Fprintf(stderr, "%s: %s\n", file, err)
			code = ExitFailed
		case !changed:
			fmt.Fprintf(stderr, "%s: nothing to change, %s is at %s\n", file, name, *tag)
		case *write:
			fmt.Fprintf(stderr, "%s: written, %s is now at %s\n", file, name, *tag)
		}
	}
	return code
}

// patchFile shows, or writes, what the operator would change in one file, and
// says whether there is anything.
func patchFile(stdout io.Writer, file string, name patcher.Name, tag string, write bool) (changed bool, err error) {
	st, err := os.Lstat(file)
	if err != nil {
		return false, err
	}
	if !st.Mode().IsRegular() {
		return false, errors.New("not a regular file")
	}
	before, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	manifest, err := patcher.Parse(before)
	if err != nil {
		return false, err
	}
	after, err := manifest.SetTag(name, tag)
	if err != nil || bytes.Equal(before, after) {
		return false, err
	}
	if write {
		return true, replaceFile(file, after, st.Mode().Perm())
	}
	shown := strings.TrimPrefix(file, "/")
	_, err = stdout.Write(diff.Diff("a/"+shown, before, "b/"+shown, after))
	return true, err
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(file string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
