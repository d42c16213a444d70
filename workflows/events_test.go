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

// event is one event of the tests, as it changes a state.
type event struct {
	kind, session string
	seconds       int
	apply         func(*State, time.Time)
}

func (e event) String() string { return fmt.Sprintf("%s(%s)@%d", e.kind, e.session, e.seconds) }

func start(session string, seconds int) event {
	return event{"start", session, seconds, func(s *State, now time.Time) { s.started(started(session, seconds), now) }}
}

func message(session string, seconds int) event {
	return event{"message", session, seconds, func(s *State, now time.Time) {
		s.message(conversation.Message{SessionID: session, At: at(seconds)}, now)
	}}
}

func hangup(session string, seconds int) event {
	return event{"close", session, seconds, func(s *State, now time.Time) {
		s.closed(conversation.Close{By: conversation.EndUser, SessionID: session, At: at(seconds)}, now)
	}}
}

func told(status, session string, seconds int) event {
	return event{status, session, seconds, func(s *State, now time.Time) {
		s.sessionStatus(conversation.SessionStatus{SessionID: session, Status: status, EndedByRole: "Agent", At: at(seconds)}, now)
	}}
}

// what tells of a state, and of the life after it, what anybody can notice.
func what(s *State) string {
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
		text += fmt.Sprintf(" outcome=%s by %s covers=%s", s.Outcome.Why, s.Outcome.EndedBy, seconds(s.Outcome.EndsEventsUntil))
	}
	if s.Next != nil {
		text += " | next: " + what(s.Next)
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
		"a message moves the deadline":                  {active(s1), []event{message("", 50)}, "Active session=" + s1 + " active=50"},
		"an older one does not move it back":            {active(s1), []event{message("", 50), message("", 20)}, "Active session=" + s1 + " active=50"},
		"a time in the future is now":                   {active(s1), []event{message("", 5000)}, "Active session=" + s1 + " active=1000"},
		"a message makes it Active again":               {gone(), []event{message(s1, 700)}, "Active session=" + s1 + " active=700"},
		"and one that was on its way, too":              {gone(), []event{message(s1, 599)}, "Active session=" + s1 + " active=599"},
		"but not one before Salesforce's word":          {active(s1), []event{told("Inactive", s1, 600), message(s1, 599)}, "Inactive session=" + s1 + " inactive=600"},
		"a message of an earlier session is ignored":    {active(s1), []event{start(s2, 60), message(s1, 70)}, "Active session=" + s2 + " active=60"},
		"so is a close of it":                           {active(s1), []event{start(s2, 60), hangup(s1Long, 70)}, "Active session=" + s2 + " active=60"},
		"and its end":                                   {active(s1), []event{start(s2, 60), told("Ended", s1, 70)}, "Active session=" + s2 + " active=60"},
		"and what names no session, by its time":        {active(s1), []event{start(s2, 60), hangup("", 50)}, "Active session=" + s2 + " active=60"},
		"even when the earlier session was never known": {newState(started(s2, 60), at(60)), []event{start(s2, 60), hangup("", 50)}, "Active session=" + s2 + " active=60"},
		"an unknown session is earlier by its time":     {newState(started(s2, 60), at(60)), []event{hangup(s1, 50)}, "Active session=" + s2 + " active=60"},
		"or later":                                         {active(s1), []event{message(s2, 50)}, "Active session=" + s2 + " active=50"},
		"a later session ends what goes on":                {blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20), []event{told("New", s2, 50)}, "Active session=" + s2 + " active=50"},
		"15 and 18 characters are one session":             {active(s1), []event{hangup(s1Long, 50)}, "Active session=" + s1 + " closing=50"},
		"the session's id becomes known":                   {active(""), []event{message(s1, 50)}, "Active session=" + s1 + " active=50"},
		"its long form does not replace it":                {active(s1), []event{start(s1Long, 0)}, "Active session=" + s1 + " active=0"},
		"a close":                                          {active(s1), []event{hangup("", 50)}, "Active session=" + s1 + " closing=50"},
		"a message after it begins the next life":          {active(s1), []event{hangup("", 50), message("", 51)}, "Active session=" + s1 + " closing=50 | next: Active session= active=51"},
		"another close covers that":                        {active(s1), []event{hangup("", 50), message("", 51), hangup("", 52)}, "Active session=" + s1 + " closing=52"},
		"a message before it belongs to it":                {active(s1), []event{hangup("", 50), message("", 49)}, "Active session=" + s1 + " closing=50"},
		"a new session after it needs no call":             {active(s1), []event{hangup("", 50), start(s2, 60)}, "Active session=" + s2 + " active=60"},
		"a close that came before its session":             {active(s1), []event{hangup("", 70), start(s2, 60)}, "Active session=" + s2 + " closing=70"},
		"a message that came before its session":           {active(s1), []event{message("", 70), start(s2, 60)}, "Active session=" + s2 + " active=70"},
		"a message takes back a Blocked close":             {blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20), []event{message("", 30)}, "Active session=" + s1 + " active=30"},
		"an older one does not":                            {blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20), []event{message("", 5)}, "Blocked session=" + s1 + " closing=10"},
		"a message goes on from Blocked":                   {blocked(active(s1), conversation.Inactivate, 20), []event{message("", 30)}, "Active session=" + s1 + " active=30"},
		"a close goes on from Blocked":                     {blocked(active(s1), conversation.Inactivate, 20), []event{hangup("", 30)}, "Active session=" + s1 + " closing=30"},
		"a close tries a Blocked one again":                {blocked(closing(active(s1), conversation.System, 10), conversation.End, 20), []event{hangup("", 5)}, "Active session=" + s1 + " closing=10"},
		"Salesforce ended it":                              {active(s1), []event{told("Ended", s1, 50)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"also while it is Blocked":                         {blocked(active(s1), conversation.Inactivate, 20), []event{told("Ended", s1, 50)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"also while it is being closed":                    {closing(active(s1), conversation.EndUser, 40), []event{told("Ended", s1, 50)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"also when a later status came first":              {active(s1), []event{told("Active", s1, 60), told("Ended", s1, 50)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"a close after that is a repetition":               {active(s1), []event{told("Ended", s1, 50), hangup("", 60)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"a message before that belongs to it":              {active(s1), []event{hangup("", 10), message("", 20), told("Ended", s1, 50)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"a message after that begins the next life":        {active(s1), []event{told("Ended", s1, 50), message(s1, 60)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50 | next: Active session=" + s1 + " active=60"},
		"which has a life, too":                            {active(s1), []event{told("Ended", s1, 50), start(s2, 60), message(s2, 70), hangup(s2, 80)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50 | next: Active session=" + s2 + " closing=80"},
		"and may be replaced":                              {active(s1), []event{told("Ended", s1, 50), start(s2, 60), start(s3, 90)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50 | next: Active session=" + s3 + " active=90"},
		"Salesforce says Inactive":                         {active(s1), []event{told("Inactive", s1, 50)}, "Inactive session=" + s1 + " inactive=50"},
		"which is what a Blocked Inactivate was to do":     {blocked(active(s1), conversation.Inactivate, 40), []event{told("Inactive", s1, 50)}, "Inactive session=" + s1 + " inactive=50"},
		"but not a Blocked End":                            {blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20), []event{told("Inactive", s1, 50)}, "Blocked session=" + s1 + " inactive=50 closing=10"},
		"not when somebody has written since":              {active(s1), []event{message("", 60), told("Inactive", s1, 50)}, "Active session=" + s1 + " active=60"},
		"Salesforce says it waits for a rep":               {gone(), []event{told("Waiting", s1, 700)}, "Active session=" + s1 + " active=700"},
		"an unknown status is only recorded":               {active(s1), []event{told("Paused", s1, 50)}, "Active session=" + s1 + " active=0"},
		"an end of a session nobody knew to have begun":    {active(""), []event{told("Ended", s1, 50)}, "Ended session=" + s1 + " outcome=EndedInSalesforce by Agent covers=50"},
		"a retry goes on from Blocked":                     {blocked(closing(active(s1), conversation.EndUser, 10), conversation.End, 20), []event{{kind: "retry", apply: func(s *State, _ time.Time) { s.retry() }}}, "Active session=" + s1 + " closing=10"},
		"a start after a start of the same is no new life": {active(s1), []event{hangup("", 50), start(s1, 60)}, "Active session=" + s1 + " closing=50"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range tt.events {
				e.apply(tt.state, at(now))
			}
			require.Equal(t, tt.want, what(tt.state))

			if len(tt.events) > 1 {
				return
			}
			tt.events[0].apply(tt.state, at(now))
			require.Equal(t, tt.want, what(tt.state), "sent twice, it changes nothing more")
		})
	}
}

// Sent twice, an event changes nothing: not even for a moment is a call that is
// due not due any more.
func TestDuplicatesChangeNothing(t *testing.T) {
	for _, e := range []event{start(s1, 0), message(s1, 50), hangup(s1, 60), told("Inactive", s1, 70), told("Ended", s1, 80)} {
		s := active(s1)
		message(s1, 50).apply(s, at(50))
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
	told("Consent", s1, 50).apply(s, at(60))
	require.Equal(t, "Consent", s.SessionStatus)
	require.Equal(t, at(50), s.SessionStatusAt)
	told("Paused", s1, 40).apply(s, at(60))
	require.Equal(t, "Consent", s.SessionStatus, "an older one does not replace it")
}

// A status without the time it was sent is of the session's end, or of now; the
// session's start says which session was first.
func TestSessionStatusTimes(t *testing.T) {
	s := active(s1)
	s.sessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Ended", EndTime: conversation.Timestamp{Time: at(30)}}, at(60))
	require.Equal(t, at(30), s.Outcome.EndsEventsUntil)

	s = newState(started(s2, 50), at(50))
	s.sessionStatus(conversation.SessionStatus{SessionID: s1, Status: "Ended", StartTime: conversation.Timestamp{Time: at(10)}}, at(60))
	require.Equal(t, conversation.Active, s.Phase(), "the end of an earlier session, told late")
}

func TestCorrectedStart(t *testing.T) {
	corrected := started(s1, 100)
	corrected.ChannelAddressIdentifier = "corrected"
	corrected.Policy = conversation.Policy{EndAfter: new(conversation.Duration(0)), EndOnCancel: true}

	s := blocked(active(s1), conversation.Inactivate, 50)
	s.started(started(s1, 0), at(60))
	require.NotNil(t, s.Blocked, "the same start again removes no cause")

	s.started(corrected, at(110))
	require.Nil(t, s.Blocked)
	require.Equal(t, "corrected", s.Identity.ChannelAddressIdentifier)
	require.Equal(t, new(conversation.Duration(10*time.Minute)), s.Policy.InactivateAfter, "absent: stays as it was")
	require.Equal(t, new(conversation.Duration(0)), s.Policy.EndAfter)
	require.True(t, s.Policy.EndOnCancel)

	s.started(started(s1, 99), at(120))
	require.Equal(t, "corrected", s.Identity.ChannelAddressIdentifier, "an older start corrects nothing")

	s.started(conversation.Start{}, at(130))
	s.started(started(s1, 125), at(140))
	require.Equal(t, "8f6c1c5e", s.Identity.ChannelAddressIdentifier, "one that could not be read does not stand in the way")
}

// The id that becomes known is what an Inactivate without it was Blocked for.
func TestSessionIDUnblocks(t *testing.T) {
	s := blocked(active(""), conversation.Inactivate, 50)
	message(s1, 0).apply(s, at(60))
	require.Nil(t, s.Blocked)
	require.Equal(t, s1, s.Identity.SessionID)
}

func TestRememberedSessionsAreBounded(t *testing.T) {
	s := active("0Mw000000000000")
	for i := range 25 {
		message(fmt.Sprintf("0Mw0000000000%02d", i), 10*i).apply(s, at(1000))
	}
	require.Len(t, s.Past, rememberedSessions)
	require.True(t, s.isPast("0Mw000000000023"))
}

// Events arrive in any order, and more than once: what comes of them does not
// depend on it.
func TestOrderDoesNotMatter(t *testing.T) {
	for name, events := range map[string][]event{
		"quiet":                 {start(s1, 0), message(s1, 10), message(s1, 20), message(s1, 30)},
		"closed":                {start(s1, 0), message(s1, 10), message(s1, 20), hangup(s1, 30)},
		"closed, no ids":        {start("", 0), message("", 10), message("", 20), hangup("", 30)},
		"id in the start only":  {start(s1, 0), message("", 10), hangup("", 30)},
		"goes on after a close": {start(s1, 0), message(s1, 10), hangup(s1, 30), message(s1, 40), message(s1, 50)},
		"goes on, no ids":       {message("", 10), hangup("", 30), message("", 40), message("", 50)},
		"ended in Salesforce":   {start(s1, 0), told("New", s1, 1), told("Active", s1, 5), message(s1, 10), told("Ended", s1, 40)},
		"ended, then goes on":   {start(s1, 0), message(s1, 10), told("Ended", s1, 40), message(s1, 50)},
		"closed, then ended":    {start(s1, 0), message(s1, 10), hangup(s1, 20), message(s1, 30), told("Ended", s1, 40)},
		"Inactive and back":     {start(s1, 0), told("Active", s1, 5), message(s1, 10), told("Inactive", s1, 20), told("Waiting", s1, 30)},
		"Inactive, then wrote":  {start(s1, 0), message(s1, 10), told("Inactive", s1, 20), message(s1, 30)},
		"went Inactive":         {start(s1, 0), message(s1, 10), told("Active", s1, 12), told("Inactive", s1, 20)},
		"two sessions": {
			start(s1, 0), message(s1, 10), hangup(s1, 30),
			start(s2, 100), message(s2, 110), hangup(s2, 130),
		},
		"two sessions, the second alive": {
			start(s1, 0), message(s1, 10), told("Ended", s1, 30),
			start(s2, 100), message(s2, 110), told("Active", s2, 120),
		},
		"two sessions, forms of ids mixed": {
			start(s1, 0), message(s1Long, 10), start(s2, 100), message(s2+"AAA", 110), hangup(s2, 120),
		},
		"two sessions, ids in the starts only": {
			start(s1, 0), message("", 10), start(s2, 100), message("", 110), hangup("", 120),
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

// play is SignalWithStart of all the events: the first one begins the
// conversation.
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

// last is what is kept in the end. Lives that are over need no keeping.
func last(s *State) string {
	for s.Next != nil {
		s = s.Next
	}
	return what(s)
}
