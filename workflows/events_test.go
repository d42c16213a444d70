package workflows

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

// event is one event of a test.
type event struct {
	kind, session string
	seconds       int
	apply         func(*State, time.Time)
}

func (e event) String() string { return fmt.Sprintf("%s(%s)@%d", e.kind, e.session, e.seconds) }

func start(session string, seconds int) event {
	return event{"start", session, seconds, func(s *State, now time.Time) { s.applyStart(started(session, seconds), now) }}
}

func messaged(session string, seconds int) event {
	return event{"message", session, seconds, func(s *State, now time.Time) {
		s.applyMessage(conversation.Message{SessionID: session, At: at(seconds)}, now)
	}}
}

func hangup(session string, seconds int) event {
	return event{"close", session, seconds, func(s *State, now time.Time) {
		s.applyClose(conversation.Close{By: conversation.EndUser, SessionID: session, At: at(seconds)}, now)
	}}
}

func reported(status, session string, seconds int) event {
	return event{status, session, seconds, func(s *State, now time.Time) {
		s.applySessionStatus(
			conversation.SessionStatus{SessionID: session, Status: status, EndedByRole: "Agent", At: at(seconds)},
			now,
		)
	}}
}

// summarize writes what is visible of a state and of the next one.
func summarize(s *State) string {
	text := fmt.Sprintf("%s session=%.15s", s.Phase(), s.Identity.SessionID)
	if s.Phase() == conversation.Active && s.Closing == nil {
		text += " active=" + seconds(s.LastActivityAt)
	}
	if s.inactive() && s.Outcome == nil {
		text += " inactive=" + seconds(s.InactiveSince)
	}
	if s.Closing != nil && s.Outcome == nil {
		text += " closing=" + seconds(s.Closing.At)
	}
	if s.Outcome != nil {
		text += fmt.Sprintf(
			" outcome=%s by %s until=%s",
			s.Outcome.Why,
			s.Outcome.EndedBy,
			seconds(s.Outcome.EndsEventsUntil),
		)
	}
	if s.Next != nil {
		text += " | next: " + summarize(s.Next)
	}
	return text
}

func seconds(t time.Time) string { return fmt.Sprint(int(t.Sub(t0) / time.Second)) }

