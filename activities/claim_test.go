package activities_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
)

// temporalServer acknowledges heartbeats, as long as it can be reached.
type temporalServer struct {
	activities.TemporalClient
	heartbeats atomic.Int32
	answer     func() error
}

func (s *temporalServer) RecordActivityHeartbeat(ctx context.Context, _ []byte, _ ...any) error {
	s.heartbeats.Add(1)
	err := s.answer()
	if errors.Is(err, errNoAnswer) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

var errNoAnswer = errors.New("no answer")

func acknowledge() error { return nil }

// claimed runs a call that lasts in virtual time under a claim. It returns how long the call
// could last, and the error of its context.
func claimed(t *testing.T, age, lasts time.Duration, answer func() error) (took time.Duration, heartbeats int, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := &temporalServer{answer: answer}
		began := time.Now()
		held, claimErr := activities.NewClaim(t.Context(), began.Add(-age), activities.HeartbeatTimeout,
			func(ctx context.Context) error { return server.RecordActivityHeartbeat(ctx, nil) })
		if err = claimErr; err == nil {
			select {
			case <-held.Done():
			case <-time.After(lasts):
			}
			err = held.Err()
			held.Release()
		}
		took, heartbeats = time.Since(began), int(server.heartbeats.Load())
	})
	return took, heartbeats, err
}

// A usual call sends no heartbeat: Temporal Cloud would bill it. One that lasts sends some,
// and may last as long as Temporal acknowledges them.
func TestHeartbeatsOnlyOfCallsThatLast(t *testing.T) {
	t.Parallel()
	_, heartbeats, err := claimed(t, 0, 2900*time.Millisecond, acknowledge)
	require.NoError(t, err)
	require.Zero(t, heartbeats)
	_, heartbeats, err = claimed(t, 0, 40*time.Second, acknowledge)
	require.NoError(t, err)
	require.Equal(t, 13, heartbeats)
}

// The call ends before Temporal may start another attempt, which is HeartbeatTimeout after
// the last heartbeat that it has acknowledged.
func TestCallEndsBeforeAnotherAttemptBegins(t *testing.T) {
	t.Parallel()
	unavailable := func() error { return serviceerror.NewUnavailable("away") }
	hangs := func() error { return errNoAnswer }
	for name, answer := range map[string]func() error{"unavailable": unavailable, "no answer": hangs} {
		took, _, err := claimed(t, 0, time.Minute, answer)
		require.ErrorIs(t, err, context.Canceled, name)
		require.Equal(t, 8*time.Second, took, name)
	}
	for name, then := range map[string]func() error{"unavailable": unavailable, "no answer": hangs} {
		acknowledged := 2
		took, _, err := claimed(t, 0, time.Minute, func() error {
			if acknowledged--; acknowledged < 0 {
				return then()
			}
			return nil
		})
		require.ErrorIs(t, err, context.Canceled, name)
		require.Equal(t, 6*time.Second+8*time.Second, took, name+": counted from when the last one was sent")
	}
	// Temporal says that the attempt is over.
	took, _, err := claimed(t, 0, time.Minute, func() error { return serviceerror.NewNotFound("over") })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3*time.Second, took)
}

// A cancelled, paused or reset call may end: Temporal waits for it.
func TestCancelledCallMayLast(t *testing.T) {
	t.Parallel()
	for _, answer := range []error{temporal.NewCanceledError(), activity.ErrActivityPaused, activity.ErrActivityReset} {
		_, _, err := claimed(t, 0, 20*time.Second, func() error { return answer })
		require.NoError(t, err)
	}
}

// A task that was started some time ago may be over: the process was stopped, or its clock
// differs. Temporal knows.
func TestOldTaskAsksTemporalFirst(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{-time.Minute, -2 * time.Second, 2 * time.Second, time.Hour} {
		took, heartbeats, err := claimed(t, age, time.Second, acknowledge)
		require.NoError(t, err)
		require.Equal(t, 1, heartbeats)
		require.Equal(t, time.Second, took)
		for _, answer := range []error{serviceerror.NewNotFound("over"), serviceerror.NewUnavailable("away"), errNoAnswer} {
			took, _, err = claimed(t, age, time.Minute, func() error { return answer })
			require.Error(t, err)
			require.LessOrEqual(t, took, 2*time.Second)
		}
	}
	for _, age := range []time.Duration{-time.Second, 0, time.Second} {
		_, heartbeats, err := claimed(t, age, time.Second, acknowledge)
		require.NoError(t, err)
		require.Zero(t, heartbeats)
	}
}

// The timer of a process that was stopped may be late. The clock is not.
func TestClaimEndsByTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held, err := activities.NewClaim(t.Context(), time.Now(), activities.HeartbeatTimeout,
			func(context.Context) error { return serviceerror.NewUnavailable("away") })
		require.NoError(t, err)
		defer held.Release()
		held.StopTimer()
		time.Sleep(8*time.Second - time.Nanosecond)
		require.NoError(t, held.Err())
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, held.Err(), context.Canceled)
	})
}

// slowAPI answers after the call was interrupted.
type slowAPI struct{}

func (slowAPI) MessagingSession(ctx context.Context, _ interaction.Request) (interaction.Response, error) {
	<-ctx.Done()
	return interaction.Response{}, &interaction.Error{Requests: 1, Err: ctx.Err()}
}

// An interrupted call is tried again, and says nothing about the org.
func TestInterruptedCall(t *testing.T) {
	t.Parallel()
	server := &temporalServer{answer: func() error { return serviceerror.NewNotFound("over") }}
	g := gate.New(gate.Options{})
	do := activities.NewWithClient(oneOrg{api: slowAPI{}, gate: g},
		func(context.Context) activities.TemporalClient { return server })
	got := attempt(t, do, conversation.End, request(), nil)
	require.Equal(t, activities.ReasonInterrupted, got.failure.Type())
	require.False(t, got.failure.NonRetryable())
	require.Equal(t, "End got no usable answer: the worker lost its connection to Temporal, so another one may make the call.",
		got.failure.Message())
	require.Equal(t, gate.Outcome{Kind: gate.NotSent}, activities.GateOutcome(activities.ErrInterrupted))
	require.Zero(t, g.Status().InFlight)
}
