package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// What the Web UI says of a conversation: its phase, why, and what happens next.
func TestDetailsSayWhyAndWhatIsNext(t *testing.T) {
	never := new(conversation.Duration(0))
	blocked := &conversation.Answer{Operation: conversation.End, Reason: "NO_ACCESS", Message: "Ask.", At: at(60)}
	inactive := func(s *State) { s.InactiveSince = at(600) }
	ended := func(why conversation.Why, by string) func(*State) {
		return func(s *State) { s.Outcome = &conversation.Outcome{Why: why, EndedBy: by, At: at(60)} }
	}
	both := func(changes ...func(*State)) func(*State) {
		return func(s *State) {
			for _, change := range changes {
				change(s)
			}
		}
	}
	for name, tt := range map[string]struct {
		change       func(*State)
		pending      *pendingCall
		reason, next string
	}{
		"Active": {
			func(*State) {}, nil,
			"Last activity: 2026-03-01T09:00:00Z.", "Inactivate at 2026-03-01T09:10:00Z, unless a message arrives.",
		},
		"never Inactive": {
			func(s *State) { s.Policy.InactivateAfter = never }, nil,
			"Last activity: 2026-03-01T09:00:00Z.", "waits for a close.",
		},
		"Inactive": {
			inactive, nil,
			"No activity since 2026-03-01T09:00:00Z, Inactive in Salesforce since 2026-03-01T09:10:00Z.",
			"End at 2026-03-01T10:10:00Z, unless a message arrives.",
		},
		"Inactive, never Ended": {
			both(inactive, func(s *State) { s.Policy.EndAfter = never }), nil,
			"No activity since", "Salesforce ends the session; a message makes it Active again.",
		},
		"Inactive, a lease is held": {
			both(inactive, func(s *State) { s.Leases = []lease{{Holder: "a", At: at(500), Until: at(700)}} }), nil,
			"No activity since", "Active again at 2026-03-01T09:12:10Z, unless the sender releases its lease.",
		},
		"Blocked": {
			func(s *State) { s.Blocked = blocked }, nil,
			"An operator is needed: `NO_ACCESS`. `Ask.`",
			"waits for an operator: remove the cause, then send the signal `retry`. " +
				"Otherwise the workflow fails at 2026-03-01T11:01:00Z.",
		},
		"Blocked for ever": {
			func(s *State) { s.Blocked, s.Policy.BlockedFor = blocked, never }, nil,
			"An operator is needed", "waits for an operator: remove the cause, then send the signal `retry`.",
		},
		"closing": {
			func(s *State) { s.Closing = &conversation.Closing{By: conversation.EndUser, At: at(60)} },
			&pendingCall{call: call{Request: activities.Request{By: conversation.EndUser}, Operation: conversation.End}},
			"Closing since 2026-03-01T09:01:00Z, by EndUser.", "End by EndUser is in flight; see the pending activity.",
		},
		"cancelled": {
			func(*State) {},
			&pendingCall{call: call{Operation: conversation.Inactivate}, cancelRequested: true},
			"Last activity", "Inactivate was cancelled; waits for its last attempt.",
		},
		"ended": {ended(conversation.Closed, "EndUser"), nil, "Closed by `EndUser` at 2026-03-01T09:01:00Z.", "nothing."},
		"idle": {
			ended(conversation.Idle, "System"), nil, "Ended after it was idle by `System` at 2026-03-01T09:01:00Z.", "nothing.",
		},
		"ended in Salesforce": {
			ended(conversation.EndedInSalesforce, ""), nil, "Ended in Salesforce at 2026-03-01T09:01:00Z.", "nothing.",
		},
		"already over": {
			ended(conversation.AlreadyOver, ""), nil, "Salesforce had ended the session before at 2026-03-01T09:01:00Z.", "nothing.",
		},
		"replaced": {ended(conversation.NewSession, ""), nil, "NewSession at 2026-03-01T09:01:00Z.", "nothing."},
		"events after the end": {
			both(ended(conversation.Closed, ""), func(s *State) { s.Next = active(s2) }), nil,
			"Closed at", "a new run continues with the events after the end.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := active(s1)
			tt.change(s)
			r := &runner{state: s, pendingCall: tt.pending}
			require.Contains(t, r.phaseReason(), tt.reason)
			require.Equal(t, tt.next, r.nextAction())
		})
	}
}

