// Command install builds the Gitea that tests run against, unless it is there,
// and prints its directory.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/kainlite/gitops-operator/test/gitea"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := gitea.Install(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
