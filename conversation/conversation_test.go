package conversation_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sessionkeeper/conversation"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func valid() conversation.Identity {
	return conversation.Identity{
		OrgID: "00D000000000001", AuthorizationContext: "Partner1_ChannelDefinition1",
		ChannelAddressIdentifier: "8f6c1c5e", EndUserClientID: "+4915112345678",
		ConversationIdentifier: "conv-1", SessionID: "0Mw000000000001",
	}
}

// The error must have the JSON name of every wrong field, and no value.
func TestValidateReportsEveryWrongField(t *testing.T) {
	start := func(change func(*conversation.Start)) conversation.Start {
		s := conversation.Start{Identity: valid()}
		change(&s)
		return s
	}
	for name, tt := range map[string]struct {
		input  interface{ Validate() error }
		fields []string
	}{
		"complete":            {start(func(*conversation.Start) {}), nil},
		"no session yet":      {start(func(s *conversation.Start) { s.SessionID = "" }), nil},
		"session with suffix": {start(func(s *conversation.Start) { s.SessionID += "AAA" }), nil},
		"empty": {conversation.Start{}, []string{
			"orgId", "conversationIdentifier", "authorizationContext", "channelAddressIdentifier", "endUserClientId",
		}},
		"org id with suffix": {start(func(s *conversation.Start) { s.OrgID += "AAA" }), []string{"orgId"}},
		"org with a colon":   {start(func(s *conversation.Start) { s.OrgID = "00D:00000000001" }), []string{"orgId"}},
		"id too long": {
			start(func(s *conversation.Start) { s.EndUserClientID = strings.Repeat("ä", 241) }), []string{"endUserClientId"},
		},
		"longest id": {start(func(s *conversation.Start) { s.EndUserClientID = strings.Repeat("ä", 240) }), nil},
		"control characters": {
			start(func(s *conversation.Start) { s.ConversationIdentifier = "a\nb" }), []string{"conversationIdentifier"},
		},
		"not a developer name": {
			start(func(s *conversation.Start) { s.AuthorizationContext = "Partner 1" }), []string{"authorizationContext"},
		},
		"not a record id": {start(func(s *conversation.Start) { s.SessionID = "0Mw1" }), []string{"sessionId"}},
		"policy out of range": {start(func(s *conversation.Start) {
			s.Policy.InactivateAfter = new(conversation.Duration(-1))
			s.Policy.BlockedFor = new(conversation.Duration(366 * 24 * time.Hour))
		}), []string{"policy.inactivateAfter", "policy.blockedFor"}},
		"message":     {conversation.Message{SessionID: "x"}, []string{"sessionId"}},
		"close":       {conversation.Close{By: "Agent", SessionID: "x"}, []string{"by", "sessionId"}},
		"empty close": {conversation.Close{}, nil},
		"call failing": {conversation.CallFailing{Attempts: 1_000_001, Answer: conversation.Answer{
			Message: strings.Repeat("x", 4097), Reason: "a\nb",
		}}, []string{"activityId", "attempts", "answer.reason", "answer.message"}},
		"call failing, longest message": {conversation.CallFailing{ActivityID: "5", Attempts: 1_000_000, Answer: conversation.Answer{
			Message: strings.Repeat("x", 4096),
		}}, nil},
		"longest lease": {conversation.Message{Lease: conversation.Lease{
			Holder: "a", Duration: conversation.Duration(365 * 24 * time.Hour),
		}}, nil},
		"call failing, invalid UTF-8": {conversation.CallFailing{ActivityID: "5", Attempts: 1, Answer: conversation.Answer{
			Message: "a\xffb",
		}}, []string{"answer.message"}},
		"status":         {conversation.SessionStatus{}, []string{"sessionId", "sessionStatus"}},
		"unknown status": {conversation.SessionStatus{SessionID: "0Mw000000000001", Status: "Consent"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.input.Validate()
			if tt.fields == nil {
				require.NoError(t, err)
				return
			}
			var invalid *conversation.InvalidError
			require.ErrorAs(t, err, &invalid)
			var fields []string
			for _, f := range invalid.Fields {
				fields = append(fields, f.Field)
				require.Contains(t, err.Error(), f.Field+" "+f.Problem)
			}
			require.Equal(t, tt.fields, fields)
			require.NotContains(t, err.Error(), "+4915112345678")
			require.NotContains(t, err.Error(), "ä")
		})
	}
}

