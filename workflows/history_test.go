package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"sessionkeeper/conversation"
)

// A message in the same workflow task as the fired timer is applied first, in
// whichever order the two are in the history: the timer is set again, and no activity
// is scheduled.
func TestMessageInTheTaskOfTheTimer(t *testing.T) {
	messaged := func(h *historypb.History) {
		signaled(t, h, 600, conversation.SignalMessage, conversation.Message{At: at(599)})
	}
	for name, arrived := range map[string][]func(*historypb.History){
		"timer first":   {fired, messaged},
		"message first": {messaged, fired},
	} {
		t.Run(name, func(t *testing.T) {
			h := begun(t)
			task(h, 0)
			timer(h, "5", 600*time.Second)
			for _, event := range arrived {
				event(h)
			}
			task(h, 600)
			timer(h, "11", 599*time.Second)
			require.NoError(t, replay(h))
		})
	}
}

// While an attempt is in flight, no other call starts: a call that is not due any more
// is cancelled, and the next one waits for its answer.
func TestNextCallWaitsForTheOneInFlight(t *testing.T) {
	h := begun(t)
	task(h, 0)
	timer(h, "5", 600*time.Second)
	fired(h)
	task(h, 600)
	scheduled(h, 600, "10", conversation.Inactivate)
	signaled(t, h, 601, conversation.SignalClose, conversation.Close{})
	task(h, 601)
	add(
		h,
		601,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_ActivityTaskCancelRequestedEventAttributes{
			ActivityTaskCancelRequestedEventAttributes: &historypb.ActivityTaskCancelRequestedEventAttributes{
				ScheduledEventId:             10,
				WorkflowTaskCompletedEventId: 14,
			},
		}},
	)
	add(
		h,
		602,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_ActivityTaskStartedEventAttributes{
			ActivityTaskStartedEventAttributes: &historypb.ActivityTaskStartedEventAttributes{ScheduledEventId: 10, Attempt: 1},
		}},
	)
	add(
		h,
		602,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_ActivityTaskCanceledEventAttributes{
			ActivityTaskCanceledEventAttributes: &historypb.ActivityTaskCanceledEventAttributes{
				ScheduledEventId:             10,
				StartedEventId:               16,
				LatestCancelRequestedEventId: 15,
			},
		}},
	)
	task(h, 602)
	scheduled(h, 602, "21", conversation.End)
	require.NoError(t, replay(h))
}

func fired(h *historypb.History) {
	add(
		h,
		600,
		enumspb.EVENT_TYPE_TIMER_FIRED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_TimerFiredEventAttributes{
			TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{TimerId: "5", StartedEventId: 5},
		}},
	)
}

func signaled(t *testing.T, h *historypb.History, seconds int, name string, payload any) {
	t.Helper()
	add(
		h,
		seconds,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
			WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
				SignalName: name, Input: payloads(t, payload),
			},
		}},
	)
}

// scheduled appends an activity that the last workflow task has scheduled.
func scheduled(h *historypb.History, seconds int, id string, op conversation.Operation) {
	add(
		h,
		seconds,
		enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{
			ActivityTaskScheduledEventAttributes: &historypb.ActivityTaskScheduledEventAttributes{
				ActivityId: id, ActivityType: &commonpb.ActivityType{Name: string(op)},
				TaskQueue:                    &taskqueuepb.TaskQueue{Name: conversation.DefaultTaskQueue},
				WorkflowTaskCompletedEventId: int64(len(h.Events)),
			},
		}},
	)
}

// begun is the history of a conversation that starts at t0.
func begun(t *testing.T) *historypb.History {
	h := &historypb.History{}
	add(
		h,
		0,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
				WorkflowType: &commonpb.WorkflowType{Name: conversation.WorkflowType},
				TaskQueue:    &taskqueuepb.TaskQueue{Name: conversation.DefaultTaskQueue},
				Input:        payloads(t, started(s1, 0)),
				WorkflowId:   identity("").WorkflowID(),
				SearchAttributes: &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{
					conversation.SessionPhaseKey.GetName(): keyword(t, string(conversation.Active)),
					conversation.OrgIDKey.GetName():        keyword(t, org),
				}},
			},
		}},
	)
	return h
}

func payloads(t *testing.T, value any) *commonpb.Payloads {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayloads(value)
	require.NoError(t, err)
	return p
}

func keyword(t *testing.T, value string) *commonpb.Payload {
	t.Helper()
	p := payloads(t, value).Payloads[0]
	p.Metadata["type"] = []byte("Keyword")
	return p
}

// add appends an event so many seconds after t0.
func add(h *historypb.History, seconds int, kind enumspb.EventType, event *historypb.HistoryEvent) {
	event.EventId, event.EventType, event.EventTime = int64(len(h.Events)+1), kind, timestamppb.New(at(seconds))
	h.Events = append(h.Events, event)
}

// task appends a completed workflow task.
func task(h *historypb.History, seconds int) {
	add(
		h,
		seconds,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{
			WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{},
		}},
	)
	add(
		h,
		seconds,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{
			WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{
				ScheduledEventId: int64(len(h.Events)),
			},
		}},
	)
	add(
		h,
		seconds,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{
			WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{
				ScheduledEventId: int64(len(h.Events) - 1), StartedEventId: int64(len(h.Events)),
			},
		}},
	)
}

// timer appends a timer that the last workflow task has started.
func timer(h *historypb.History, id string, d time.Duration) {
	last := h.Events[len(h.Events)-1]
	add(
		h,
		int(last.EventTime.AsTime().Sub(t0)/time.Second),
		enumspb.EVENT_TYPE_TIMER_STARTED,
		&historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_TimerStartedEventAttributes{
			TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{
				TimerId: id, StartToFireTimeout: durationpb.New(d), WorkflowTaskCompletedEventId: last.EventId,
			},
		}},
	)
}
