package activities_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/gate"
	"sessionkeeper/internal/interaction"
)

// A call of a paused org is not sent. The attempt counts as none, and does not say that the
// call fails.
func TestAttemptThatOnlyWaits(t *testing.T) {
	t.Parallel()
	l := newLab(t, time.Second)
	paused := gate.New(gate.Options{Settings: gate.Settings{Paused: "maintenance until six"}})
	l.do = activities.NewWithClient(oneOrg{api: failingAPI{}, gate: paused}, receiver)
	before := &progress{FailingSince: time.Now().Add(-time.Hour).UTC(), Capped: 1}
	got := attempt(t, l.do, conversation.End, request(), before)
	require.Equal(t, "WAITS_FOR_ORG_PAUSED", got.failure.Type())
	require.True(t, activities.IsWait(got.failure))
	require.False(t, got.failure.NonRetryable())
	require.Regexp(t, `^End has not been sent: it waits for org 00D000000000001: paused \(maintenance until six\), next try 20`,
		got.failure.Message())
	require.Positive(t, got.failure.NextRetryDelay())
	require.LessOrEqual(t, got.failure.NextRetryDelay(), gate.LongestWait)
	require.Equal(t, 1, got.heartbeat.Waits)
	require.Zero(t, got.answer.Attempt)
	require.Empty(t, got.signals)
	require.Empty(t, got.log)
	require.Equal(t, 1, got.heartbeat.Capped)
	require.Equal(t, before.FailingSince, got.heartbeat.FailingSince)
	require.False(t, activities.IsWait(errors.New("other")))
	require.False(t, activities.IsWait(temporal.NewNonRetryableApplicationError("", "WAITS_FOR_ORG_X", nil)))
}

// Temporal's backoff counts the attempts that only waited. A failure after them is tried
// again as soon as without them.
func TestWaitsDoNotSlowRetries(t *testing.T) {
	t.Parallel()
	var p activities.Progress
	failed := func(attempt int32) time.Duration {
		answer := conversation.Answer{Attempt: p.Attempt(attempt), At: time.Now()}
		_, err := p.Judge(&answer, &interaction.Error{Err: errors.New("connection reset")}, time.Hour, nil)
		failure, ok := errors.AsType[*temporal.ApplicationError](err)
		require.True(t, ok)
		return failure.NextRetryDelay()
	}
	require.Zero(t, failed(1), "the retry policy decides")
	for attempt := int32(2); attempt <= 9; attempt++ {
		answer := conversation.Answer{Attempt: p.Attempt(attempt)}
		_ = p.Wait(answer, "00D000000000001", &gate.Wait{State: gate.Busy})
	}
	require.Equal(t, 2*time.Second, failed(10))
	require.Equal(t, 4*time.Second, failed(11))
	require.Equal(t, time.Minute, failed(40))
}

// A reset of the activity begins the count of attempts anew, but keeps the heartbeat details.
func TestAttemptsAfterAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, time.Second)
	l.do = activities.NewWithClient(oneOrg{api: failingAPI{}, gate: gate.New(gate.Options{})}, receiver)
	got := attempt(t, l.do, conversation.End, request(), &progress{Waits: 7})
	require.Equal(t, 1, got.answer.Attempt)
	require.Zero(t, got.heartbeat.Waits)
}

// A refused call brings its turn with it, and is neither logged nor reported: a herd would
// do that for each of its calls.
func TestRateLimitedCallWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	l := newLab(t, time.Second)
	requests := 0
	l.api = func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	}
	g := gate.New(gate.Options{})
	l.do = activities.NewWithClient(oneOrg{api: l.client, gate: g}, receiver)
	got := attempt(t, l.do, conversation.End, request(), nil)
	require.Equal(t, activities.ReasonRateLimited, got.failure.Type())
	require.Greater(t, got.failure.NextRetryDelay(), 30*time.Second)
	require.WithinDuration(t, time.Now().Add(got.failure.NextRetryDelay()), got.heartbeat.Turn, 5*time.Second)
	require.Empty(t, got.log)

	got = attempt(t, l.do, conversation.Inactivate, request(), nil)
	require.Equal(t, "WAITS_FOR_ORG_RATE_LIMITED", got.failure.Type())
	require.Equal(t, 1, requests)
	require.Equal(t, gate.RateLimited, g.Status().State)
}

