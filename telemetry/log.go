// Package telemetry is how the operator is seen from outside: its logger, its
// Prometheus metrics, its traces. It decides names and formats; the other rooms
// only say what happened, and main brings the two together.
package telemetry

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns a logger that writes to w, as JSON lines or,
// with format "console", for a terminal.
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
	switch format {
	case "json":
	case "console":
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		c.EncodeDuration = zapcore.StringDurationEncoder
		encoder = zapcore.NewConsoleEncoder(c)
	default:
		return nil, fmt.Errorf("unknown log format %q: use json or console", format)
	}
	return zap.New(zapcore.NewCore(oneLine{encoder}, zapcore.Lock(zapcore.AddSync(Plain(w))), at)), nil
}
