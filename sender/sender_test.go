package sender_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/temporaltest"
	"sessionkeeper/sender"
)

const (
	reject = enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	allow  = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	failed = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY

	session      = "0Mw000000000001"
	otherSession = "0Mw000000000002AAA"
)

var (
	end    = time.Date(2026, 1, 15, 9, 0, 0, 0, time.UTC)
	before = end.Add(-time.Second)
	after  = end.Add(time.Second)

	full = conversation.Identity{
		OrgID: "00D000000000001", AuthorizationContext: "Partner1_ChannelDefinition1", ChannelAddressIdentifier: "8f5d1c1e",
		EndUserClientID: "+15550100001", ConversationIdentifier: "c1",
	}
	key = conversation.Identity{OrgID: full.OrgID, ConversationIdentifier: full.ConversationIdentifier}
)

func start(t *testing.T) (*temporaltest.Server, *sender.Sender) {
	t.Helper()
	server := temporaltest.Start(t)
	return server, sender.New(server.Client(t), sender.Options{Window: new(conversation.Duration(0))})
}

// sendFunc sends an event with this time and session.
type sendFunc func(ctx context.Context, s *sender.Sender, at time.Time, session string) (sender.Receipt, error)

func started(ctx context.Context, s *sender.Sender, at time.Time, session string) (sender.Receipt, error) {
	id := full
	id.SessionID = session
	return s.Start(ctx, conversation.Start{Identity: id, At: at})
}

func message(ctx context.Context, s *sender.Sender, at time.Time, session string) (sender.Receipt, error) {
	return s.Message(ctx, full, conversation.Message{At: at, SessionID: session})
}

func closed(ctx context.Context, s *sender.Sender, at time.Time, session string) (sender.Receipt, error) {
	return s.CloseConversation(ctx, full, conversation.Close{At: at, SessionID: session})
}

func endedInSalesforce(ctx context.Context, s *sender.Sender, at time.Time, session string) (sender.Receipt, error) {
	return s.SessionStatus(ctx, key, conversation.SessionStatus{SessionID: session, Status: conversation.StatusEnded, At: at})
}

