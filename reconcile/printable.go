package reconcile

import (
	"github.com/kainlite/gitops-operator/internal/text"
	"github.com/kainlite/gitops-operator/mask"
)

// maxMessage bounds a result's message, in bytes.
const maxMessage = 2000

// printable makes one bounded line of a message, without passwords of URLs. Its parts have been checked or
// quoted where they came in; this is for what nobody foresaw, since messages are
// shown on terminals and in chats.
func printable(s string) string { return text.Cut(text.Printable(mask.Text(s)), maxMessage) }
