package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/local/embedded"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// waitLimit is how long a test waits for what must happen. It only ends a test
// that hangs: on a busy machine everything takes longer.
const waitLimit = 5 * time.Minute

// talk is one conversation of a test, with a session in the sandbox.
type talk struct {
	*sender.Sender
	t  *testing.T
	s  *stack.Stack
	id conversation.Identity
	// ahead is how far the clock of the workflow was moved ahead.
	ahead time.Duration
}

// now is the time of an event that happens now by the clock of the workflow.
func (k *talk) now() time.Time { return time.Now().Add(k.ahead) }

var talks atomic.Int64

// newTalk creates the session of a new conversation. No event of it is sent yet.
func newTalk(t *testing.T, s *stack.Stack, change ...func(*simulator.Session)) *talk {
	t.Helper()
	n := talks.Add(1)
	session := simulator.Session{
		ConversationIdentifier:   fmt.Sprintf("%s-%d", strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()), n),
		ChannelAddressIdentifier: simulator.DemoChannelAddress,
		EndUserClientID:          fmt.Sprintf("+1555020%04d", n),
		Status:                   simulator.StatusActive,
	}
	for _, c := range change {
		c(&session)
	}
	session, err := s.Sandbox.CreateSession(simulator.DemoOrgID, session)
	require.NoError(t, err)
	return &talk{Sender: plainSender(s), t: t, s: s, id: identityOf(session)}
}

// plainSender returns a sender that reports every message at once.
func plainSender(s *stack.Stack) *sender.Sender {
	return sender.New(s.Temporal, sender.Options{Window: new(conversation.Duration(0))})
}

func identityOf(session simulator.Session) conversation.Identity {
	return conversation.Identity{
		OrgID: simulator.DemoOrgID, AuthorizationContext: simulator.DemoAuthorizationContext,
		ChannelAddressIdentifier: session.ChannelAddressIdentifier, EndUserClientID: session.EndUserClientID,
		ConversationIdentifier: session.ConversationIdentifier, SessionID: session.ID,
	}
}

// on returns the same conversation on another stack, and creates its session in
// that stack's sandbox.
func (k *talk) on(s *stack.Stack) *talk {
	k.t.Helper()
	_, err := s.Sandbox.CreateSession(k.id.OrgID, simulator.Session{
		ID: k.id.SessionID, ConversationIdentifier: k.id.ConversationIdentifier,
		ChannelAddressIdentifier: k.id.ChannelAddressIdentifier, EndUserClientID: k.id.EndUserClientID,
		Status: simulator.StatusActive,
	})
	require.NoError(k.t, err)
	return &talk{Sender: plainSender(s), t: k.t, s: s, id: k.id}
}

// newSession creates another session of the conversation, as Salesforce does when
// the end user comes back later.
func (k *talk) newSession() {
	k.t.Helper()
	session := simulator.Session{ConversationIdentifier: k.id.ConversationIdentifier}
	session, err := k.s.Sandbox.CreateSession(k.id.OrgID, session)
	require.NoError(k.t, err)
	k.id.SessionID = session.ID
}

// quick is a policy under which a conversation is made Inactive and ended soon.
var quick = conversation.Policy{
	InactivateAfter: new(conversation.Duration(time.Second)), EndAfter: new(conversation.Duration(time.Second)),
}

func (k *talk) start(p conversation.Policy) {
	k.t.Helper()
	k.send(func(ctx context.Context) (sender.Receipt, error) {
		return k.Start(ctx, conversation.Start{Identity: k.id, Policy: p})
	})
}

func (k *talk) message() {
	k.t.Helper()
	message := conversation.Message{At: k.now()}
	k.send(func(ctx context.Context) (sender.Receipt, error) { return k.Message(ctx, k.id, message) })
}

func (k *talk) hangUp() {
	k.t.Helper()
	hangUp := conversation.Close{By: conversation.EndUser, At: k.now()}
	k.send(func(ctx context.Context) (sender.Receipt, error) {
		return k.CloseConversation(ctx, k.id, hangUp)
	})
}

