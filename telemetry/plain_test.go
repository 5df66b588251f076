package telemetry

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/zap"
)

// What others wrote may reach a log, in the message and in fields, as JSON and
// for a terminal: it stays in its line, and does nothing to a terminal.
func TestLogsDoNothingToATerminal(t *testing.T) {
	const text = "a\x1b[31m\u009b2J\u202e\u200b\x7f\r\nforged\U000e0001"
	for _, format := range []string{"json", "console"} {
		var b bytes.Buffer
		log, err := NewLogger(&b, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Named("x").With(zap.String("with", text)).Info(text, zap.String("field", text))
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("%s: %q", format, b.String())
		}
		if strings.Count(b.String(), "\n") != 1 {
			t.Errorf("%s: more than one line: %q", format, b.String())
		}
		var entry struct{ Msg, Field, With string }
		if format == "json" {
			if err := json.Unmarshal(b.Bytes(), &entry); err != nil || entry.Field != text || entry.With != text || entry.Msg != "a?[31m?2J?????forged?" {
				t.Errorf("got %q, %v", entry, err)
			}
		}
	}
}
