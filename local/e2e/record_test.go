package e2e_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"

	"sessionkeeper/conversation"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

var record = flag.Bool("record", false, "write histories for the replay test of workflows/; run it on released code only")

// The histories that the workflow's replay test needs can be recorded: each is
// one run of a conversation that has ended. Without -record they are only made.
func TestRecord(t *testing.T) {
	t.Parallel()
	for name, play := range map[string]func(k *talk){
		"idle": func(k *talk) {
			k.start(quick)
			k.ended()
		},
		"active-again": func(k *talk) {
			k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(time.Second))})
			k.untilPhase(conversation.Inactive)
			k.message()
			k.untilPhase(conversation.Active)
			k.hangUp()
			k.ended()
		},
		"hang-up": func(k *talk) {
			k.start(conversation.Policy{})
			k.message()
			k.hangUp()
			k.ended()
		},
		"timer-reset": func(k *talk) {
			k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(2 * time.Second)), EndAfter: new(conversation.Duration(time.Second))})
			k.forward(time.Second)
			k.message()
			k.ended()
		},
		"windowed": func(k *talk) {
			k.Sender = sender.New(k.s.Temporal, sender.Options{})
			defer func() { require.NoError(k.t, k.Close(k.t.Context())) }()
			k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(2 * time.Second)), EndAfter: new(conversation.Duration(time.Second))})
			k.chat(30, 3*time.Second)
			k.ended()
		},
		"lease-expired": func(k *talk) {
			k.start(quick)
			_, err := k.Message(k.t.Context(), k.id, conversation.Message{
				At: time.Now(), Lease: conversation.Lease{Holder: "gone", Duration: conversation.Duration(2 * time.Second)},
			})
			require.NoError(k.t, err)
			k.ended()
		},
		"closed-by-update": func(k *talk) {
			k.start(conversation.Policy{})
			_, err := k.CloseAndWait(k.t.Context(), k.id, conversation.Close{By: conversation.EndUser})
			require.NoError(k.t, err)
		},
		"retried": func(k *talk) {
			k.answers(2, simulator.Answer{ErrorReason: "INTERNAL_ERROR"})
			k.start(conversation.Policy{})
			k.hangUp()
			k.ended()
		},
		"blocked-retried": func(k *talk) {
			k.answers(1, simulator.Answer{ErrorReason: "CHANNEL_ADDRESS_NOT_FOUND"})
			k.start(conversation.Policy{})
			k.hangUp()
			k.untilPhase(conversation.Blocked)
			require.NoError(k.t, k.Retry(k.t.Context(), k.id))
			k.ended()
		},
		"blocked-gave-up": func(k *talk) {
			k.answers(0, simulator.Answer{ErrorReason: "CHANNEL_ADDRESS_NOT_FOUND"})
			k.start(conversation.Policy{BlockedFor: new(conversation.Duration(time.Second))})
			k.hangUp()
			require.Error(k.t, k.result(nil))
		},
		"message-cancels-inactivate": func(k *talk) {
			k.fault(simulator.Fault{Operation: simulator.Inactivate, Answer: &simulator.Answer{ErrorReason: "INTERNAL_ERROR"}})
			k.start(conversation.Policy{InactivateAfter: new(conversation.Duration(time.Second))})
			k.untilCalls(answered(1))
			k.message()
			until(k.t, "the call is canceled", func() bool { return k.status().Calling == "" })
			k.hangUp()
			k.ended()
		},
		"new-session": func(k *talk) {
			k.start(conversation.Policy{})
			k.newSession()
			k.start(conversation.Policy{})
			k.hangUp()
			k.ended()
		},
		"ended-in-salesforce": func(k *talk) {
			k.start(conversation.Policy{})
			_, err := k.SessionStatus(k.t.Context(), k.id, conversation.SessionStatus{
				SessionID: k.id.SessionID, Status: conversation.StatusEnded, EndedByRole: "Agent",
			})
			require.NoError(k.t, err)
			k.ended()
		},
		"continued-as-new": func(k *talk) {
			k.fault(simulator.Fault{Times: 1, Latency: simulator.Duration(time.Second)})
			k.start(conversation.Policy{})
			k.hangUp()
			k.untilCalls(func(calls []simulator.Entry) bool { return len(calls) == 1 })
			old := k.runID()
			k.id.SessionID = "" // the next session is not known yet
			k.message()
			until(k.t, "the next run has started", func() bool { return k.runID() != old })
			k.newSession()
			k.message()
			k.hangUp()
			k.ended()
		},
		"canceled": func(k *talk) {
			k.start(conversation.Policy{})
			require.NoError(k.t, k.s.Temporal.CancelWorkflow(k.t.Context(), k.id.WorkflowID(), ""))
			require.Error(k.t, k.result(nil))
		},
		"canceled-and-ended": func(k *talk) {
			k.start(conversation.Policy{EndOnCancel: true})
			require.NoError(k.t, k.s.Temporal.CancelWorkflow(k.t.Context(), k.id.WorkflowID(), ""))
			require.Error(k.t, k.result(nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTalk(t, sharedStack(t))
			play(k)
			last := k.history("")
			save(t, name, last)
			if before := last[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId(); before != "" {
				save(t, name+"-before", k.history(before))
			}
		})
	}
}

// save writes a history, without the name of the machine. Next to it, it writes the
// version that recorded it.
func save(t *testing.T, name string, events []*historypb.HistoryEvent) {
	t.Helper()
	text, err := temporalproto.CustomJSONMarshalOptions{Indent: "  "}.Marshal(&historypb.History{Events: events})
	require.NoError(t, err)
	host, err := os.Hostname()
	require.NoError(t, err)
	clean := strings.NewReplacer("@"+host+"@", "@host@", `"`+host+":", `"host:`).Replace(string(text))
	require.NotContains(t, clean, `"`+host)
	if *record {
		directory := filepath.Join("..", "..", "workflows", "testdata", "histories")
		require.NoError(t, os.MkdirAll(directory, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(directory, name+".json"), []byte(clean+"\n"), 0o644))
		version, err := exec.CommandContext(t.Context(), "git", "describe", "--tags").Output()
		if err != nil {
			version = []byte("unreleased\n")
		}
		require.NoError(t, os.WriteFile(filepath.Join(directory, "VERSION"), version, 0o644))
	}
}