// send sends an event that the conversation must accept.
func (k *talk) send(event func(context.Context) (sender.Receipt, error)) {
	k.t.Helper()
	attempts := 0
	receipt, err := retry(k.t.Context(), func(ctx context.Context) (sender.Receipt, error) {
		attempts++
		return event(ctx)
	})
	require.NoError(k.t, err)
	if attempts > 1 && receipt == sender.AlreadyOver {
		return // an attempt that seemed to fail had succeeded
	}
	require.Equal(k.t, sender.Sent, receipt)
}

// retry does something again while its error is retryable, as senders of events
// are expected to.
func retry[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	return backoff.Retry(ctx, func() (T, error) {
		result, err := do(ctx)
		if err != nil && !sender.IsRetryable(err) {
			return result, backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)), backoff.WithMaxElapsedTime(0))
}

// ended waits for the conversation's end and returns its outcome.
func (k *talk) ended() conversation.Outcome {
	k.t.Helper()
	var outcome conversation.Outcome
	require.NoError(k.t, k.result(&outcome))
	return outcome
}

// result waits for the end of the last run and returns its error. outcome may be
// nil.
func (k *talk) result(outcome any) error {
	ctx, cancel := context.WithTimeout(k.t.Context(), waitLimit)
	defer cancel()
	return k.s.Temporal.GetWorkflow(ctx, k.id.WorkflowID(), "").Get(ctx, outcome)
}

func (k *talk) status() conversation.Status {
	k.t.Helper()
	status, err := retry(k.t.Context(), func(ctx context.Context) (conversation.Status, error) {
		return k.Status(ctx, k.id)
	})
	require.NoError(k.t, err)
	return status
}

// untilPhase waits until the conversation is in a phase.
func (k *talk) untilPhase(phase conversation.Phase) conversation.Status {
	k.t.Helper()
	var status conversation.Status
	until(k.t, "it is "+string(phase), func() bool {
		status = k.status()
		return status.Phase == phase
	})
	return status
}

// forward moves the conversation's clock ahead.
func (k *talk) forward(d time.Duration) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), waitLimit)
	defer cancel()
	require.NoError(k.t, embedded.FastForward(ctx, k.s.Temporal, stack.Namespace, k.id.WorkflowID(), d))
	k.ahead += d
}

// fault makes calls for this conversation fail.
func (k *talk) fault(f simulator.Fault) (id string) {
	k.t.Helper()
	f.Endpoint = simulator.MessagingSessionEndpoint
	f.OrgID, f.ConversationIdentifier = k.id.OrgID, k.id.ConversationIdentifier
	id, err := k.s.Sandbox.Inject(f)
	require.NoError(k.t, err)
	return id
}

// answers makes the sandbox answer this many calls of the conversation with a;
// 0 means all.
func (k *talk) answers(times int, a simulator.Answer) (id string) {
	k.t.Helper()
	return k.fault(simulator.Fault{Times: times, Answer: &a})
}

// calls returns the calls that the sandbox received for this conversation.
func (k *talk) calls() []simulator.Entry { return k.callsIn(k.s.Sandbox.Journal()) }

func (k *talk) callsIn(entries []simulator.Entry) []simulator.Entry {
	var calls []simulator.Entry
	for _, e := range entries {
		if e.Operation != "" && e.ConversationIdentifier == k.id.ConversationIdentifier {
			calls = append(calls, e)
		}
	}
	return calls
}

// operations returns the names of those calls.
func (k *talk) operations() string {
	var words []string
	for _, e := range k.calls() {
		words = append(words, e.Operation)
	}
	return strings.Join(words, " ")
}

// untilCalls waits until the sandbox's calls for this conversation are as wanted.
func (k *talk) untilCalls(done func([]simulator.Entry) bool) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), waitLimit)
	defer cancel()
	require.NoError(k.t, k.s.Sandbox.Wait(ctx, func(entries []simulator.Entry) bool { return done(k.callsIn(entries)) }))
}

