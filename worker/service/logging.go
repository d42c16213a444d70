package service

import (
	"fmt"
	"log/slog"

	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// NewLogger returns a logger to standard error: format "json" or "console",
// level "debug", "info", "warn" or "error".
func NewLogger(format, level string) (*zap.Logger, error) {
	config := zap.NewProductionConfig()
	if format == "console" {
		config = zap.NewDevelopmentConfig()
	} else if format != "json" {
		return nil, fmt.Errorf("log format %q: want json or console", format)
	}
	parsed, err := zap.ParseAtomicLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	config.Level = parsed
	config.DisableStacktrace = true
	config.Sampling = nil
	logger, err := config.Build()
	if err != nil {
		return nil, fmt.Errorf("build logger: %w", err)
	}
	return logger, nil
}

// forTemporal is the logger that the SDK writes to.
func forTemporal(logger *zap.Logger) log.Logger {
	return log.NewStructuredLogger(slog.New(zapslog.NewHandler(logger.Core())))
}
