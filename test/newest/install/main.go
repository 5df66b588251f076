// Command install builds the newest git and OpenSSH for tests, unless they are
// there, and prints each with its version and its directory.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/kainlite/gitops-operator/test/newest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	builds, err := newest.Install(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, b := range builds {
		fmt.Println(b, b.Dir)
	}
}
