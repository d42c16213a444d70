package workflows

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/conversation"
)

// raw is a payload as a client of Temporal may send it.
func raw(encoding string, data []byte) converter.RawValue {
	return converter.NewRawValue(&commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding)}, Data: data,
	})
}

// The update "close" refuses what it cannot read, with the reason as error type and an
// answer as first detail.
func TestUpdateCloseRefusesWhatItCannotRead(t *testing.T) {
	for name, payload := range map[string]any{
		"null": nil, "nothing": raw("json/plain", nil), "other bytes": raw("binary/plain", []byte{0xff}),
		"an array": []int{1}, "text": "close", "a wrong type": map[string]any{"by": 7},
		"a wrong value": map[string]any{"by": "Agent"}, "a name twice": raw("json/plain", []byte(`{"by":"System","by":"EndUser"}`)),
		"a name in other case":          map[string]any{"BY": "System"},
		"a time that cannot be written": map[string]any{"at": "2026-03-01T09:00:00+24:00"},
		"too much":                      map[string]any{"note": strings.Repeat("x", maxPayload)},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			var refused error
			h.after(5, func() {
				callback := &testsuite.TestUpdateCallback{
					OnAccept: func() {}, OnComplete: func(any, error) {}, OnReject: func(err error) { refused = err },
				}
				h.UpdateWorkflow(conversation.UpdateClose, "u", callback, payload)
			})
			h.signal(10, "close", conversation.Close{By: conversation.EndUser})
			h.run()
			require.Equal(t, []string{"10 End by EndUser"}, h.calls)
			var failure *temporal.ApplicationError
			require.ErrorAs(t, refused, &failure)
			require.Equal(t, "INVALID_REQUEST", failure.Type())
			var answer conversation.Answer
			require.NoError(t, failure.Details(&answer))
			require.Equal(t, conversation.End, answer.Operation)
			require.Equal(t, "INVALID_REQUEST", answer.Reason)
		})
	}
}

// An input that cannot be read fails the workflow, not its task.
func TestUnreadableInputFailsTheWorkflow(t *testing.T) {
	valid, err := json.Marshal(started(s1, 0))
	require.NoError(t, err)
	withField := func(old, changed string) converter.RawValue {
		text := strings.Replace(string(valid), old, changed, 1)
		require.NotEqual(t, string(valid), text)
		return raw("json/plain", []byte(text))
	}
	for name, input := range map[string]any{
		"null": nil, "other bytes": raw("binary/plain", []byte{0xff}), "an array": []int{1},
		"policy":   withField(`"10m"`, `"ten minutes"`),
		"at":       withField(`"at":"`, `"at":"+24:00`),
		"bad UTF8": withField("conv-1", "conv-\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.ExecuteWorkflow(conversation.WorkflowType, input)
			var failure *temporal.ApplicationError
			require.ErrorAs(t, h.GetWorkflowError(), &failure)
			require.Equal(t, "INVALID_REQUEST", failure.Type())
			require.Empty(t, h.calls)
		})
	}
}

// Only a run that continues another one has a carried state. There, whatever it lacks
// gets its default.
func TestCarriedStateCountsOnlyInAContinuedRun(t *testing.T) {
	carried := map[string]any{"identity": identity(s2), "lastActivityAt": at(-100), "receivedAt": at(-100), "sessionSince": at(-100)}
	h := newHarness(t)
	h.ExecuteWorkflow(conversation.WorkflowType, started(s1, 0), carried)
	require.Equal(t, s1, h.ended().SessionID, "any client can send a second input")

	h = newHarness(t)
	h.SetContinuedExecutionRunID("before")
	h.ExecuteWorkflow(conversation.WorkflowType, started(s1, 0), carried)
	require.Equal(t, s2, h.ended().SessionID)
	require.Equal(t, "500 Inactivate by System", h.calls[0])
}