func TestEventTimeDecidesWhetherItBelongsToTheEndedSession(t *testing.T) {
	outcome := &conversation.Outcome{Why: conversation.Closed, EndsEventsUntil: end, SessionID: session}
	began := end.Add(-time.Hour)
	since := func(startedAt time.Time) temporaltest.Run {
		of := *outcome
		of.StartedAt = startedAt
		return temporaltest.Run{Outcome: &of}
	}
	long, short, idle, gone := since(began), since(before), since(before), since(before)
	// Their last event was long before their end.
	idle.Outcome.Why, gone.Outcome.Why = conversation.Idle, conversation.AlreadyOver
	idle.Outcome.At, gone.Outcome.At = end.Add(time.Hour), end.Add(time.Hour)
	for name, test := range map[string]struct {
		run     temporaltest.Run
		send    sendFunc
		at      time.Time
		session string
		want    sender.Receipt
	}{
		"start before the end":                      {temporaltest.Run{Outcome: outcome}, started, before, session, sender.AlreadyOver},
		"start at the end":                          {temporaltest.Run{Outcome: outcome}, started, end, session, sender.AlreadyOver},
		"start of the session that has ended":       {temporaltest.Run{Outcome: outcome}, started, after, session, sender.AlreadyOver},
		"start of another session":                  {temporaltest.Run{Outcome: outcome}, started, after, otherSession, sender.Sent},
		"start of another, by a clock behind":       {long, started, before, otherSession, sender.Sent},
		"message of one before":                     {long, message, began, otherSession, sender.AlreadyOver},
		"message of one before, a clock ahead":      {long, message, began.Add(5 * time.Second), otherSession, sender.AlreadyOver},
		"start of another, after a short one":       {short, started, after, otherSession, sender.Sent},
		"start of one before, after an idle one":    {idle, started, after, otherSession, sender.AlreadyOver},
		"start of one before, after one over":       {gone, started, after, otherSession, sender.AlreadyOver},
		"message of another, after a short one":     {short, message, after, otherSession, sender.Sent},
		"Salesforce's end of one before the end":    {long, endedInSalesforce, before, otherSession, sender.AlreadyOver},
		"message before the end":                    {temporaltest.Run{Outcome: outcome}, message, before, "", sender.AlreadyOver},
		"message after the end":                     {temporaltest.Run{Outcome: outcome}, message, after, "", sender.Sent},
		"message of the session that has ended":     {temporaltest.Run{Outcome: outcome}, message, after, session, sender.AlreadyOver},
		"message of now":                            {temporaltest.Run{Outcome: outcome}, message, time.Time{}, "", sender.Sent},
		"close before the end":                      {temporaltest.Run{Outcome: outcome}, closed, before, "", sender.AlreadyOver},
		"close after the end":                       {temporaltest.Run{Outcome: outcome}, closed, after, "", sender.Sent},
		"close of the session that has ended":       {temporaltest.Run{Outcome: outcome}, closed, after, session, sender.AlreadyOver},
		"close of it, by its long id, now":          {temporaltest.Run{Outcome: outcome}, closed, time.Time{}, session + "AAA", sender.AlreadyOver},
		"close of another session":                  {temporaltest.Run{Outcome: outcome}, closed, after, otherSession, sender.Sent},
		"Salesforce's end of the same session":      {temporaltest.Run{Outcome: outcome}, endedInSalesforce, after, session, sender.AlreadyOver},
		"Salesforce's end of another, later":        {temporaltest.Run{Outcome: outcome}, endedInSalesforce, after, otherSession, sender.Sent},
		"Salesforce's end of another, earlier":      {temporaltest.Run{Outcome: outcome}, endedInSalesforce, before, otherSession, sender.AlreadyOver},
		"before the end of a run that failed":       {temporaltest.Run{Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED}, message, before, "", sender.AlreadyOver},
		"at the end of a run that was terminated":   {temporaltest.Run{Status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED}, message, end, "", sender.AlreadyOver},
		"after the end of a run that failed":        {temporaltest.Run{Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED}, message, after, "", sender.Sent},
		"of now, after a run that was canceled":     {temporaltest.Run{Status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED}, message, time.Time{}, "", sender.Sent},
		"close of the session of a run that failed": {temporaltest.Run{Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED}, closed, after, session, sender.Sent},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			test.run.WorkflowID, test.run.Ended = full.WorkflowID(), end
			if test.run.Outcome != nil {
				// Only the outcome's EndsEventsUntil counts, not when the run ended.
				test.run.Ended = end.Add(time.Hour)
			}
			server.SetLastRun(test.run)

			got, err := test.send(t.Context(), s, test.at, test.session)
			require.NoError(t, err)
			require.Equal(t, test.want, got)

			begun := []enumspb.WorkflowIdReusePolicy{reject}
			if test.want == sender.Sent {
				policy := failed // another run may have completed meanwhile
				if test.run.Outcome != nil {
					policy = allow
				}
				begun = append(begun, policy)
			}
			require.Equal(t, begun, reuses(server))
		})
	}
}

// The workflow that begins after another one gets what the sender knows of that one.
func TestNextRunKnowsThePreviousOne(t *testing.T) {
	kept := conversation.Policy{InactivateAfter: new(conversation.Duration(3 * time.Second))}.WithDefaults()
	outcome := &conversation.Outcome{Why: conversation.Closed, EndsEventsUntil: end, SessionID: session, Policy: kept}
	notActive := &conversation.Outcome{
		Why: conversation.AlreadyOver, LastAnswer: &conversation.Answer{NotActive: true}, EndsEventsUntil: end, SessionID: session,
	}
	previous := &conversation.PreviousSession{SessionID: session, EndsEventsUntil: end}
	for name, test := range map[string]struct {
		run  temporaltest.Run
		send sendFunc
		want conversation.Start
	}{
		"a message keeps the policy": {
			temporaltest.Run{Outcome: outcome}, message, conversation.Start{Policy: kept, Previous: previous},
		},
		"a start brings its own": {
			temporaltest.Run{Outcome: outcome}, started, conversation.Start{Previous: previous},
		},
		"a session after one that may be Inactive": {
			temporaltest.Run{Outcome: notActive}, started, conversation.Start{Previous: previous},
		},
		"a close, after a run without an outcome": {
			temporaltest.Run{Status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED},
			closed,
			conversation.Start{Previous: &conversation.PreviousSession{EndsEventsUntil: end}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			test.run.WorkflowID, test.run.Ended = full.WorkflowID(), end
			server.SetLastRun(test.run)
			_, err := test.send(t.Context(), s, after, otherSession)
			require.NoError(t, err)
			var begun conversation.Start
			require.NoError(t, json.Unmarshal(server.Calls()[len(server.Calls())-1].Input, &begun))
			require.Equal(t, test.want.Previous, begun.Previous)
			require.Equal(t, test.want.Policy, begun.Policy)
		})
	}
}

