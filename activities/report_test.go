package activities_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
	"sessionkeeper/sandbox/simulator"
)

const (
	starts    = "WARN: Call failed, trying again"
	recovered = "INFO: Call succeeded after failed attempts"
	blocks    = "ERROR: Call rejected, an operator is needed"
	over      = "INFO: Session has ended already"
)

func TestLogHasOneLineWhenACallStartsToFailAndOneAtItsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults []simulator.Fault
		want   []string
	}{
		"success":                      {nil, nil},
		"success after many failures":  {[]simulator.Fault{fault(20, unavailable)}, []string{starts, recovered}},
		"success after two kinds":      {[]simulator.Fault{fault(2, unavailable), fault(2, customerError)}, []string{starts, recovered}},
		"blocked at once":              {[]simulator.Fault{fault(0, simulator.Answer{ErrorReason: "NO_ACCESS"})}, []string{blocks}},
		"blocked after a few tries":    {[]simulator.Fault{fault(0, customerError)}, []string{starts, blocks}},
		"already over":                 {[]simulator.Fault{fault(0, notFound)}, []string{over}},
		"already over, after failures": {[]simulator.Fault{fault(5, unavailable), fault(0, notFound)}, []string{starts, over}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			l.inject(c.faults...)
			require.Equal(t, c.want, attempts(t, l.do, conversation.End, request()).log)
		})
	}
}

func TestRecalledAttemptSaysNothing(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]trouble{"retry": status(503), "operator": reason("NO_ACCESS")} {
		for _, recalled := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, 10*time.Second)
				how(l)
				around := &surroundings{now: time.Now}
				options := around.options()
				background, cancel := context.WithCancel(t.Context())
				defer cancel()
				options.BackgroundActivityContext = background
				if recalled {
					cancel()
				}
				got := attemptIn(t, around, options, l.do, conversation.End, request(), nil)
				require.NotNil(t, got.failure)
				require.Equal(t, recalled, len(got.log) == 0, got.log)
			})
		}
	}
}

func TestThirdFailedAttemptTellsTheWorkflowOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		faults    []simulator.Fault
		lost      int
		signalled int
		attempts  int // in the signal
		wantEnd   bool
	}{
		"no failure":               {nil, 0, 0, 0, true},
		"two failures":             {[]simulator.Fault{fault(2, unavailable)}, 0, 0, 0, true},
		"three failures":           {[]simulator.Fault{fault(3, unavailable)}, 0, 1, 3, true},
		"many failures":            {[]simulator.Fault{fault(30, unavailable)}, 0, 1, 3, true},
		"lost signals are resent":  {[]simulator.Fault{fault(30, unavailable)}, 4, 5, 7, true},
		"the last one is lost too": {[]simulator.Fault{fault(5, unavailable)}, 9, 3, 0, true},
		"the third one blocks":     {[]simulator.Fault{fault(0, customerError)}, 0, 0, 0, false},
		"the fifth one blocks": {
			[]simulator.Fault{fault(0, simulator.Answer{ErrorReason: "END_SESSION_FAILED"})}, 0, 1, 3, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			l.inject(c.faults...)
			around := &surroundings{signalFails: c.lost}
			begin := time.Now()
			got := attemptsIn(t, around, l.do, conversation.End, request())
			require.Equal(t, c.wantEnd, got.failure == nil)
			require.Len(t, around.signalled, c.signalled)
			if c.attempts == 0 {
				require.Empty(t, got.signals)
				return
			}
			require.Equal(t, workflowID+" default-test-run-id call-failing", around.signalled[0])
			require.Len(t, got.signals, 1)
			report := got.signals[0]
			require.Equal(t, activityID, report.ActivityID)
			require.Equal(t, c.attempts, report.Attempts)
			require.Equal(t, c.attempts, report.Answer.Attempt)
			require.NotEmpty(t, report.Answer.Reason)
			require.WithinRange(t, report.Since, begin, report.Answer.At)
			require.NotEqual(t, report.Since, report.Answer.At, "since the first failure")
			requireNoPersonalData(t, report)
		})
	}
}

// The calls of many conversations find the same token rejected, one way or the other.
func TestLoginsOfManyCalls(t *testing.T) {
	t.Parallel()
	const calls = 120
	for name, c := range map[string]struct {
		how    trouble
		logins int
		reason string
	}{
		"no failure": {func(*lab) {}, 1, ""},
		"expired":    {func(l *lab) { l.ExpireTokens() }, 2, ""},
		"401":        {status(401), 2, "UNAUTHORIZED"},
		"403":        {status(403), 2, "FORBIDDEN"},
		"403 of the request limit": {
			answer(simulator.Answer{Status: 403, Symbol: "REQUEST_LIMIT_EXCEEDED"}), 1, "RATE_LIMIT_EXCEEDED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 10*time.Second)
			require.Nil(t, attempt(t, l.do, conversation.Inactivate, request(), nil).failure) // takes a token
			c.how(l)
			var all sync.WaitGroup
			for range calls {
				all.Go(func() {
					got := attempt(t, l.do, conversation.Inactivate, request(), nil)
					if got.answer.Reason != c.reason {
						t.Errorf("want %q, got %q", c.reason, got.answer.Reason)
					}
				})
			}
			all.Wait()
			require.Len(t, l.requests(tokenPath), c.logins)
		})
	}
}

// The token endpoint refuses for a while: the calls share its refusals too.
func TestLoginsOfManyCallsWhileTheEndpointRefuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, 10*time.Second)
	token(400, "invalid_grant", 0)(l)
	begin := time.Now()
	for range 120 {
		require.Equal(t, "TOKEN_INVALID_GRANT", attempt(t, l.do, conversation.End, request(), nil).answer.Reason)
	}
	require.LessOrEqual(t, len(l.requests(tokenPath)), 1+int(time.Since(begin)/time.Second))
}

func TestPassingTokenFailureBlocksNothing(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]simulator.Answer{
		"unknown_error":       {Status: 400, Symbol: "unknown_error", Message: "retry your request"},
		"login rate exceeded": {Status: 400, Symbol: "invalid_grant", Message: "login rate exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, activities.Retry, activities.Decide(&interaction.Error{NotSent: true, Err: &interaction.TokenError{
				HTTPStatus: a.Status, Code: a.Symbol, Description: a.Message,
			}}).Verdict)
		})
	}
	t.Run("a refusal that passes within a minute", func(t *testing.T) {
		t.Parallel()
		calls := 0
		refused := &interaction.Error{NotSent: true, Err: &interaction.TokenError{HTTPStatus: 400, Code: "invalid_grant"}}
		api := apiFunc(func(context.Context, interaction.Request) (interaction.Response, error) {
			if calls++; calls < 4 {
				return interaction.Response{}, refused
			}
			return interaction.Response{HTTPStatus: 200}, nil
		})
		do := newActivities(api)
		got := attempts(t, do, conversation.End, request())
		require.Nil(t, got.failure)
		require.Equal(t, time.Minute, got.began[3].Round(time.Second))

		calls = -100
		got = attempts(t, do, conversation.End, request())
		require.Equal(t, "TOKEN_INVALID_GRANT", got.failure.Type())
		require.Equal(t, 4, got.answer.Attempt)
	})
}
