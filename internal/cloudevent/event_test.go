package cloudevent_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/cloudevent"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

func TestMovedToKeepsDistances(t *testing.T) {
	e, err := cloudevent.Parse(statusEvent(t, object{"data": object{"sessionStartTime": "2026-01-15T08:00:00.5+0000"}}))
	require.NoError(t, err)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	moved := e.MovedTo(now, 60)
	require.Equal(t, now, moved.At)
	require.Equal(t, now, moved.Status.At)
	require.Equal(t, now.Add(-time.Minute), moved.Status.StartTime.Time, "one hour earlier, at 60 times the speed")
	require.NotEqual(t, now, e.Status.At, "the event itself is unchanged")

	e.Status.StartTime.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, speed := range []float64{0.001, 1, 1e6} {
		moved = e.MovedTo(now.AddDate(-500, 0, 0), speed)
		for _, at := range []time.Time{moved.At, moved.Status.StartTime.Time} {
			require.GreaterOrEqual(t, at.Year(), 1970)
			require.LessOrEqual(t, at.Year(), 9999)
		}
	}
	e.Status.StartTime, e.Status.EndTime = conversation.Timestamp{}, conversation.Timestamp{}
	require.True(t, e.MovedTo(now, 1).Status.EndTime.IsZero())
}

func TestSendSignalsWorkflow(t *testing.T) {
	server := temporaltest.Start(t)
	s := sender.New(server.Client(t), sender.Options{Window: new(conversation.Duration(0))})
	for kind, want := range map[string]string{
		cloudevent.TypeStarted: conversation.SignalStart, cloudevent.TypeMessage: conversation.SignalMessage,
		cloudevent.TypeClosed: conversation.SignalClose, cloudevent.TypeSessionStatus: conversation.SignalSessionStatus,
	} {
		line := cloudEvent(t, object{"type": kind})
		if kind == cloudevent.TypeSessionStatus {
			line = statusEvent(t, nil)
		}
		e, err := cloudevent.Parse(line)
		require.NoError(t, err)
		got, err := e.Send(t.Context(), s)
		require.NoError(t, err)
		require.Equal(t, sender.Sent, got)
		calls := server.Calls()
		last := calls[len(calls)-1]
		require.Equal(t, want, last.Name)
		require.Equal(t, "00D000000000001:c1", last.WorkflowID)
		require.Contains(t, string(last.Payload), `"sessionId":"0Mw000000000001"`)
		require.Contains(t, string(last.Payload), `"at":"2026-01-15T09:00:00.5Z"`)
	}
	_, err := cloudevent.Event{ID: "ev-9", Type: "other"}.Send(t.Context(), s)
	require.EqualError(t, err, "unknown type of event")
}