// Salesforce says that a session is alive after the worker's End of it succeeded.
func TestAliveAfterEnd(t *testing.T) {
	for name, test := range map[string]struct {
		why     conversation.Why
		status  string
		session string
		at      time.Time
		want    sender.Receipt
	}{
		"Active":                         {conversation.Closed, conversation.StatusActive, session, after, sender.AliveAfterEnd},
		"Waiting, after an idle end":     {conversation.Idle, conversation.StatusWaiting, session + "AAA", after, sender.AliveAfterEnd},
		"without a time":                 {conversation.Closed, conversation.StatusActive, session, time.Time{}, sender.AliveAfterEnd},
		"sent before the end":            {conversation.Closed, conversation.StatusActive, session, before, sender.NotTracked},
		"another session":                {conversation.Closed, conversation.StatusActive, otherSession, after, sender.NotTracked},
		"Inactive":                       {conversation.Closed, conversation.StatusInactive, session, after, sender.NotTracked},
		"Salesforce ended it, not we":    {conversation.EndedInSalesforce, conversation.StatusActive, session, after, sender.NotTracked},
		"it was over before we ended it": {conversation.AlreadyOver, conversation.StatusActive, session, after, sender.NotTracked},
	} {
		t.Run(name, func(t *testing.T) {
			server := temporaltest.Start(t)
			var log bytes.Buffer
			s := sender.New(server.Client(t), sender.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Ended: end, Outcome: &conversation.Outcome{
				Why: test.why, SessionID: session, At: end, EndsEventsUntil: before,
			}})
			got, err := s.SessionStatus(t.Context(), key, conversation.SessionStatus{
				SessionID: test.session, Status: test.status, At: test.at,
			})
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			counted := uint64(0)
			if test.want == sender.AliveAfterEnd {
				counted = 1
				require.Contains(t, log.String(), "alive")
			} else {
				require.Empty(t, log.String())
			}
			require.Equal(t, counted, s.Stats().AliveAfterEnd)
		})
	}
}

// reuses are the reuse policies with which conversations were to be started,
// repetitions left out.
func reuses(server *temporaltest.Server) []enumspb.WorkflowIdReusePolicy {
	var policies []enumspb.WorkflowIdReusePolicy
	for _, call := range server.Calls() {
		if call.Reuse != 0 {
			policies = append(policies, call.Reuse)
		}
	}
	return slices.Compact(policies)
}

func TestEventAfterRetentionStartsANewWorkflow(t *testing.T) {
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Ended: end, Outcome: &conversation.Outcome{EndsEventsUntil: end}})
	server.Fail(func(method string) error {
		if method == "DescribeWorkflowExecution" {
			return serviceerror.NewNotFound("workflow not found")
		}
		return nil
	})
	got, err := message(t.Context(), s, before, "")
	require.NoError(t, err)
	require.Equal(t, sender.Sent, got)
}

func TestAnEndThatCannotBeLookedUpIsAnError(t *testing.T) {
	server, s := start(t)
	server.SetLastRun(temporaltest.Run{WorkflowID: full.WorkflowID(), Ended: end, Outcome: &conversation.Outcome{EndsEventsUntil: end}})
	server.Fail(func(method string) error {
		if method == "DescribeWorkflowExecution" {
			return serviceerror.NewPermissionDenied("not yours", "")
		}
		return nil
	})
	_, err := message(t.Context(), s, before, "")
	require.ErrorContains(t, err, "message 00D000000000001:c1: look up the last run: not yours")
	var denied *serviceerror.PermissionDenied
	require.ErrorAs(t, err, &denied)
}

