package workflows

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// harness runs one conversation in virtual time, with a simulated Salesforce.
type harness struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T

	mu      sync.Mutex
	replies map[conversation.Operation][]reply
	calls   []string
	timers  []string
	phases  []string
	updates int
	// problems are the errors that the workflow logged.
	problems errorLog
}

// reply is Salesforce's answer to one attempt.
type reply func() (conversation.Answer, error)

func success() (conversation.Answer, error) { return conversation.Answer{}, nil }

func alreadyOver() (conversation.Answer, error) { return conversation.Answer{AlreadyOver: true}, nil }

// refused is an answer that needs an operator.
func refused() (conversation.Answer, error) {
	return conversation.Answer{}, temporal.NewNonRetryableApplicationError("no access", "NO_ACCESS", nil,
		conversation.Answer{Operation: conversation.End, Reason: "NO_ACCESS", HTTPStatus: 403, RequestID: "r1", Attempt: 1})
}

// busy is a retryable answer.
func busy() (conversation.Answer, error) {
	return conversation.Answer{}, temporal.NewApplicationError("busy", "INTERNAL_ERROR", conversation.Answer{Attempt: 1})
}

func newHarness(t *testing.T) *harness {
	var suite testsuite.WorkflowTestSuite
	h := &harness{t: t, replies: map[conversation.Operation][]reply{}}
	suite.SetLogger(&h.problems)
	h.TestWorkflowEnvironment = suite.NewTestWorkflowEnvironment()
	Register(h.TestWorkflowEnvironment)
	h.SetStartTime(t0)
	h.SetTestTimeout(20 * time.Second)
	h.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: identity("").WorkflowID()})
	for _, op := range []conversation.Operation{conversation.Inactivate, conversation.End} {
		h.RegisterActivityWithOptions(func(_ context.Context, r activities.Request) (conversation.Answer, error) {
			return h.attempt(op, r)
		}, activity.RegisterOptions{Name: string(op)})
	}
	h.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		h.timers = append(h.timers, fmt.Sprintf("%s+%s", seconds(h.Now()), d))
	})
	h.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		changes := args.Get(0).(temporal.SearchAttributes)
		for _, key := range []temporal.SearchAttributeKeyKeyword{conversation.SessionPhaseKey, conversation.ErrorReasonKey} {
			if value, ok := changes.GetKeyword(key); ok {
				h.phases = append(h.phases, value)
			}
		}
	}).Return(nil).Maybe()
	return h
}

func (h *harness) attempt(op conversation.Operation, r activities.Request) (conversation.Answer, error) {
	h.mu.Lock()
	h.calls = append(h.calls, fmt.Sprintf("%s %s by %s", seconds(h.Now()), op, r.By))
	next := reply(success)
	if left := h.replies[op]; len(left) > 0 {
		next, h.replies[op] = left[0], left[1:]
	}
	h.mu.Unlock()
	answer, err := next()
	answer.Operation, answer.By, answer.Attempt = op, r.By, max(answer.Attempt, 1)
	return answer, err
}

// salesforce sets the replies to the next attempts of an operation. Later attempts
// succeed.
func (h *harness) salesforce(op conversation.Operation, replies ...reply) { h.replies[op] = replies }

// times repeats a reply n times.
func times(n int, r reply) []reply { return slices.Repeat([]reply{r}, n) }

// after runs a function so many seconds after the start.
func (h *harness) after(seconds int, do func()) {
	h.RegisterDelayedCallback(do, time.Duration(seconds)*time.Second)
}

// signal sends a signal so many seconds after the start.
func (h *harness) signal(seconds int, name string, payload any) {
	h.after(seconds, func() { h.SignalWorkflow(name, payload) })
}

// justBefore sends a message that arrives in the same workflow task as the next event.
func (h *harness) justBefore(seconds int, m conversation.Message) {
	h.RegisterDelayedCallback(func() { h.SignalWorkflowSkippingWorkflowTask(conversation.SignalMessage, m) },
		time.Duration(seconds)*time.Second-time.Millisecond)
}

// run runs a conversation that started at t0 to its end.
func (h *harness) run(change ...func(*conversation.Start)) {
	h.t.Helper()
	s := started(s1, 0)
	for _, c := range change {
		c(&s)
	}
	h.ExecuteWorkflow(conversation.WorkflowType, s)
	require.True(h.t, h.IsWorkflowCompleted(), "the workflow has not ended")
}

// ended returns the outcome.
func (h *harness) ended() conversation.Outcome {
	h.t.Helper()
	require.NoError(h.t, h.GetWorkflowError())
	var outcome conversation.Outcome
	require.NoError(h.t, h.GetWorkflowResult(&outcome))
	return outcome
}

func (h *harness) status() conversation.Status {
	h.t.Helper()
	value, err := h.QueryWorkflow(conversation.QueryStatus)
	require.NoError(h.t, err)
	var status conversation.Status
	require.NoError(h.t, value.Get(&status))
	return status
}

// expectPhase checks the phase so many seconds after the start.
func (h *harness) expectPhase(seconds int, phase conversation.Phase) {
	h.after(seconds, func() { require.Equal(h.t, phase, h.status().Phase, "after %d s", seconds) })
}

// closeResult is the result of an update "close".
type closeResult struct {
	outcome  *conversation.Outcome
	err      error
	accepted bool
	returned bool
}

// closeAndWait sends the update "close" so many seconds after the start. What before does
// is in the same workflow task.
func (h *harness) closeAndWait(seconds int, c conversation.Close, before ...func()) *closeResult {
	a := &closeResult{}
	h.after(seconds, func() {
		for _, do := range before {
			do()
		}
		h.updates++
		h.UpdateWorkflow(conversation.UpdateClose, fmt.Sprint("update-", h.updates), &testsuite.TestUpdateCallback{
			OnAccept: func() { a.accepted = true },
			OnReject: func(err error) { a.err, a.returned = err, true },
			OnComplete: func(result any, err error) {
				a.returned, a.err = true, err
				if outcome, ok := result.(*conversation.Outcome); ok {
					a.outcome = new(*outcome) // as it was: the workflow goes on with its own
				}
			},
		}, c)
	})
	return a
}

// errorLog keeps the errors that the workflow logs.
type errorLog struct {
	discardLogger
	lines []string
}

func (l *errorLog) Error(text string, pairs ...any) {
	l.lines = append(l.lines, text+" "+fmt.Sprint(pairs...))
}

// discardLogger discards the log of the test environment.
type discardLogger struct{}

func (discardLogger) Debug(string, ...any) {}
func (discardLogger) Info(string, ...any)  {}
func (discardLogger) Warn(string, ...any)  {}
func (discardLogger) Error(string, ...any) {}

// details returns the details in the Web UI.
func (h *harness) details() string {
	h.t.Helper()
	value, err := h.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(h.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(h.t, value.Get(&metadata))
	return metadata.CurrentDetails
}