// A Go program may have a time in any zone. RFC 3339 can write only some.
func TestZonesThatCanBeWritten(t *testing.T) {
	const day = 24 * 60 * 60
	for offset, valid := range map[int]bool{
		0: true, 3600: true, -5400: true, day - 60: true, 60 - day: true,
		day: false, -day: false, 3630: false, -1: false,
	} {
		err := conversation.Message{At: noon.In(time.FixedZone("", offset))}.Validate()
		require.Equal(t, valid, err == nil, "%d seconds: %v", offset, err)
	}
}

func TestOrgIDWithSuffixIsExplained(t *testing.T) {
	require.ErrorContains(t, conversation.Identity{OrgID: "00D000000000001AAA"}.ValidateKey(), "without the 3-character suffix")
	require.ErrorContains(t, conversation.Identity{OrgID: "00D1"}.ValidateKey(), "such as 00D000000000001")
}

func TestWhichSessionsAreAlive(t *testing.T) {
	for status, alive := range map[string]bool{
		"New": true, "Waiting": true, "Active": true, "Inactive": false, "Ended": false, "Consent": false,
	} {
		require.Equal(t, alive, conversation.SessionStatus{Status: status}.IsAlive(), status)
	}
}

func TestWhichSessionsTheWorkerEnded(t *testing.T) {
	for why, byWorker := range map[conversation.Why]bool{
		conversation.Closed: true, conversation.Idle: true, conversation.Canceled: true,
		conversation.EndedInSalesforce: false, conversation.AlreadyOver: false, conversation.NewSession: false,
	} {
		require.Equal(t, byWorker, conversation.Outcome{Why: why}.EndedByWorker(), why)
	}
}

func TestPayloadMustBeAnObject(t *testing.T) {
	for _, text := range []string{"", " ", "null", "[]", `"x"`, "7"} {
		var m conversation.Message
		require.ErrorContains(t, m.UnmarshalJSON([]byte(text)), "payload must be a JSON object", text)
	}
}

func TestWorkflowID(t *testing.T) {
	require.Equal(t, "00D000000000001:conv-1", valid().WorkflowID())
}

func TestSameSession(t *testing.T) {
	require.True(t, conversation.SameSession("0Mw000000000001", "0Mw000000000001AAA"))
	require.False(t, conversation.SameSession("0Mw000000000001", "0Mw000000000002AAA"))
	require.False(t, conversation.SameSession("", ""), "unknown sessions are not the same")
	require.False(t, conversation.SameSession("0Mw", "0Mw000000000001"))
}

