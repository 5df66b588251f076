package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"github.com/kainlite/gitops-operator/internal/text"
)

// Plain returns a writer for JSON that people look at on a terminal: characters
// that are not printable, which JSON allows as they are (8-bit controls, text
// that runs backwards), are written as \u escapes. It means the same to a
// reader. Each Write must end at a character's end, as encoders' do.
func Plain(w io.Writer) io.Writer { return plain{w} }

type plain struct{ io.Writer }

func (w plain) Write(p []byte) (int, error) {
	if bytes.IndexFunc(p, special) < 0 {
		return w.Writer.Write(p)
	}
	var b bytes.Buffer
	for from := p; len(from) > 0; {
		r, size := utf8.DecodeRune(from)
		switch {
		case !special(r):
			b.Write(from[:size])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		from = from[size:]
	}
	if _, err := w.Writer.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

func special(r rune) bool { return !unicode.IsPrint(r) && r != '\n' && r != '\t' }

// oneLine is an encoder that makes one printable line of each message, so that
// nobody can forge a second one.
type oneLine struct{ zapcore.Encoder }

func (e oneLine) Clone() zapcore.Encoder { return oneLine{e.Encoder.Clone()} }

func (e oneLine) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	entry.Message = text.Printable(entry.Message)
	return e.Encoder.EncodeEntry(entry, fields)
}
