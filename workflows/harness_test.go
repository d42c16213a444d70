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

// harness runs one conversation in virtual time, with a Salesforce that answers
// as it is told.
type harness struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T

	mu      sync.Mutex
	replies map[conversation.Operation][]reply
	calls   []string
	timers  []string
	phases  []string
	updates int
}

// reply is Salesforce's answer to one attempt.
type reply func() (conversation.Answer, error)

func success() (conversation.Answer, error) { return conversation.Answer{}, nil }

func alreadyOver() (conversation.Answer, error) { return conversation.Answer{AlreadyOver: true}, nil }

// refused is an answer that only an operator can change.
func refused() (conversation.Answer, error) {
	return conversation.Answer{}, temporal.NewNonRetryableApplicationError("no access", "NO_ACCESS", nil,
		conversation.Answer{Operation: conversation.End, Reason: "NO_ACCESS", HTTPStatus: 403, RequestID: "r1", Attempt: 1})
}

// busy is an answer to try again.
func busy() (conversation.Answer, error) {
	return conversation.Answer{}, temporal.NewApplicationError("busy", "INTERNAL_ERROR", conversation.Answer{Attempt: 1})
}

func newHarness(t *testing.T) *harness {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	b := &harness{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, replies: map[conversation.Operation][]reply{}}
	Register(b.TestWorkflowEnvironment)
	b.SetStartTime(t0)
	b.SetTestTimeout(20 * time.Second)
	b.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: identity("").WorkflowID()})
	for _, op := range []conversation.Operation{conversation.Inactivate, conversation.End} {
		b.RegisterActivityWithOptions(func(_ context.Context, r activities.Request) (conversation.Answer, error) {
			return b.called(op, r)
		}, activity.RegisterOptions{Name: string(op)})
	}
	b.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		b.timers = append(b.timers, fmt.Sprintf("%s+%s", seconds(b.Now()), d))
	})
	b.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		changes := args.Get(0).(temporal.SearchAttributes)
		for _, key := range []temporal.SearchAttributeKeyKeyword{conversation.SessionPhaseKey, conversation.ErrorReasonKey} {
			if value, ok := changes.GetKeyword(key); ok {
				b.phases = append(b.phases, value)
			}
		}
	}).Return(nil).Maybe()
	return b
}

func (b *harness) called(op conversation.Operation, r activities.Request) (conversation.Answer, error) {
	b.mu.Lock()
	b.calls = append(b.calls, fmt.Sprintf("%s %s by %s", seconds(b.Now()), op, r.By))
	say := reply(success)
	if left := b.replies[op]; len(left) > 0 {
		say, b.replies[op] = left[0], left[1:]
	}
	b.mu.Unlock()
	answer, err := say()
	answer.Operation, answer.By, answer.Attempt = op, r.By, max(answer.Attempt, 1)
	return answer, err
}

// salesforce answers the coming attempts of an operation in this way, then with
// success.
func (b *harness) salesforce(op conversation.Operation, replies ...reply) { b.replies[op] = replies }

// times is one reply n times.
func times(n int, r reply) []reply { return slices.Repeat([]reply{r}, n) }

// after does something so many seconds after the start.
func (b *harness) after(seconds int, do func()) {
	b.RegisterDelayedCallback(do, time.Duration(seconds)*time.Second)
}

// signal sends a signal so many seconds after the start.
func (b *harness) signal(seconds int, name string, payload any) {
	b.after(seconds, func() { b.SignalWorkflow(name, payload) })
}

// justBefore sends a message that arrives in the workflow task of what comes
// next.
func (b *harness) justBefore(seconds int, m conversation.Message) {
	b.RegisterDelayedCallback(func() { b.SignalWorkflowSkippingWorkflowTask(conversation.SignalMessage, m) },
		time.Duration(seconds)*time.Second-time.Millisecond)
}

// run runs a conversation that started at t0 to its end.
func (b *harness) run(change ...func(*conversation.Start)) {
	b.t.Helper()
	s := started(s1, 0)
	for _, c := range change {
		c(&s)
	}
	b.ExecuteWorkflow(conversation.WorkflowType, s)
	require.True(b.t, b.IsWorkflowCompleted(), "it never ended")
}

// ended is the outcome of a conversation that has one.
func (b *harness) ended() conversation.Outcome {
	b.t.Helper()
	require.NoError(b.t, b.GetWorkflowError())
	var outcome conversation.Outcome
	require.NoError(b.t, b.GetWorkflowResult(&outcome))
	return outcome
}

func (b *harness) status() conversation.Status {
	b.t.Helper()
	value, err := b.QueryWorkflow(conversation.QueryStatus)
	require.NoError(b.t, err)
	var status conversation.Status
	require.NoError(b.t, value.Get(&status))
	return status
}

// expectPhase looks at the phase at a time.
func (b *harness) expectPhase(seconds int, phase conversation.Phase) {
	b.after(seconds, func() { require.Equal(b.t, phase, b.status().Phase, "after %d s", seconds) })
}

// asked is a caller of the update "close".
type asked struct {
	outcome  *conversation.Outcome
	err      error
	accepted bool
	answered bool
}

// ask closes by update so many seconds after the start.
func (b *harness) ask(seconds int, c conversation.Close) *asked {
	a := &asked{}
	b.after(seconds, func() {
		b.updates++
		b.UpdateWorkflow(conversation.UpdateClose, fmt.Sprint("update-", b.updates), &testsuite.TestUpdateCallback{
			OnAccept: func() { a.accepted = true },
			OnReject: func(err error) { a.err, a.answered = err, true },
			OnComplete: func(result any, err error) {
				a.answered, a.err = true, err
				a.outcome, _ = result.(*conversation.Outcome)
			},
		}, c)
	})
	return a
}

// quiet drops the test environment's log.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// details is the page that an operator reads.
func (b *harness) details() string {
	b.t.Helper()
	value, err := b.QueryWorkflow("__temporal_workflow_metadata")
	require.NoError(b.t, err)
	var metadata sdkpb.WorkflowMetadata
	require.NoError(b.t, value.Get(&metadata))
	return metadata.CurrentDetails
}
