package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/seal"
)

var errStillRuns = errors.New("the conversation has not stopped early")

// BeginAgain begins a conversation again whose workflow stopped before the session had
// ended: it gave up, or an operator cancelled or terminated it. The new workflow has
// the identity, the session and the policy that the old one knew last. If the old one
// was closing the session, the new one closes it.
func (s *Sender) BeginAgain(ctx context.Context, id conversation.Identity) (Receipt, error) {
	old, err := s.Describe(ctx, id)
	switch {
	case err != nil:
		return "", fmt.Errorf("begin again: %w", err)
	case !old.IsOver():
		return "", fmt.Errorf("begin again: %w", errStillRuns)
	case old.Failure != nil && queryFailed(old.NoAnswer):
		return "", fmt.Errorf("begin again: the workflow failed with %s and has no status; send a start", old.Failure.Reason)
	case old.NoAnswer != nil:
		return "", fmt.Errorf("begin again: the old workflow must answer first: %w", old.NoAnswer)
	}
	last, err := s.lastStart(ctx, id.WorkflowID(), old.runID)
	if err != nil {
		return "", fmt.Errorf("begin again: %w", err)
	}
	start := last.start
	start.SessionID = cmp.Or(old.SessionID, start.SessionID)
	start.Policy, start.At, start.Previous = old.Policy, time.Time{}, nil
	if old.Closing == nil {
		receipt, _, err := s.start(ctx, start)
		return receipt, err
	}
	e := event{start: start, signal: conversation.SignalClose}
	e.start.At, e.untimed = timed(start.At)
	e.payload = conversation.Close{
		By: old.Closing.By, SessionID: cmp.Or(old.Closing.SessionID, start.SessionID), At: e.start.At,
	}
	receipt, _, err := s.signal(ctx, e)
	return receipt, err
}

// queryFailed reports whether a worker answered that the workflow has no status.
func queryFailed(err error) bool {
	_, failed := errors.AsType[*serviceerror.QueryFailed](err)
	return failed
}

// carriedIdentity is the part of the workflow's state that continue-as-new gives to the
// next run, and that says which start counts.
type carriedIdentity struct {
	Identity     conversation.Identity `json:"identity"`
	IdentifiedAt time.Time             `json:"identifiedAt"`
	HasStart     bool                  `json:"hasStart"`
}

// lastStart reads the start that counts in a run. The identity is that of its last call,
// or of its input, unless a later start counted. The workflow's own rule is
// State.identify in package workflows.
func (s *Sender) lastStart(ctx context.Context, workflowID, runID string) (i identification, err error) {
	history := s.temporal.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	i.converter = s.options.DataConverter
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return i, fmt.Errorf("read the history: %w", err)
		}
		if err := i.read(event); err != nil {
			return i, fmt.Errorf("read the history: %w", err)
		}
	}
	return i, nil
}

// identification finds out which start of a history counts.
type identification struct {
	converter converter.DataConverter
	start     conversation.Start
	// at is the time of the newest start, zero if there was none.
	at time.Time
	// hasStart: a start counts already. callFailed: the last call failed, so the
	// conversation may be Blocked.
	hasStart, callFailed bool
}

func (i *identification) read(event *historypb.HistoryEvent) error {
	recorded := event.GetEventTime().AsTime()
	switch event.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		return i.readInput(event.GetWorkflowExecutionStartedEventAttributes(), recorded)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		var of conversation.Identity
		err := i.decode(event.GetActivityTaskScheduledEventAttributes().GetInput(), &of)
		if err == nil && of.WorkflowID() == i.start.WorkflowID() {
			i.start.Identity = of
		}
		i.callFailed = false
		return keyMissing(err)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED, enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
		i.callFailed = true
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		return i.readSignal(event.GetWorkflowExecutionSignaledEventAttributes(), recorded)
	default:
	}
	return nil
}

// decode decodes the first payload.
func (i *identification) decode(payloads *commonpb.Payloads, into any) error {
	if len(payloads.GetPayloads()) == 0 {
		return errNoPayload
	}
	return seal.Read(i.converter, payloads.GetPayloads()[0], into)
}

var errNoPayload = errors.New("there is no payload")

// keyMissing returns the error if it says that a key is missing. What cannot be read for
// another reason the workflow has ignored too.
func keyMissing(err error) error {
	if errors.Is(err, seal.ErrKeyMissing) {
		return err
	}
	return nil
}

func (i *identification) readSignal(
	signal *historypb.WorkflowExecutionSignaledEventAttributes, recorded time.Time,
) error {
	if signal.GetSignalName() != conversation.SignalStart {
		return nil
	}
	var newer conversation.Start
	if err := i.decode(signal.GetInput(), &newer); err != nil || newer.Validate() != nil {
		return keyMissing(err)
	}
	at := conversation.EventTime(newer.At, recorded)
	if at.Before(i.at) {
		return nil
	}
	known := i.start.SessionID
	isNewer := newer.SessionID != "" && known != "" && !conversation.SameSession(newer.SessionID, known)
	if !i.hasStart || i.callFailed || isNewer {
		i.start.Identity = newer.Identity
	}
	i.start.Provisional, i.at, i.hasStart = false, at, true
	return nil
}

// readInput reads the start with which a run began.
func (i *identification) readInput(
	started *historypb.WorkflowExecutionStartedEventAttributes, recorded time.Time,
) error {
	input := started.GetInput().GetPayloads()
	if started.GetContinuedExecutionRunId() != "" && len(input) > 1 {
		var carried carriedIdentity
		err := seal.Read(i.converter, input[1], &carried)
		i.start.Identity, i.start.Provisional = carried.Identity, carried.IdentifiedAt.IsZero()
		i.at, i.hasStart = carried.IdentifiedAt, carried.HasStart
		return err
	}
	err := i.decode(started.GetInput(), &i.start)
	if err == nil && !i.start.Provisional {
		i.at, i.hasStart = conversation.EventTime(i.start.At, recorded), true
	}
	return err
}
