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

// NewLogger returns a logger that writes one line per record to w. The format is
// "json" or "console", the level "debug", "info", "warn" or "error".
func NewLogger(w io.Writer, format, level string) (*zap.Logger, error) {
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	var encoder zapcore.Encoder
	switch format {
	case "json":
		encoder = zapcore.NewJSONEncoder(config)
	case "console":
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(config)
	default:
		return nil, fmt.Errorf("log format %q: want json or console", format)
	}
	// Zap also knows levels above error, which would hide errors.
	threshold, err := zapcore.ParseLevel(level)
	if err != nil || threshold > zapcore.ErrorLevel {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), threshold)), nil
}

// Slog returns a [slog.Logger] that writes to the same place. It adds no stack
// traces: they would only show the code that logs.
func Slog(logger *zap.Logger) *slog.Logger {
	noStacktrace := zapslog.AddStacktraceAt(slog.Level(math.MaxInt))
	return slog.New(zapslog.NewHandler(logger.Core(), noStacktrace))
}

// ForTemporal returns a logger for the Logger field of [client.Options].
func ForTemporal(logger *zap.Logger) log.Logger { return log.NewStructuredLogger(Slog(logger)) }
