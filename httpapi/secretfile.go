package httpapi

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"

	"go.uber.org/zap"
)

// maxSecret bounds what is read of a file that was named by mistake, in bytes.
const maxSecret = 64 << 10

// SecretFile is a file that holds one secret. It is read at every use, so that
// a change counts at once, however it is made: Kubernetes swaps a symbolic link.
// A file that cannot be used any more lets nobody in: whoever took the secret
// away meant it.
type SecretFile struct {
	path string
	log  *zap.Logger

	mu    sync.Mutex
	fault string // what was last logged; empty while the file can be used
}

// OpenSecretFile reads the file for the first time. The error says what is wrong
// with it, and nothing of what it holds.
func OpenSecretFile(path string, log *zap.Logger) (*SecretFile, error) {
	f := &SecretFile{path: path, log: log}
	if _, err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Value returns the secret as the file has it now. What keeps it from being read
// is logged once, and so is its end.
func (f *SecretFile) Value() (string, error) {
	value, err := f.read()
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault != f.fault {
		if f.fault = fault; err != nil {
			f.log.Error("secret file cannot be used: requests that need it are refused", zap.Error(err))
		} else {
			f.log.Info("secret file can be used again", zap.String("file", f.path))
		}
	}
	return value, err
}

func (f *SecretFile) read() (string, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // a pipe could be read only once
		return "", fmt.Errorf("%s is not a regular file", f.path)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(b))
	switch {
	case value == "":
		return "", fmt.Errorf("%s is empty", f.path)
	case len(b) > maxSecret:
		return "", fmt.Errorf("%s is too long for a secret", f.path)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "", fmt.Errorf("%s has more than one line, or control characters", f.path)
	}
	return value, nil
}
