package demo

import (
	"os"

	"go.uber.org/zap"

	"sessionkeeper/internal/telemetry"
)

// NewLogger returns a logger for the demo's worker: level "debug", "info",
// "warn", "error" or "off". Off is the usual choice, because the faults are part
// of the example and the table shows what came of them.
func NewLogger(level string) (*zap.Logger, error) {
	if level == "off" {
		return zap.NewNop(), nil
	}
	return telemetry.NewLogger(os.Stderr, "console", level)
}
