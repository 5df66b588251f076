// Command install builds the programs that tests against a real Kubernetes API
// server need, unless they are there, and prints their folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/kainlite/gitops-operator/test/apiserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := apiserver.Install(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