// The status has the times that come true if no event arrives, and no others.
func TestStatusHasNoTimeThatWillNotComeTrue(t *testing.T) {
	status := func(change func(*runner)) conversation.Status {
		r := &runner{state: active(s1)}
		r.state.Leases = []lease{{Holder: "a", At: at(1), Until: at(60)}}
		change(r)
		return r.status()
	}
	got := status(func(*runner) {})
	require.Equal(t, at(660), got.InactivateAt)
	require.Equal(t, at(60), got.LeaseUntil)
	require.Equal(t, at(4200), status(func(r *runner) { r.state.InactiveSince = at(600) }).EndAt)
	for name, change := range map[string]func(*runner){
		"closing": func(r *runner) { r.state.Closing = &conversation.Closing{} },
		"calling": func(r *runner) { r.pendingCall = &pendingCall{} },
		"Blocked": func(r *runner) { r.state.Blocked = &conversation.Answer{} },
		"Ended":   func(r *runner) { r.state.Outcome = &conversation.Outcome{} },
	} {
		got := status(change)
		require.Zero(t, got.InactivateAt, name)
		require.Zero(t, got.EndAt, name)
		require.Zero(t, got.LeaseUntil, name)
	}
}

// What the history says of a timer.
func TestTimerSummarySaysWhatTheTimerIsFor(t *testing.T) {
	s := active(s1)
	summary := func() string { return (&runner{state: s}).timerSummary(at(900)) }
	require.Equal(t, "Inactivate after 10m without activity, next check at 2026-03-01T09:15:00Z", summary())
	s.InactiveSince = at(600)
	require.Equal(t, "End at 2026-03-01T09:15:00Z unless a message arrives", summary())
	s.Leases = []lease{{Holder: "a", At: at(500), Until: at(700)}}
	require.Equal(t, "Active again at 2026-03-01T09:15:00Z unless the sender releases its lease", summary())
	s.Blocked = &conversation.Answer{At: at(60)}
	require.Equal(t, "fail at 2026-03-01T09:15:00Z unless an operator helps", summary())
}

func TestDetailsNameWhatWasReported(t *testing.T) {
	s := active(s1)
	r := &runner{state: s}
	require.Equal(t, "**Active.** Last activity: 2026-03-01T09:00:00Z.\n\n"+
		"**Next:** Inactivate at 2026-03-01T09:10:00Z, unless a message arrives.\n\n"+
		"Session: `0Mw000000000001`\n\nPolicy: Inactivate after 10m without activity, End 1h later", r.details())

	s.applyMessage(conversation.Message{At: at(5), Lease: conversation.Lease{
		Holder: "a", Duration: conversation.Duration(time.Minute),
	}}, at(5))
	s.SessionStatus, s.SessionStatusAt = conversation.StatusActive, at(6)
	s.LastAnswer = &conversation.Answer{
		Operation: conversation.Inactivate, By: conversation.System, AlreadyOver: true, HTTPStatus: 200, Attempt: 2, RequestID: "r1", At: at(7),
	}
	s.AliveAfterEnd = at(8)
	for _, want := range []string{
		"Last reported message: 2026-03-01T09:00:05Z",
		"A sender holds a lease: it collects messages and reports again by 2026-03-01T09:01:05Z",
		"Last status from Salesforce: `Active` (2026-03-01T09:00:06Z)",
		"Last answer from Salesforce: Inactivate by System: success (the session had ended before), HTTP 200, attempt 2, " +
			"RequestId `r1`, 2026-03-01T09:00:07Z",
		"Salesforce reported a session as alive that has ended (2026-03-01T09:00:08Z)",
	} {
		require.Contains(t, r.details(), want)
	}
}
