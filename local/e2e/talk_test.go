package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// patience is how long a test waits for what has to happen.
const patience = 2 * time.Minute

// talk is one conversation of a test, with a session in the sandbox.
type talk struct {
	*sender.Sender
	t  *testing.T
	s  *stack.Stack
	id conversation.Identity
}

var talks atomic.Int64

// newTalk makes the session of a new conversation; nobody has told of it yet.
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
	return &talk{Sender: sender.New(s.Temporal, sender.Options{Window: new(conversation.Duration(0))}), t: t, s: s, id: identityOf(session)}
}

func identityOf(session simulator.Session) conversation.Identity {
	return conversation.Identity{
		OrgID: simulator.DemoOrgID, AuthorizationContext: simulator.DemoAuthorizationContext,
		ChannelAddressIdentifier: session.ChannelAddressIdentifier, EndUserClientID: session.EndUserClientID,
		ConversationIdentifier: session.ConversationIdentifier, SessionID: session.ID,
	}
}

// on is the same conversation on another stack, whose sandbox gets the session.
func (k *talk) on(s *stack.Stack) *talk {
	k.t.Helper()
	_, err := s.Sandbox.CreateSession(k.id.OrgID, simulator.Session{
		ID: k.id.SessionID, ConversationIdentifier: k.id.ConversationIdentifier,
		ChannelAddressIdentifier: k.id.ChannelAddressIdentifier, EndUserClientID: k.id.EndUserClientID,
		Status: simulator.StatusActive,
	})
	require.NoError(k.t, err)
	return &talk{Sender: sender.New(s.Temporal, sender.Options{Window: new(conversation.Duration(0))}), t: k.t, s: s, id: k.id}
}

// newSession is what Salesforce does when the end user comes back later.
func (k *talk) newSession() {
	k.t.Helper()
	session, err := k.s.Sandbox.CreateSession(k.id.OrgID, simulator.Session{ConversationIdentifier: k.id.ConversationIdentifier})
	require.NoError(k.t, err)
	k.id.SessionID = session.ID
}

// quick is a policy under which a conversation is idle at once.
var quick = conversation.Policy{InactivateAfter: new(conversation.Duration(time.Second)), EndAfter: new(conversation.Duration(time.Second))}

func (k *talk) start(p conversation.Policy) {
	k.t.Helper()
	k.startAt(time.Time{}, p)
}

func (k *talk) startAt(at time.Time, p conversation.Policy) {
	k.t.Helper()
	receipt, err := k.Start(k.t.Context(), conversation.Start{Identity: k.id, Policy: p, At: at})
	require.NoError(k.t, err)
	require.Equal(k.t, sender.Sent, receipt)
}

func (k *talk) message() {
	k.t.Helper()
	receipt, err := k.Message(k.t.Context(), k.id, conversation.Message{})
	require.NoError(k.t, err)
	require.Equal(k.t, sender.Sent, receipt)
}

func (k *talk) hangUp() {
	k.t.Helper()
	receipt, err := k.CloseConversation(k.t.Context(), k.id, conversation.Close{By: conversation.EndUser})
	require.NoError(k.t, err)
	require.Equal(k.t, sender.Sent, receipt)
}

// ended waits for the conversation's end.
func (k *talk) ended() conversation.Outcome {
	k.t.Helper()
	var outcome conversation.Outcome
	require.NoError(k.t, k.result(&outcome))
	return outcome
}

// result waits for the end, whatever it is. outcome may be nil.
func (k *talk) result(outcome any) error {
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	return k.s.Temporal.GetWorkflow(ctx, k.id.WorkflowID(), "").Get(ctx, outcome)
}

func (k *talk) status() conversation.Status {
	k.t.Helper()
	status, err := k.Status(k.t.Context(), k.id)
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
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	require.NoError(k.t, embedded.FastForward(ctx, k.s.Temporal, stack.Namespace, k.id.WorkflowID(), d))
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

// answers makes so many calls for this conversation be answered so; 0 means all.
func (k *talk) answers(times int, a simulator.Answer) (id string) {
	k.t.Helper()
	return k.fault(simulator.Fault{Times: times, Answer: &a})
}

// calls are the calls that the sandbox saw for this conversation.
func (k *talk) calls() []simulator.Entry { return k.among(k.s.Sandbox.Journal()) }

func (k *talk) among(entries []simulator.Entry) []simulator.Entry {
	var calls []simulator.Entry
	for _, e := range entries {
		if e.Operation != "" && e.ConversationIdentifier == k.id.ConversationIdentifier {
			calls = append(calls, e)
		}
	}
	return calls
}

// operations are those calls as words.
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
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	require.NoError(k.t, k.s.Sandbox.Wait(ctx, func(entries []simulator.Entry) bool { return done(k.among(entries)) }))
}

// answered is true once so many calls have been answered.
func answered(n int) func([]simulator.Entry) bool {
	return func(calls []simulator.Entry) bool { return len(calls) >= n && calls[n-1].Answered() }
}

// history is that of a run, of the latest without an id.
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

// phases are the values that the search attribute SessionPhase had in a run.
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

// attribute is the value that an event gives a search attribute, if any.
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

// describe is what Temporal knows of the latest run.
func (k *talk) describe() *workflowservice.DescribeWorkflowExecutionResponse {
	k.t.Helper()
	described, err := k.s.Temporal.DescribeWorkflowExecution(k.t.Context(), k.id.WorkflowID(), "")
	require.NoError(k.t, err)
	return described
}

func (k *talk) runID() string {
	k.t.Helper()
	return k.describe().GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// visible are the executions that a visibility query finds.
func visible(t *testing.T, c client.Client, query string) []*commonpb.WorkflowExecution {
	t.Helper()
	var found []*commonpb.WorkflowExecution
	var page []byte
	for {
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: page})
		require.NoError(t, err)
		for _, info := range list.GetExecutions() {
			found = append(found, info.GetExecution())
		}
		if page = list.GetNextPageToken(); len(page) == 0 {
			return found
		}
	}
}

// count is how many events of a type a history has.
func count(events []*historypb.HistoryEvent, kind enumspb.EventType) int {
	n := 0
	for _, e := range events {
		if e.GetEventType() == kind {
			n++
		}
	}
	return n
}

// first is the first event that matches.
func first(t *testing.T, events []*historypb.HistoryEvent, matches func(*historypb.HistoryEvent) bool) *historypb.HistoryEvent {
	t.Helper()
	for _, e := range events {
		if matches(e) {
			return e
		}
	}
	require.Fail(t, "no such event")
	return nil
}

// scheduled matches the event with which a call was asked for.
func scheduled(op conversation.Operation) func(*historypb.HistoryEvent) bool {
	return func(e *historypb.HistoryEvent) bool {
		return e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == string(op)
	}
}

// until asks again and again whether something is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("too late"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.FailNow(t, "waited in vain until "+what, context.Cause(ctx))
		}
	}
}
