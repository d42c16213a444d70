package service

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"

	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns a logger to standard error, one line per record: format
// "json" or "console", level "debug", "info", "warn" or "error".
func NewLogger(format, level string) (*zap.Logger, error) {
	return newLogger(os.Stderr, format, level)
}

func newLogger(w io.Writer, format, level string) (*zap.Logger, error) {
	lines := zap.NewProductionEncoderConfig()
	lines.EncodeTime = zapcore.ISO8601TimeEncoder
	lines.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case "json":
		encoder = zapcore.NewJSONEncoder(lines)
	case "console":
		lines.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(lines)
	default:
		return nil, fmt.Errorf("log format %q: want json or console", format)
	}
	// Zap's further levels would hide errors.
	threshold, err := zapcore.ParseLevel(level)
	if err != nil || threshold > zapcore.ErrorLevel {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), threshold)), nil
}

// forTemporal is the logger that the SDK writes to. A stack trace with every
// error would only show the SDK's own logging.
func forTemporal(logger *zap.Logger) log.Logger {
	never := zapslog.AddStacktraceAt(slog.Level(math.MaxInt))
	return log.NewStructuredLogger(slog.New(zapslog.NewHandler(logger.Core(), never)))
}
