package stack

import (
	"log/slog"
	"os"
)

// quiet is a logger for what only matters when it goes wrong.
func quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}