// answered is true once n calls have been answered.
func answered(n int) func([]simulator.Entry) bool {
	return func(calls []simulator.Entry) bool { return len(calls) >= n && calls[n-1].Answered() }
}

// history returns the history of a run; "" is the last run.
func (k *talk) history(runID string) []*historypb.HistoryEvent {
	k.t.Helper()
	return history(k.t, k.s.Temporal, k.id.WorkflowID(), runID)
}

func history(t *testing.T, c client.Client, workflowID, runID string) []*historypb.HistoryEvent {
	t.Helper()
	var events []*historypb.HistoryEvent
	all := c.GetWorkflowHistory(t.Context(), workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for all.HasNext() {
		event, err := all.Next()
		require.NoError(t, err)
		events = append(events, event)
	}
	return events
}

// phases returns the values that the search attribute SessionPhase had in a run.
func (k *talk) phases(runID string) string {
	k.t.Helper()
	var phases []string
	for _, event := range k.history(runID) {
		if phase := attribute(k.t, event, conversation.SessionPhaseKey.GetName()); phase != "" {
			phases = append(phases, phase)
		}
	}
	return strings.Join(phases, " ")
}

// attribute returns the value that an event gives to a search attribute, if any.
func attribute(t *testing.T, event *historypb.HistoryEvent, name string) string {
	t.Helper()
	attributes := event.GetWorkflowExecutionStartedEventAttributes().GetSearchAttributes()
	if upsert := event.GetUpsertWorkflowSearchAttributesEventAttributes(); upsert != nil {
		attributes = upsert.GetSearchAttributes()
	}
	payload, ok := attributes.GetIndexedFields()[name]
	if !ok {
		return ""
	}
	var value string
	require.NoError(t, converter.GetDefaultDataConverter().FromPayload(payload, &value))
	return value
}

// describe returns Temporal's description of the last run.
func (k *talk) describe() *workflowservice.DescribeWorkflowExecutionResponse {
	k.t.Helper()
	described, err := retry(k.t.Context(),
		func(ctx context.Context) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			return k.s.Temporal.DescribeWorkflowExecution(ctx, k.id.WorkflowID(), "")
		})
	require.NoError(k.t, err)
	return described
}

func (k *talk) runID() string {
	k.t.Helper()
	return k.describe().GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// visible returns the executions that a visibility query finds.
func visible(t *testing.T, c client.Client, query string) []*commonpb.WorkflowExecution {
	t.Helper()
	var found []*commonpb.WorkflowExecution
	var page []byte
	for {
		list, err := retry(t.Context(), func(ctx context.Context) (*workflowservice.ListWorkflowExecutionsResponse, error) {
			return c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: page})
		})
		require.NoError(t, err)
		for _, info := range list.GetExecutions() {
			found = append(found, info.GetExecution())
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return found
		}
	}
}

// count returns how many events of a type a history has.
func count(events []*historypb.HistoryEvent, kind enumspb.EventType) int {
	n := 0
	for _, e := range events {
		if e.GetEventType() == kind {
			n++
		}
	}
	return n
}

// first returns the first event that matches.
func first(
	t *testing.T, events []*historypb.HistoryEvent, matches func(*historypb.HistoryEvent) bool,
) *historypb.HistoryEvent {
	t.Helper()
	for _, e := range events {
		if matches(e) {
			return e
		}
	}
	require.Fail(t, "no such event")
	return nil
}

// scheduled matches the event that scheduled a call.
func scheduled(op conversation.Operation) func(*historypb.HistoryEvent) bool {
	return func(e *historypb.HistoryEvent) bool {
		return e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == string(op)
	}
}

// until waits until a condition is true.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), waitLimit, errors.New("the time for it is over"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.FailNow(t, "waited without success until "+what, context.Cause(ctx))
		}
	}
}