// Marshals each payload to exactly this JSON, and reads it back.
func TestPayloadsAsJSON(t *testing.T) {
	answer := conversation.Answer{
		Operation: conversation.End, By: conversation.EndUser, Reason: "NO_ACCESS", Message: "no access",
		HTTPStatus: 403, Code: "10104", RequestID: "6f1c", Attempt: 2, At: noon,
	}
	for name, tt := range map[string]struct {
		value any
		wire  string
	}{
		"start": {
			&conversation.Start{
				Identity: valid(), At: noon,
				Policy: conversation.Policy{
					InactivateAfter: new(conversation.Duration(10 * time.Minute)), EndAfter: new(conversation.Duration(0)),
					BlockedFor: new(conversation.Duration(72 * time.Hour)), EndOnCancel: true,
				},
			},
			`{"orgId":"00D000000000001","authorizationContext":"Partner1_ChannelDefinition1",
			  "channelAddressIdentifier":"8f6c1c5e","endUserClientId":"+4915112345678",
			  "conversationIdentifier":"conv-1","sessionId":"0Mw000000000001",
			  "policy":{"inactivateAfter":"10m","endAfter":"0s","blockedFor":"72h","endOnCancel":true},
			  "at":"2026-03-01T12:00:00Z"}`,
		},
		"smallest start": {
			&conversation.Start{Identity: conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "conv-1"}},
			`{"orgId":"00D000000000001","conversationIdentifier":"conv-1"}`,
		},
		"message": {
			&conversation.Message{SessionID: "0Mw000000000001", At: noon},
			`{"sessionId":"0Mw000000000001","at":"2026-03-01T12:00:00Z"}`,
		},
		"empty message": {&conversation.Message{}, `{}`},
		"close": {
			&conversation.Close{By: conversation.EndUser, SessionID: "0Mw000000000001", At: noon},
			`{"by":"EndUser","sessionId":"0Mw000000000001","at":"2026-03-01T12:00:00Z"}`,
		},
		"retry": {&conversation.Retry{}, `{}`},
		"session-status": {
			&conversation.SessionStatus{
				SessionID: "0Mw000000000001", ConversationIdentifier: "conv-1", ChannelAddressIdentifier: "8f6c1c5e",
				Status: "Ended", PreviousStatus: "Active", EndedByRole: "Agent",
				StartTime: conversation.Timestamp{Time: noon}, EndTime: conversation.Timestamp{Time: noon.Add(time.Hour)},
				At: noon.Add(time.Hour),
			},
			`{"sessionId":"0Mw000000000001","conversationIdentifier":"conv-1","channelAddressIdentifier":"8f6c1c5e",
			  "sessionStatus":"Ended","sessionStatusPrev":"Active","sessionEndedByRole":"Agent",
			  "sessionStartTime":"2026-03-01T12:00:00Z","sessionEndTime":"2026-03-01T13:00:00Z","at":"2026-03-01T13:00:00Z"}`,
		},
		"outcome": {
			&conversation.Outcome{
				Why: conversation.Closed, EndedBy: "EndUser", At: noon, EndsEventsUntil: noon,
				SessionID: "0Mw000000000001", Attempts: 2, LastAnswer: &answer,
			},
			`{"why":"Closed","endedBy":"EndUser","at":"2026-03-01T12:00:00Z","endsEventsUntil":"2026-03-01T12:00:00Z",
			  "sessionId":"0Mw000000000001","attempts":2,
			  "lastAnswer":{"operation":"End","by":"EndUser","reason":"NO_ACCESS","message":"no access","httpStatus":403,
			    "code":"10104","requestId":"6f1c","attempt":2,"at":"2026-03-01T12:00:00Z"}}`,
		},
		"status": {
			&conversation.Status{
				Phase: conversation.Inactive, OrgID: "00D000000000001", ConversationIdentifier: "conv-1",
				StartedAt: noon, EndAt: noon.Add(time.Hour),
				Policy: conversation.Policy{EndAfter: new(conversation.Duration(time.Hour))},
			},
			`{"phase":"Inactive","orgId":"00D000000000001","conversationIdentifier":"conv-1",
			  "startedAt":"2026-03-01T12:00:00Z","endAt":"2026-03-01T13:00:00Z","policy":{"endAfter":"1h"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.Marshal(tt.value)
			require.NoError(t, err)
			require.JSONEq(t, tt.wire, string(data))
			back := reflect.New(reflect.TypeOf(tt.value).Elem()).Interface()
			require.NoError(t, json.Unmarshal(data, back))
			require.Equal(t, tt.value, back)
		})
	}
}

func TestParseWorkflowIDReversesWorkflowID(t *testing.T) {
	id, err := conversation.ParseWorkflowID("00D000000000001:a:b")
	require.NoError(t, err)
	require.Equal(t, conversation.Identity{OrgID: "00D000000000001", ConversationIdentifier: "a:b"}, id)
	require.Equal(t, "00D000000000001:a:b", id.WorkflowID())
	for _, workflowID := range []string{
		"", ":", "c1", ":c1", "00D000000000001", "00D000000000001:",
		"00D000000000001AAA:c1",
	} {
		_, err := conversation.ParseWorkflowID(workflowID)
		require.ErrorContains(t, err, "workflow id: want", workflowID)
	}
}
