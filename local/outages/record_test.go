package outages_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
)

// record is what Temporal has recorded of one conversation, over all of its runs.
type record struct {
	events []recorded
	calls  []*call
	runs   []*workflowpb.WorkflowExecutionInfo
}

// recorded is an event of the routing system in a history.
type recorded struct {
	Signal  string
	Session string
	At      time.Time
	Lease   conversation.Lease
	Status  string
	// Recorded is when Temporal recorded it.
	Recorded time.Time
}

// call is a call to Salesforce in a history.
type call struct {
	Operation string
	Session   string
	By        conversation.By
	// Decided is the time of the workflow when it decided to call.
	Decided time.Time
	// Closed is when the workflow had the result, zero if it never had one.
	Closed    time.Time
	Succeeded bool
}

// read reads the histories of all runs of a conversation.
func (k *talk) read(ctx context.Context) (*record, error) {
	runs, err := k.runs(ctx)
	if err != nil {
		return nil, err
	}
	r := &record{runs: runs}
	for _, run := range runs {
		if err := r.readRun(ctx, k.temporal, run); err != nil {
			return nil, fmt.Errorf("run %s: %w", run.GetExecution().GetRunId(), err)
		}
	}
	return r, nil
}

// runs lists the runs in the order in which they began.
func (k *talk) runs(ctx context.Context) ([]*workflowpb.WorkflowExecutionInfo, error) {
	list, err := k.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: "WorkflowId = '" + k.id.WorkflowID() + "'",
	})
	if err != nil {
		return nil, err
	}
	runs := list.GetExecutions()
	slices.SortFunc(runs, func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime())
	})
	if len(runs) == 0 {
		return nil, fmt.Errorf("no run of %s is listed", k.id.WorkflowID())
	}
	return runs, nil
}

func (r *record) readRun(ctx context.Context, c client.Client, run *workflowpb.WorkflowExecutionInfo) error {
	execution := run.GetExecution()
	history := c.GetWorkflowHistory(ctx, execution.GetWorkflowId(), execution.GetRunId(), false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	tasks, calls := map[int64]time.Time{}, map[int64]*call{}
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return err
		}
		if err := r.readEvent(event, tasks, calls); err != nil {
			return fmt.Errorf("event %d: %w", event.GetEventId(), err)
		}
	}
	return nil
}

// readEvent reads one event. tasks are the times of the workflow tasks, by the number of
// the event at which they started or were completed.
func (r *record) readEvent(e *historypb.HistoryEvent, tasks map[int64]time.Time, calls map[int64]*call) error {
	at := e.GetEventTime().AsTime()
	closed := func(scheduled int64, succeeded bool) {
		calls[scheduled].Closed, calls[scheduled].Succeeded = at, succeeded
	}
	data := converter.GetDefaultDataConverter()
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		started := e.GetWorkflowExecutionStartedEventAttributes()
		if started.GetContinuedExecutionRunId() != "" {
			return nil
		}
		var start conversation.Start
		if err := data.FromPayloads(started.GetInput(), &start); err != nil {
			return err
		}
		if !start.Provisional {
			r.events = append(r.events, recorded{
				Signal: conversation.SignalStart, Session: start.SessionID, At: start.At, Recorded: at,
			})
		}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		signal := e.GetWorkflowExecutionSignaledEventAttributes()
		var payload struct {
			SessionID     string             `json:"sessionId"`
			At            time.Time          `json:"at"`
			Lease         conversation.Lease `json:"lease"`
			SessionStatus string             `json:"sessionStatus"`
		}
		if err := data.FromPayloads(signal.GetInput(), &payload); err != nil {
			return err
		}
		r.events = append(r.events, recorded{
			Signal: signal.GetSignalName(), Session: payload.SessionID, At: payload.At, Lease: payload.Lease,
			Status: payload.SessionStatus, Recorded: at,
		})
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		tasks[e.GetEventId()] = at
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		tasks[e.GetEventId()] = tasks[e.GetWorkflowTaskCompletedEventAttributes().GetStartedEventId()]
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		scheduled := e.GetActivityTaskScheduledEventAttributes()
		var request activities.Request
		if err := data.FromPayloads(scheduled.GetInput(), &request); err != nil {
			return err
		}
		c := &call{
			Operation: scheduled.GetActivityType().GetName(), Session: request.SessionID, By: request.By,
			Decided: tasks[scheduled.GetWorkflowTaskCompletedEventId()],
		}
		calls[e.GetEventId()] = c
		r.calls = append(r.calls, c)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		closed(e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId(), true)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED:
		closed(e.GetActivityTaskFailedEventAttributes().GetScheduledEventId(), false)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
		closed(e.GetActivityTaskTimedOutEventAttributes().GetScheduledEventId(), false)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
		closed(e.GetActivityTaskCanceledEventAttributes().GetScheduledEventId(), false)
	default:
	}
	return nil
}