func TestTheFirstEventStartsTheConversation(t *testing.T) {
	server := temporaltest.Start(t)
	policy := conversation.Policy{InactivateAfter: new(conversation.Duration(5 * time.Minute))}
	s := sender.New(server.Client(t), sender.Options{ID: "a", TaskQueue: "elsewhere", Policy: policy})

	got, err := s.Message(t.Context(), full, conversation.Message{At: before, SessionID: session})
	require.NoError(t, err)
	require.Equal(t, sender.Sent, got)

	calls := server.Calls()
	require.Len(t, calls, 1)
	call := calls[0]
	require.Equal(t, "00D000000000001:c1", call.WorkflowID)
	require.Equal(t, conversation.SignalMessage, call.Name)
	require.JSONEq(t, `{"sessionId":"0Mw000000000001","at":"2026-01-15T08:59:59Z","lease":{"holder":"a"}}`, string(call.Payload))
	require.JSONEq(t, `{"orgId":"00D000000000001","authorizationContext":"Partner1_ChannelDefinition1",
		"channelAddressIdentifier":"8f5d1c1e","endUserClientId":"+15550100001","conversationIdentifier":"c1",
		"sessionId":"0Mw000000000001","policy":{"inactivateAfter":"5m"},"at":"2026-01-15T08:59:59Z","provisional":true}`, string(call.Input))
	require.Equal(t, conversation.WorkflowType, call.Start.GetWorkflowType().GetName())
	require.Equal(t, "elsewhere", call.Start.GetTaskQueue().GetName())
	require.Equal(t, full.OrgID, call.Start.GetPriority().GetFairnessKey())

	attributes := call.Start.GetSearchAttributes().GetIndexedFields()
	require.Equal(t, `"Active"`, string(attributes["SessionPhase"].GetData()))
	require.Equal(t, `"00D000000000001"`, string(attributes["OrgId"].GetData()))

	shown := fmt.Sprint(call.Start.GetUserMetadata(), call.Start.GetSearchAttributes(), call.Start.GetMemo(), call.Start.GetHeader())
	require.NotContains(t, shown, full.EndUserClientID, "personal data where everybody reads it")
	require.Contains(t, shown, "Inactivate after 5m without activity, End 24h later.")
}

func TestTheDetailsSayWhatAPolicyLeavesOut(t *testing.T) {
	never := new(conversation.Duration(0))
	for want, policy := range map[string]conversation.Policy{
		"Never made Inactive.": {InactivateAfter: never},
		"Inactivate after 10m without activity; Salesforce ends it.": {EndAfter: never},
	} {
		server, s := start(t)
		_, err := s.Start(t.Context(), conversation.Start{Identity: full, Policy: policy})
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(server.Calls()[0].Start.GetUserMetadata()), want)
	}
}

func TestOnlyTheKeyReachesOnlyAConversationThatRuns(t *testing.T) {
	for name, send := range map[string]func(context.Context, *sender.Sender) (sender.Receipt, error){
		conversation.SignalMessage: func(ctx context.Context, s *sender.Sender) (sender.Receipt, error) {
			return s.Message(ctx, key, conversation.Message{})
		},
		conversation.SignalClose: func(ctx context.Context, s *sender.Sender) (sender.Receipt, error) {
			return s.CloseConversation(ctx, key, conversation.Close{By: conversation.EndUser})
		},
		conversation.SignalSessionStatus: func(ctx context.Context, s *sender.Sender) (sender.Receipt, error) {
			return s.SessionStatus(ctx, key, conversation.SessionStatus{SessionID: session, Status: conversation.StatusWaiting})
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t)
			got, err := send(t.Context(), s)
			require.NoError(t, err)
			require.Equal(t, sender.NotTracked, got)

			server.SetLastRun(temporaltest.Run{WorkflowID: key.WorkflowID()})
			got, err = send(t.Context(), s)
			require.NoError(t, err)
			require.Equal(t, sender.Sent, got)

			for _, call := range server.Calls() {
				if call.Method != "DescribeWorkflowExecution" {
					require.Equal(t, "SignalWorkflowExecution", call.Method)
					require.Equal(t, name, call.Name)
				}
			}
		})
	}
}