func TestEvents(t *testing.T) {
	const now = 1000
	for name, tt := range map[string]struct {
		state  *State
		events []event
		want   string
	}{
		"a message moves the deadline": {active(s1), []event{messaged("", 50)}, "Active session=" + s1 + " active=50"},
		"an older message does not move it back": {
			active(s1), []event{messaged("", 50), messaged("", 20)}, "Active session=" + s1 + " active=50",
		},
		"a future time counts as now":     {active(s1), []event{messaged("", 5000)}, "Active session=" + s1 + " active=1000"},
		"a message makes it Active again": {inactive(), []event{messaged(s1, 700)}, "Active session=" + s1 + " active=700"},
		"so does one from before our Inactivate": {
			inactive(), []event{messaged(s1, 599)}, "Active session=" + s1 + " active=599",
		},
		"but not one before Salesforce reported Inactive": {
			active(s1), []event{reported("Inactive", s1, 600), messaged(s1, 599)}, "Inactive session=" + s1 + " inactive=600",
		},
		"a message of an earlier session is ignored": {
			active(s1), []event{start(s2, 60), messaged(s1, 70)}, "Active session=" + s2 + " active=60",
		},
		"a close of an earlier session is ignored": {
			active(s1), []event{start(s2, 60), hangup(s1Long, 70)}, "Active session=" + s2 + " active=60",
		},
		"the end of an earlier session is ignored": {
			active(s1), []event{start(s2, 60), reported("Ended", s1, 70)}, "Active session=" + s2 + " active=60",
		},
		"without an id, the time tells the session": {
			active(s1), []event{start(s2, 60), hangup("", 50)}, "Active session=" + s2 + " active=60",
		},
		"even if the earlier session was never known": {
			newState(started(s2, 60), at(60)), []event{start(s2, 60), hangup("", 50)}, "Active session=" + s2 + " active=60",
		},
		"an unknown session is earlier by its time": {
			newState(started(s2, 60), at(60)), []event{hangup(s1, 50)}, "Active session=" + s2 + " active=60",
		},
		"or newer by its time": {active(s1), []event{messaged(s2, 50)}, "Active session=" + s2 + " active=50"},
		"a newer session drops a close and a block": {
			blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20),
			[]event{reported("New", s2, 50)},
			"Active session=" + s2 + " active=50",
		},
		"15 and 18 characters are one session": {
			active(s1), []event{hangup(s1Long, 50)}, "Active session=" + s1 + " closing=50",
		},
		"the session's id becomes known":    {active(""), []event{messaged(s1, 50)}, "Active session=" + s1 + " active=50"},
		"its long form does not replace it": {active(s1), []event{start(s1Long, 0)}, "Active session=" + s1 + " active=0"},
		"a close":                           {active(s1), []event{hangup("", 50)}, "Active session=" + s1 + " closing=50"},
		"a message after a close belongs to the next session": {
			active(s1),
			[]event{hangup("", 50), messaged("", 51)},
			"Active session=" + s1 + " closing=50 | next: Active session= active=51",
		},
		"a later close covers that message": {
			active(s1), []event{hangup("", 50), messaged("", 51), hangup("", 52)}, "Active session=" + s1 + " closing=52",
		},
		"a message before a close belongs to its session": {
			active(s1), []event{hangup("", 50), messaged("", 49)}, "Active session=" + s1 + " closing=50",
		},
		"a new session after a close needs no call": {
			active(s1), []event{hangup("", 50), start(s2, 60)}, "Active session=" + s2 + " active=60",
		},
		"a close that came before its session": {
			active(s1), []event{hangup("", 70), start(s2, 60)}, "Active session=" + s2 + " closing=70",
		},
		"a message that came before its session": {
			active(s1), []event{messaged("", 70), start(s2, 60)}, "Active session=" + s2 + " active=70",
		},
		"a message drops a Blocked close": {
			blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20),
			[]event{messaged("", 30)},
			"Active session=" + s1 + " active=30",
		},
		"an older message does not drop it": {
			blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20),
			[]event{messaged("", 5)},
			"Blocked session=" + s1 + " closing=10",
		},
		"a message continues from Blocked": {
			blocked(active(s1), conversation.Inactivate, 20), []event{messaged("", 30)}, "Active session=" + s1 + " active=30",
		},
		"a close continues from Blocked": {
			blocked(active(s1), conversation.Inactivate, 20), []event{hangup("", 30)}, "Active session=" + s1 + " closing=30",
		},
		"a close retries a Blocked close": {
			blocked(closing(active(s1), conversation.System, 10), conversation.End, 20),
			[]event{hangup("", 5)},
			"Active session=" + s1 + " closing=10",
		},
		"Salesforce ended it": {
			active(s1),
			[]event{reported("Ended", s1, 50)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"Salesforce ended it while Blocked": {
			blocked(active(s1), conversation.Inactivate, 20),
			[]event{reported("Ended", s1, 50)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"Salesforce ended it during a close": {
			closing(active(s1), conversation.EndUser, 40),
			[]event{reported("Ended", s1, 50)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"Salesforce ended it, after a later status": {
			active(s1),
			[]event{reported("Active", s1, 60), reported("Ended", s1, 50)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"a close after the end is a repetition": {
			active(s1),
			[]event{reported("Ended", s1, 50), hangup("", 60)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"a message before the end belongs to it": {
			active(s1),
			[]event{hangup("", 10), messaged("", 20), reported("Ended", s1, 50)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"a message after the end belongs to the next session": {
			active(s1),
			[]event{reported("Ended", s1, 50), messaged("", 60)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50 | next: Active session= active=60",
		},
		"a message that names the ended session belongs to the past": {
			active(s1),
			[]event{reported("Ended", s1, 50), messaged(s1, 60)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"which may be closed": {
			active(s1),
			[]event{reported("Ended", s1, 50), start(s2, 60), messaged(s2, 70), hangup(s2, 80)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50 | next: Active session=" + s2 + " closing=80",
		},
		"which may be replaced": {
			active(s1),
			[]event{reported("Ended", s1, 50), start(s2, 60), start(s3, 90)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50 | next: Active session=" + s3 + " active=90",
		},
		"Salesforce reports Inactive": {
			active(s1), []event{reported("Inactive", s1, 50)}, "Inactive session=" + s1 + " inactive=50",
		},
		"which removes a Blocked Inactivate": {
			blocked(active(s1), conversation.Inactivate, 40),
			[]event{reported("Inactive", s1, 50)},
			"Inactive session=" + s1 + " inactive=50",
		},
		"which does not remove a Blocked End": {
			blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20),
			[]event{reported("Inactive", s1, 50)},
			"Blocked session=" + s1 + " inactive=50 closing=10",
		},
		"which is ignored after a newer message": {
			active(s1), []event{messaged("", 60), reported("Inactive", s1, 50)}, "Active session=" + s1 + " active=60",
		},
		"Salesforce reports that it waits for a rep": {
			inactive(), []event{reported("Waiting", s1, 700)}, "Active session=" + s1 + " active=700",
		},
		"an unknown status is only recorded": {
			active(s1), []event{reported("Paused", s1, 50)}, "Active session=" + s1 + " active=0",
		},
		"the end of a session without a known id": {
			active(""),
			[]event{reported("Ended", s1, 50)},
			"Ended session=" + s1 + " outcome=EndedInSalesforce by Agent until=50",
		},
		"a retry continues from Blocked": {
			blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20),
			[]event{{kind: "retry", apply: func(s *State, _ time.Time) { s.applyRetry() }}},
			"Active session=" + s1 + " closing=10",
		},
		"a repeated start is no new session": {
			active(s1), []event{hangup("", 50), start(s1, 60)}, "Active session=" + s1 + " closing=50",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range tt.events {
				e.apply(tt.state, at(now))
			}
			require.Equal(t, tt.want, summarize(tt.state))

			if len(tt.events) > 1 {
				return
			}
			tt.events[0].apply(tt.state, at(now))
			require.Equal(t, tt.want, summarize(tt.state), "sent twice, it changes nothing more")
		})
	}
}

// An event that is sent twice changes nothing the second time. So a call that is due
// stays due.
func TestDuplicatesChangeNothing(t *testing.T) {
	for _, e := range []event{
		start(s1, 0), messaged(s1, 50), hangup(s1, 60), reported("Inactive", s1, 70), reported("Ended", s1, 80),
	} {
		s := active(s1)
		messaged(s1, 50).apply(s, at(50))
		e.apply(s, at(100))
		before, err := json.Marshal(s)
		require.NoError(t, err)
		e.apply(s, at(900))
		after, err := json.Marshal(s)
		require.NoError(t, err)
		require.JSONEq(t, string(before), string(after), e.String())
	}
}

func TestUnknownStatusIsRecorded(t *testing.T) {
	s := active(s1)
	reported("Consent", s1, 50).apply(s, at(60))
	require.Equal(t, "Consent", s.SessionStatus)
	require.Equal(t, at(50), s.SessionStatusAt)
	reported("Paused", s1, 40).apply(s, at(60))
	require.Equal(t, "Consent", s.SessionStatus, "an older status does not replace it")
}

// A status without a time has the time of the session's end, or of now. The start of
// the session tells the order of the sessions.
func TestSessionStatusTimes(t *testing.T) {
	s := active(s1)
	s.applySessionStatus(
		conversation.SessionStatus{SessionID: s1, Status: "Ended", EndTime: conversation.Timestamp{Time: at(30)}},
		at(60),
	)
	require.Equal(t, at(30), s.Outcome.EndsEventsUntil)

	s = newState(started(s2, 50), at(50))
	s.applySessionStatus(
		conversation.SessionStatus{SessionID: s1, Status: "Ended", StartTime: conversation.Timestamp{Time: at(10)}},
		at(60),
	)
	require.Equal(t, conversation.Active, s.Phase(), "the late report of an earlier session's end")
}

func TestCorrectedStart(t *testing.T) {
	corrected := started(s1, 100)
	corrected.ChannelAddressIdentifier = "corrected"
	corrected.Policy = conversation.Policy{EndAfter: new(conversation.Duration(0)), EndOnCancel: true}

	s := blocked(active(s1), conversation.Inactivate, 50)
	s.applyStart(started(s1, 0), at(60))
	require.NotNil(t, s.Blocked, "a repeated start does not unblock")

	s.applyStart(corrected, at(110))
	require.Nil(t, s.Blocked)
	require.Equal(t, "corrected", s.Identity.ChannelAddressIdentifier)
	require.Equal(
		t,
		new(conversation.Duration(10*time.Minute)),
		s.Policy.InactivateAfter,
		"an absent field stays unchanged",
	)
	require.Equal(t, new(conversation.Duration(0)), s.Policy.EndAfter)
	require.True(t, s.Policy.EndOnCancel)

	s.applyStart(started(s1, 99), at(120))
	require.Equal(t, "corrected", s.Identity.ChannelAddressIdentifier, "an older start corrects nothing")

	require.True(t, s.applyStart(started(s1, 125), at(140)))
	require.Equal(t, "corrected", s.Identity.ChannelAddressIdentifier, "the conversation is not Blocked any more")

	s = blocked(s, conversation.Inactivate, 150)
	require.False(t, s.applyStart(started(s1, 155), at(155)))
	require.Equal(t, "8f6c1c5e", s.Identity.ChannelAddressIdentifier, "a newer start corrects again")
}

// Whoever may send a start of a conversation may not make its close concern somebody
// else: the session would stay open.
func TestStartDoesNotChangeWhoASessionIsAbout(t *testing.T) {
	other := func(session string, seconds int) conversation.Start {
		start := started(session, seconds)
		start.AuthorizationContext, start.ChannelAddressIdentifier, start.EndUserClientID = "Other", "other", "other"
		start.Policy.InactivateAfter = new(conversation.Duration(time.Minute))
		return start
	}
	genuine := started(s1, 0).Identity
	for name, tt := range map[string]struct {
		before  func() *State
		start   conversation.Start
		changes bool
	}{
		"running":                      {func() *State { return active(s1) }, other(s1, 60), false},
		"running, unnamed":             {func() *State { return active(s1) }, other("", 60), false},
		"no session is known":          {func() *State { return active("") }, other(s1, 60), false},
		"Inactive":                     {func() *State { return inactive() }, other(s1, 700), false},
		"closing":                      {func() *State { return closing(active(s1), conversation.EndUser, 30) }, other(s1, 20), false},
		"an earlier session":           {func() *State { return active(s1) }, other(s2, -60), false},
		"Blocked":                      {func() *State { return blocked(active(s1), conversation.End, 30) }, other(s1, 60), true},
		"Blocked, no session is known": {func() *State { return blocked(active(""), conversation.End, 30) }, other(s1, 60), true},
		"provisional": {func() *State {
			start := started(s1, 0)
			start.Provisional = true
			return newState(start, at(0))
		}, other(s1, 60), true},
		"a newer session": {func() *State { return active(s1) }, other(s2, 60), true},
		"a newer session, has a start": {func() *State {
			s := active(s1)
			s.applyStart(started(s2, 30), at(30))
			return s
		}, other(s2, 60), false},
		"a newer session that began with a message": {func() *State {
			s := active(s1)
			messaged(s2, 30).apply(s, at(30))
			return s
		}, other(s2, 60), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.before()
			refused := s.applyStart(tt.start, at(60))
			if tt.changes {
				require.False(t, refused)
				require.Equal(t, "other", s.Identity.EndUserClientID)
				return
			}
			require.Equal(t, genuine.EndUserClientID, s.Identity.EndUserClientID)
			require.Equal(t, genuine.ChannelAddressIdentifier, s.Identity.ChannelAddressIdentifier)
			require.Equal(t, genuine.AuthorizationContext, s.Identity.AuthorizationContext)
			if tt.start.SessionID == s2 && !s.HasPrevious {
				return // it is of another session, and changes nothing at all
			}
			require.True(t, refused)
			require.Equal(t, []string{"authorizationContext", "channelAddressIdentifier", "endUserClientId"}, s.RefusedIdentity.Fields)
			require.Equal(t, new(conversation.Duration(time.Minute)), s.Policy.InactivateAfter, "the policy counts")
		})
	}
}

// A field that a start completes is no change.
func TestStartCompletesAnIdentity(t *testing.T) {
	s := active(s1)
	s.Identity.EndUserClientID = ""
	require.False(t, s.applyStart(started(s1, 60), at(60)))
	require.Equal(t, started(s1, 0).EndUserClientID, s.Identity.EndUserClientID)
}

// Salesforce refuses Inactivate without a session id, so a new id unblocks it.
func TestSessionIDUnblocks(t *testing.T) {
	s := blocked(active(""), conversation.Inactivate, 50)
	messaged(s1, 0).apply(s, at(60))
	require.Nil(t, s.Blocked)
	require.Equal(t, s1, s.Identity.SessionID)
}

func TestEndedSessionsAreLimited(t *testing.T) {
	s := active("0Mw000000000000")
	for i := range 25 {
		messaged(fmt.Sprintf("0Mw0000000000%02d", i), 10*i).apply(s, at(1000))
	}
	require.Len(t, s.EndedSessions, maxEndedSessions)
	require.True(t, s.hasEnded("0Mw000000000023"))
}

// Events arrive in any order, and some arrive twice. The result does not depend on it.
func TestOrderDoesNotMatter(t *testing.T) {
	for name, events := range map[string][]event{
		"idle":                 {start(s1, 0), messaged(s1, 10), messaged(s1, 20), messaged(s1, 30)},
		"closed":               {start(s1, 0), messaged(s1, 10), messaged(s1, 20), hangup(s1, 30)},
		"closed, without ids":  {start("", 0), messaged("", 10), messaged("", 20), hangup("", 30)},
		"id in the start only": {start(s1, 0), messaged("", 10), hangup("", 30)},
		"continues after a close": {
			start(s1, 0), messaged(s1, 10), hangup(s1, 30), messaged(s1, 40), messaged(s1, 50),
		},
		"continues after a close, without ids": {messaged("", 10), hangup("", 30), messaged("", 40), messaged("", 50)},
		"ended in Salesforce": {
			start(s1, 0), reported("New", s1, 1), reported("Active", s1, 5), messaged(s1, 10), reported("Ended", s1, 40),
		},
		"ended, then continues": {start(s1, 0), messaged(s1, 10), reported("Ended", s1, 40), messaged(s1, 50)},
		"closed, then ended": {
			start(s1, 0), messaged(s1, 10), hangup(s1, 20), messaged(s1, 30), reported("Ended", s1, 40),
		},
		"Inactive and back": {
			start(s1, 0), reported("Active", s1, 5), messaged(s1, 10), reported("Inactive", s1, 20), reported("Waiting", s1, 30),
		},
		"Inactive, then a message": {start(s1, 0), messaged(s1, 10), reported("Inactive", s1, 20), messaged(s1, 30)},
		"Active, then Inactive": {
			start(s1, 0), messaged(s1, 10), reported("Active", s1, 12), reported("Inactive", s1, 20),
		},
		"two sessions": {
			start(s1, 0), messaged(s1, 10), hangup(s1, 30), start(s2, 100), messaged(s2, 110), hangup(s2, 130),
		},
		"two sessions, the second alive": {
			start(s1, 0), messaged(s1, 10), reported("Ended", s1, 30), start(s2, 100), messaged(s2, 110),
			reported("Active", s2, 120),
		},
		"two sessions, forms of ids mixed": {
			start(s1, 0), messaged(s1Long, 10), start(s2, 100), messaged(s2+"AAA", 110), hangup(s2, 120),
		},
		"two sessions, ids in the starts only": {
			start(s1, 0), messaged("", 10), start(s2, 100), messaged("", 110), hangup("", 120),
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := last(play(events))
			for seed := range uint64(300) {
				random := rand.New(rand.NewPCG(seed, 1))
				shuffled := slices.Concat(events, events[:random.IntN(len(events)+1)])
				random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				require.Equal(t, want, last(play(shuffled)), "seed %d: %v", seed, shuffled)
			}
		})
	}
}

// play sends all events by SignalWithStart: the first one starts the conversation.
func play(events []event) *State {
	const now = 300
	var s *State
	for _, e := range events {
		if s == nil {
			s = newState(started(e.session, e.seconds), at(now))
		}
		e.apply(s, at(now))
	}
	return s
}

// last summarizes the last session. The sessions before it have ended.
func last(s *State) string {
	for s.Next != nil {
		s = s.Next
	}
	return summarize(s)
}

// A start after the end is not a message, unless the next session is being closed too:
// then it takes that close back.
func TestStartOfTheNextSession(t *testing.T) {
	s := active(s1)
	s.end(conversation.Closed, "EndUser", at(10), at(11))
	s.applyStart(started(s2, 20), at(20))
	require.NotNil(t, s.Next)
	require.Zero(t, s.Next.LastMessage)

	s.applyClose(conversation.Close{SessionID: s2, At: at(30)}, at(30))
	require.NotNil(t, s.Next.Closing)
	s.applyStart(started(s2, 40), at(40))
	require.Equal(t, at(40), s.Next.LastMessage.At)
}

// The next session takes over a message or a close that arrived before its start, unless
// it is older or names another session.
func TestNextSessionTakesOverWhatCameTooEarly(t *testing.T) {
	for name, tt := range map[string]struct {
		message conversation.Message
		want    time.Time
	}{
		"after the start":                  {conversation.Message{At: at(150)}, at(150)},
		"before the start":                 {conversation.Message{At: at(50)}, at(100)},
		"of the session before, but later": {conversation.Message{SessionID: s1, At: at(150)}, at(100)},
	} {
		s := active(s1)
		s.applyMessage(tt.message, at(160))
		s.applyStart(started(s2, 100), at(170))
		require.Equal(t, s2, s.Identity.SessionID, name)
		require.Equal(t, tt.want, s.LastActivityAt, name)
	}
}
