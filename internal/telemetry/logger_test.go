package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// logged returns the lines that a logger with this format and level writes.
func logged(t *testing.T, format, level string) []string {
	t.Helper()
	var out bytes.Buffer
	logger, err := NewLogger(&out, format, level)
	require.NoError(t, err)
	logger.Debug("ours", zap.Duration("next", 1500*time.Millisecond))
	logger.Error("ours", zap.Error(errors.New("first\nsecond")))
	sdk := ForTemporal(logger)
	sdk.Debug("theirs")
	sdk.Info("theirs", "Attempt", 2)
	sdk.Warn("theirs")
	sdk.Error("theirs", "Error", errors.New("first\nsecond"), "StackTrace", "a\nb\nc")
	require.True(t, strings.HasSuffix(out.String(), "\n"))
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestEveryRecordIsOneLineWithoutStackTrace(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		lines := logged(t, format, "debug")
		require.Len(t, lines, 6, "%s: %s", format, strings.Join(lines, "\n"))
		for _, line := range lines {
			require.NotContains(t, line, "zapslog")
			require.NotContains(t, line, `"stacktrace"`)
		}
		require.Regexp(t, `"error": ?"first\\nsecond"`, lines[1])
		require.Regexp(t, `"Error": ?"first\\nsecond"`, lines[5])
	}
}

func TestJSONLogHasLevelMessageTimeAndFields(t *testing.T) {
	var record struct {
		Level, Msg, TS, Next string
		Error                string
	}
	require.NoError(t, json.Unmarshal([]byte(logged(t, "json", "debug")[0]), &record))
	require.Equal(t, "debug", record.Level)
	require.Equal(t, "ours", record.Msg)
	require.Equal(t, "1.5s", record.Next)
	at, err := time.Parse("2006-01-02T15:04:05.000Z0700", record.TS)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
}

func TestLogLevelHidesLowerLevels(t *testing.T) {
	for level, lines := range map[string]int{"debug": 6, "info": 4, "warn": 3, "error": 2} {
		require.Len(t, logged(t, "json", level), lines, level)
		require.Len(t, logged(t, "console", level), lines, level)
	}
}

func TestNewLoggerRejectsUnknownFormatAndLevel(t *testing.T) {
	_, err := NewLogger(io.Discard, "xml", "info")
	require.EqualError(t, err, `log format "xml": want json or console`)
	for _, level := range []string{"verbose", "fatal", "panic"} {
		_, err = NewLogger(io.Discard, "json", level)
		require.EqualError(t, err, `log level "`+level+`": want debug, info, warn or error`)
	}
}