func TestSessionStatusEndedStartsAnUnknownConversation(t *testing.T) {
	server, s := start(t)
	status := conversation.SessionStatus{SessionID: session, Status: conversation.StatusEnded, ChannelAddressIdentifier: "8f5d1c1e"}
	status.EndTime.Time = end
	got, err := s.SessionStatus(t.Context(), key, status)
	require.NoError(t, err)
	require.Equal(t, sender.Sent, got)

	var begun conversation.Start
	require.NoError(t, json.Unmarshal(server.Calls()[0].Input, &begun))
	require.Equal(t, session, begun.SessionID)
	require.Equal(t, "8f5d1c1e", begun.ChannelAddressIdentifier)
	require.Equal(t, end, begun.At, "an entry without a time is of its session's end")
}

func TestWrongInputIsNamedAndNotSent(t *testing.T) {
	server, s := start(t)
	nothing := conversation.Identity{}
	_, err := s.Start(t.Context(), conversation.Start{Identity: key})
	require.ErrorContains(t, err, "start: invalid: authorizationContext must be")
	_, err = s.Message(t.Context(), nothing, conversation.Message{SessionID: "x"})
	require.EqualError(t, err, "message: invalid: orgId must be the org's 15-character id, such as 00D000000000001; "+
		"conversationIdentifier is missing; sessionId must be a Salesforce record id of 15 or 18 characters")
	_, err = s.CloseConversation(t.Context(), full, conversation.Close{By: "Agent", SessionID: "x"})
	require.EqualError(t, err, "close: invalid: sessionId must be a Salesforce record id of 15 or 18 characters; by must be EndUser or System")
	_, err = s.CloseAndWait(t.Context(), full, conversation.Close{By: "Agent"})
	require.EqualError(t, err, "close: invalid: by must be EndUser or System")
	_, err = s.SessionStatus(t.Context(), nothing, conversation.SessionStatus{})
	require.ErrorContains(t, err, "sessionStatus is missing")
	require.ErrorContains(t, s.Retry(t.Context(), nothing), "retry: invalid: orgId")
	_, err = s.Status(t.Context(), nothing)
	require.ErrorContains(t, err, "status: invalid: orgId")

	wrong := sender.New(server.Client(t), sender.Options{Policy: conversation.Policy{EndAfter: new(conversation.Duration(-1))}})
	_, err = wrong.Message(t.Context(), full, conversation.Message{})
	require.ErrorContains(t, err, "policy.endAfter must not be negative")

	require.Empty(t, server.Calls())
	var invalid *conversation.InvalidError
	require.ErrorAs(t, err, &invalid)
}

// The lease of a run that has ended is not one of the run that the start begins.
func TestStartAfterAnEndDropsTheLease(t *testing.T) {
	server, _ := start(t)
	s := sender.New(server.Client(t), sender.Options{ID: "a"})
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	at := time.Now().Add(-time.Minute)
	_, err := s.Message(t.Context(), full, conversation.Message{At: at})
	require.NoError(t, err)
	server.SetLastRun(temporaltest.Run{
		WorkflowID: full.WorkflowID(), Ended: at.Add(time.Second), Outcome: &conversation.Outcome{EndsEventsUntil: at},
	})
	receipt, err := s.Start(t.Context(), conversation.Start{Identity: full, At: at.Add(2 * time.Second)})
	require.NoError(t, err)
	require.Equal(t, sender.Sent, receipt)
	receipt, err = s.Message(t.Context(), full, conversation.Message{At: at.Add(3 * time.Second)})
	require.NoError(t, err)
	require.Equal(t, sender.Sent, receipt, "the new run has no lease")
}

// An identity that is neither complete nor only the two identifiers is a mistake.
func TestIncompleteIdentityIsRefused(t *testing.T) {
	_, s := start(t)
	key := conversation.Identity{OrgID: full.OrgID, ConversationIdentifier: full.ConversationIdentifier}
	for missing, change := range map[string]func(*conversation.Identity){
		"endUserClientId":          func(id *conversation.Identity) { id.AuthorizationContext = full.AuthorizationContext },
		"authorizationContext":     func(id *conversation.Identity) { id.ChannelAddressIdentifier = full.ChannelAddressIdentifier },
		"channelAddressIdentifier": func(id *conversation.Identity) { id.EndUserClientID = full.EndUserClientID },
	} {
		id := key
		change(&id)
		_, err := s.CloseConversation(t.Context(), id, conversation.Close{})
		require.ErrorContains(t, err, missing)
	}
}
