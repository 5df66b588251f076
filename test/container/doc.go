// Package container tests the operator as its container runs it: the user, the
// read-only root, the volumes and the environment are read from deploy/base and
// from the Dockerfile, and the root file system has little but this machine's
// programs. It needs root, to mount. Seccomp profiles and memory limits are
// left to real container runtimes.
package container