// Only what Salesforce did not answer says that the org cannot be reached.
func TestGateOutcome(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection reset")
	for name, test := range map[string]struct {
		err  error
		want gate.OutcomeKind
	}{
		"success":       {nil, gate.Answered},
		"reason":        {&interaction.Error{HTTPStatus: 503, Reason: interaction.ReasonInternalError}, gate.Answered},
		"code":          {&interaction.Error{HTTPStatus: 400, Code: "10055"}, gate.Answered},
		"migration":     {&interaction.Error{HTTPStatus: 400, Code: "10019"}, gate.NoAnswer},
		"404":           {&interaction.Error{HTTPStatus: 404}, gate.Answered},
		"500":           {&interaction.Error{HTTPStatus: 500}, gate.Answered},
		"429":           {&interaction.Error{HTTPStatus: 429}, gate.Limited},
		"limit":         {&interaction.Error{HTTPStatus: 403, Message: "request limit exceeded"}, gate.Limited},
		"503":           {&interaction.Error{HTTPStatus: 503}, gate.NoAnswer},
		"502, HTML":     {&interaction.Error{HTTPStatus: 502, Err: interaction.ErrMalformedResponse}, gate.NoAnswer},
		"200, HTML":     {&interaction.Error{HTTPStatus: 200, Err: interaction.ErrMalformedResponse}, gate.Answered},
		"network":       {&interaction.Error{Err: lost}, gate.NoAnswer},
		"timeout":       {&interaction.Error{Err: context.DeadlineExceeded}, gate.NoAnswer},
		"token refused": {&interaction.Error{NotSent: true, Err: &interaction.TokenError{HTTPStatus: 400}}, gate.Reachable},
		"token limit":   {&interaction.Error{NotSent: true, Err: &interaction.TokenError{HTTPStatus: 429}}, gate.Limited},
		"token network": {&interaction.Error{NotSent: true, Err: &interaction.TokenError{Err: lost}}, gate.NoAnswer},
		"invalid":       {&interaction.Error{NotSent: true, Err: interaction.ErrInvalidRequest}, gate.NotSent},
		"other":         {lost, gate.NotSent},
	} {
		require.Equal(t, test.want, activities.GateOutcome(test.err).Kind, name)
	}
}

// A call that Salesforce refuses for days needs an operator. One whose org is away does not.
func TestRefusalsAreLimited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err      error
		operator bool
	}{
		"internal error": {&interaction.Error{HTTPStatus: 200, Reason: interaction.ReasonInternalError}, true},
		"network":        {&interaction.Error{Err: errors.New("connection reset")}, false},
		"rate limit":     {&interaction.Error{HTTPStatus: 429}, false},
		"HTTP 503":       {&interaction.Error{HTTPStatus: 503}, false},
		"HTTP 500":       {&interaction.Error{HTTPStatus: 500}, true},
		"no token":       {&interaction.Error{NotSent: true, Err: &interaction.TokenError{Err: errors.New("refused")}}, false},
		"migration":      {&interaction.Error{HTTPStatus: 400, Code: "10019"}, false},
	} {
		var p activities.Progress
		tries := 0
		for verdict := activities.Retry; verdict == activities.Retry && tries < 10_000; tries++ {
			decision, err := p.Judge(&conversation.Answer{}, test.err, time.Hour, nil)
			require.Error(t, err)
			verdict = decision.Verdict
		}
		if test.operator {
			require.Equal(t, 3*24*60, tries, name)
		} else {
			require.Equal(t, 10_000, tries, name)
		}
	}
}

type failingAPI struct{}

func (failingAPI) MessagingSession(context.Context, interaction.Request) (interaction.Response, error) {
	return interaction.Response{}, errors.New("a call was sent")
}
