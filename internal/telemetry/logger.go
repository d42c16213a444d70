package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"math"

	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
)

// NewLogger returns a logger that writes one line per record to w: format "json"
// or "console", level "debug", "info", "warn" or "error".
func NewLogger(w io.Writer, format, level string) (*zap.Logger, error) {
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

// Slog returns a [slog.Logger] that writes to the same place. It adds no stack
// trace to errors: it would only show the logging itself.
func Slog(logger *zap.Logger) *slog.Logger {
	never := zapslog.AddStacktraceAt(slog.Level(math.MaxInt))
	return slog.New(zapslog.NewHandler(logger.Core(), never))
}

// ForTemporal returns the logger for [client.Options].
func ForTemporal(logger *zap.Logger) log.Logger { return log.NewStructuredLogger(Slog(logger)) }
