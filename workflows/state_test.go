package workflows

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

var t0 = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// at returns the time so many seconds after t0.
func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

const (
	org = "00D000000000001"
	s1  = "0Mw000000000001"
	s2  = "0Mw000000000002"
	s3  = "0Mw000000000003"
	// s1Long is s1 with the case-insensitive suffix.
	s1Long = s1 + "AAA"
)

func identity(session string) conversation.Identity {
	return conversation.Identity{
		OrgID: org, AuthorizationContext: "Partner1_ChannelDefinition1",
		ChannelAddressIdentifier: "8f6c1c5e", EndUserClientID: "+4915112345678",
		ConversationIdentifier: "conv-1", SessionID: session,
	}
}

// started is a start event: Inactive after 10 minutes, ended an hour later.
func started(session string, seconds int) conversation.Start {
	return conversation.Start{Identity: identity(session), At: at(seconds), Policy: conversation.Policy{
		InactivateAfter: new(conversation.Duration(10 * time.Minute)),
		EndAfter:        new(conversation.Duration(time.Hour)),
		BlockedFor:      new(conversation.Duration(2 * time.Hour)),
	}}
}

func active(session string) *State { return newState(started(session, 0), at(0)) }

// inactive is a conversation that has been Inactive since its deadline.
func inactive() *State {
	s := active(s1)
	s.InactiveSince = at(600)
	return s
}

func blocked(s *State, op conversation.Operation, seconds int) *State {
	s.Blocked = &conversation.Answer{Operation: op, Reason: "NO_ACCESS", At: at(seconds)}
	return s
}

func closing(s *State, by conversation.By, seconds int) *State {
	s.Closing = &conversation.Closing{By: by, At: at(seconds)}
	return s
}

func TestStep(t *testing.T) {
	never := started(s1, 0)
	never.Policy = conversation.Policy{
		InactivateAfter: new(
			conversation.Duration(0),
		),
		EndAfter:   new(conversation.Duration(0)),
		BlockedFor: new(conversation.Duration(0)),
	}
	forever := func() *State { return newState(never, at(0)) }
	ended := active(s1)
	ended.end(conversation.Closed, "System", at(5), at(5))
	endedBySalesforce := forever()
	endedBySalesforce.InactiveSince = at(600)

	for name, tt := range map[string]struct {
		state    *State
		now      int
		phase    conversation.Phase
		due      string
		deadline time.Time
	}{
		"Active":                   {active(s1), 599, conversation.Active, "", at(600)},
		"idle":                     {active(s1), 600, conversation.Active, "Inactivate by System", at(600)},
		"never made Inactive":      {forever(), 1e6, conversation.Active, "", time.Time{}},
		"Inactive":                 {inactive(), 4199, conversation.Inactive, "", at(4200)},
		"Inactive for endAfter":    {inactive(), 4200, conversation.Inactive, "End by System", at(4200)},
		"ended by Salesforce only": {endedBySalesforce, 1e6, conversation.Inactive, "", time.Time{}},
		"closed by the end user": {
			closing(active(s1), conversation.EndUser, 5), 5, conversation.Active, "End by EndUser", time.Time{},
		},
		"closed while Inactive": {
			closing(inactive(), conversation.System, 5), 9999, conversation.Inactive, "End by System", time.Time{},
		},
		"Blocked": {blocked(active(s1), conversation.Inactivate, 600), 9999, conversation.Blocked, "", at(7800)},
		"Blocked without a limit": {
			blocked(forever(), conversation.Inactivate, 600), 1e6, conversation.Blocked, "", time.Time{},
		},
		"Blocked at the end": {
			blocked(closing(active(s1), conversation.System, 5), conversation.End, 6), 7, conversation.Blocked, "", at(7206),
		},
		"ended": {ended, 9999, conversation.Ended, "", time.Time{}},
		"received late, checked after minIdleDelay": {
			newState(started(s1, 0), at(599)), 599, conversation.Active, "", at(600),
		},
		"received after its own deadline, waits from its arrival": {
			newState(started(s1, 0), at(5000)), 5000, conversation.Active, "", at(5600),
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.phase, tt.state.Phase())
			next := tt.state.step(at(tt.now))
			got := ""
			if next.due != nil {
				got = string(next.due.Operation) + " by " + string(next.due.By)
			}
			require.Equal(t, tt.due, got)
			require.Equal(t, tt.deadline, next.deadline)
		})
	}
}

// A conversation gives up after it was Blocked for policy.blockedFor; 0 means never.
func TestGaveUp(t *testing.T) {
	s := blocked(active(s1), conversation.End, 0)
	require.False(t, s.gaveUp(at(7199)))
	require.True(t, s.gaveUp(at(7200)))
	s.Policy.BlockedFor = new(conversation.Duration(0))
	require.False(t, s.gaveUp(at(1e6)))
	require.False(t, active(s1).gaveUp(at(1e6)))
}

// A start without a time, or with a future one, counts as now. Absent fields of the
// policy get their defaults.
func TestNewState(t *testing.T) {
	for _, when := range []time.Time{{}, at(99)} {
		s := newState(conversation.Start{Identity: identity(""), At: when}, at(5))
		require.Equal(t, at(5), s.SessionSince)
		require.Equal(t, at(5), s.LastActivityAt)
		require.Equal(t, conversation.Policy{}.WithDefaults(), s.Policy)
	}
}

// Continue-as-new passes the state on as JSON. Every field must survive it, including
// fields that are added later.
func TestStateSurvivesJSON(t *testing.T) {
	var s State
	fill(t, reflect.ValueOf(&s).Elem(), 1, "State")
	data, err := json.Marshal(s)
	require.NoError(t, err)
	var back State
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, s, back)
}

// fill sets every field to a value that is not zero. It fills one level of Next.
func fill(t *testing.T, v reflect.Value, depth int, path string) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(at(len(path)).Add(123456789 * time.Nanosecond)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(len(path)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), depth, path)
		}
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*State]() {
			if depth == 0 {
				return
			}
			depth--
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), depth, path)
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			require.True(t, field.IsExported(), "%s.%s is not exported, so it is not in the JSON", path, field.Name)
			fill(t, v.Field(i), depth, path+"."+field.Name)
		}
	default:
		t.Fatalf("%s: cannot fill a %s", path, v.Kind())
	}
}

func TestOnlyACloseOfTheWorkflowIsCanceled(t *testing.T) {
	s := active(s1)
	s.markCanceled()
	require.Nil(t, s.Outcome, "the End failed")
	s.end(conversation.EndedInSalesforce, "Agent", at(1), at(2))
	s.markCanceled()
	require.Equal(t, conversation.EndedInSalesforce, s.Outcome.Why)
	s.Outcome.Why = conversation.Closed
	s.markCanceled()
	require.Equal(t, conversation.Canceled, s.Outcome.Why)
}
