// Package telemetry is how the operator is seen from outside: its logger, its
// Prometheus metrics, its traces. It decides names and formats; the other
// packages only say what happened, and operator brings the two together.
package telemetry

import (
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns a logger that writes to w: as JSON lines; with format
// "console", for a terminal; with "bunyan", as JSON lines that the bunyan command
// reads.
func NewLogger(w io.Writer, level, format string) (*zap.Logger, error) {
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("unknown log level %q: use debug, info, warn or error", level)
	}
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.NameKey = "time", "target"
	c.EncodeTime = zapcore.RFC3339TimeEncoder
	c.EncodeDuration = zapcore.SecondsDurationEncoder
	encoder := zapcore.NewJSONEncoder(c)
	var always []zap.Field
	switch format {
	case "json":
	case "bunyan":
		c.EncodeLevel = bunyanLevel
		encoder = zapcore.NewJSONEncoder(c)
		hostname, err := os.Hostname()
		if err != nil {
			hostname = "unknown" // the command asks for one
		}
		always = []zap.Field{zap.Int("v", 0), zap.String("name", "gitops-operator"), zap.String("hostname", hostname), zap.Int("pid", os.Getpid())}
	case "console":
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		c.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(c)
	default:
		return nil, fmt.Errorf("unknown log format %q: use json, console or bunyan", format)
	}
	return zap.New(zapcore.NewCore(oneLine{encoder}, zapcore.Lock(zapcore.AddSync(Plain(w))), at)).With(always...), nil
}

// bunyanLevel writes a level as bunyan numbers them.
func bunyanLevel(l zapcore.Level, enc zapcore.PrimitiveArrayEncoder) {
	switch {
	case l <= zapcore.DebugLevel:
		enc.AppendInt(20)
	case l == zapcore.InfoLevel:
		enc.AppendInt(30)
	case l == zapcore.WarnLevel:
		enc.AppendInt(40)
	case l == zapcore.ErrorLevel:
		enc.AppendInt(50)
	default:
		enc.AppendInt(60)
	}
}
