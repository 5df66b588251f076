// Command gitops-operator keeps the image tags of a manifests repository at the
// head commits of the applications' repositories: see README.md, and package cli
// for where to begin reading.
package main

import (
	"os"

	"github.com/kainlite/gitops-operator/cli"
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(cli.Main(version)) }