// What a run carries to the next one is bounded, whatever clients send.
func TestCarriedStateIsBounded(t *testing.T) {
	s := active(s1)
	for i := range 2000 {
		session := s1[:10] + string([]byte{'A' + byte(i%26), 'A' + byte(i/26%26), 'a' + byte(i/676), 'x', 'y'})
		apply := []func(){
			func() { s.applyStart(started(session, i), at(i)) },
			func() {
				s.applyMessage(conversation.Message{SessionID: session, At: at(i), Lease: conversation.Lease{
					Holder: strings.Repeat("h", 230) + session[10:], Duration: conversation.Duration(time.Hour),
				}}, at(i))
			},
			func() { s.applyClose(conversation.Close{At: at(i)}, at(i)) },
			func() { s.applyMessage(conversation.Message{At: at(i)}, at(i)) },
			func() { reported(strings.Repeat("S", 100), session, i).apply(s, at(i)) },
			func() { s.step(at(i)) },
		}
		apply[i%len(apply)]()
	}
	text, err := json.Marshal(s)
	require.NoError(t, err)
	require.Less(t, len(text), 40_000)
	t.Logf("%d bytes", len(text))
}

// No payload that a client of Temporal can send makes a workflow task fail: signals,
// the update, the query, and the input.
func FuzzPayloads(f *testing.F) {
	names := []string{
		conversation.SignalStart, conversation.SignalMessage, conversation.SignalClose, conversation.SignalSessionStatus,
		conversation.SignalRetry, conversation.SignalCallFailing, "update", "query", "input", "unknown",
	}
	start, _ := json.Marshal(started(s1, 0))
	for i := range names {
		for _, seed := range []string{
			`{}`, `null`, ``, `[]`, `"x"`, `7`, "\xff\xfe", `{"at":"0000-01-01T00:00:00Z"}`, `{"at":"9999-12-31T23:59:59-23:59"}`,
			`{"by":"EndUser","sessionId":"0Mw000000000002","at":"2026-03-01T09:00:00+24:00"}`,
			`{"lease":{"holder":"a","duration":"8760h"},"at":"2026-03-01T08:00:00Z"}`,
			`{"sessionId":"0Mw000000000001AAA","sessionStatus":"Ended","sessionEndTime":1772355600}`,
			`{"sessionId":"0Mw000000000002AAA","sessionStatus":"Active","sessionStartTime":1772355600000}`,
			`{"activityId":"5","since":"2026-03-01T09:00:00+24:00","attempts":3,"answer":{"at":"2026-03-01T09:00:00+24:00"}}`,
			`{"activityId":"5","since":"2026-03-01T09:00:00Z","attempts":3,"answer":{"reason":"HTTP_500"}}`,
			`{"policy":{"inactivateAfter":"1ns","endAfter":"8760h"}}`, string(start),
		} {
			f.Add(uint8(i), "json/plain", []byte(seed))
		}
		f.Add(uint8(i), "binary/null", []byte(nil))
		f.Add(uint8(i), "binary/plain", []byte{0, 1, 0xff})
		f.Add(uint8(i), "", []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, index uint8, encoding string, data []byte) {
		name := names[int(index)%len(names)]
		payload := raw(encoding, data)
		h := newHarness(t)
		h.salesforce(conversation.Inactivate, times(9, busy)...)
		send := func() {
			switch name {
			case "update":
				done := &testsuite.TestUpdateCallback{OnAccept: func() {}, OnReject: func(error) {}, OnComplete: func(any, error) {}}
				h.UpdateWorkflow(conversation.UpdateClose, "u", done, payload)
			case "query":
				_, err := h.QueryWorkflow(conversation.QueryStatus, payload)
				require.NoError(t, err)
			case "input":
			default:
				h.SignalWorkflow(name, payload)
			}
		}
		h.after(5, send)
		h.after(605, send) // a call is in flight
		h.after(606, func() { h.SetContinueAsNewSuggested(true) })
		h.after(700, func() { h.CancelWorkflow() })
		var input any = started(s1, 0)
		if name == "input" {
			input = payload
		}
		h.ExecuteWorkflow(conversation.WorkflowType, input, payload)
		require.True(t, h.IsWorkflowCompleted())
		if err := h.GetWorkflowError(); err != nil {
			var invalid *temporal.ApplicationError
			refused := name == "input" && errors.As(err, &invalid) && invalid.Type() == "INVALID_REQUEST"
			require.True(t, refused || temporal.IsCanceledError(err) || strings.Contains(err.Error(), "canceled") ||
				workflow.IsContinueAsNewError(err), "%v", err)
		}
		_, err := h.QueryWorkflow(conversation.QueryStatus)
		if name != "input" {
			require.NoError(t, err)
		}
	})
}
