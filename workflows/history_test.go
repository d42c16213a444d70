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
	fired := func(h *history) { h.timerFired(600) }
	messaged := func(h *history) { h.signaled(600, conversation.SignalMessage, conversation.Message{At: at(599)}) }
	for name, events := range map[string][]func(*history){
		"timer first":   {fired, messaged},
		"message first": {messaged, fired},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(started(s1, 0))
			h.task(0)
			h.timerStarted("5", 600*time.Second)
			for _, event := range events {
				event(h)
			}
			h.task(600)
			h.timerStarted("11", 599*time.Second)
			require.NoError(t, replay(&h.History, Conversation))
		})
	}
}

// While an attempt is in flight, no other call starts: a call that is not due any more
// is cancelled, and the next one waits for its answer.
func TestNextCallWaitsForTheOneInFlight(t *testing.T) {
	h := newHistory(started(s1, 0))
	h.task(0)
	h.timerStarted("5", 600*time.Second)
	h.timerFired(600)
	h.task(600)
	h.callScheduled(600, "10", conversation.Inactivate)
	h.signaled(601, conversation.SignalClose, conversation.Close{})
	h.task(601)
	h.callCanceled()
	h.task(602)
	h.callScheduled(602, "21", conversation.End)
	require.NoError(t, replay(&h.History, Conversation))
}

// history builds the history of a conversation. Times are in seconds after t0.
type history struct{ historypb.History }

// newHistory is the history of a conversation that begins with this start.
func newHistory(start conversation.Start) *history {
	h := &history{}
	h.add(0, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED).Attributes = &historypb.
		HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: &commonpb.WorkflowType{Name: conversation.WorkflowType},
			TaskQueue:    &taskqueuepb.TaskQueue{Name: conversation.DefaultTaskQueue},
			Input:        encode(start),
			WorkflowId:   start.WorkflowID(),
			SearchAttributes: &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{
				conversation.SessionPhaseKey.GetName(): keyword(string(conversation.Active)),
				conversation.OrgIDKey.GetName():        keyword(org),
			}},
		},
	}
	return h
}

func (h *history) signaled(seconds int, name string, payload any) {
	h.add(seconds, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED).Attributes = &historypb.
		HistoryEvent_WorkflowExecutionSignaledEventAttributes{
		WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
			SignalName: name, Input: encode(payload),
		},
	}
}

// timerStarted appends a timer that the last workflow task has started.
func (h *history) timerStarted(id string, d time.Duration) {
	last := h.Events[len(h.Events)-1]
	seconds := int(last.EventTime.AsTime().Sub(t0) / time.Second)
	h.add(seconds, enumspb.EVENT_TYPE_TIMER_STARTED).Attributes = &historypb.HistoryEvent_TimerStartedEventAttributes{
		TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{
			TimerId: id, StartToFireTimeout: durationpb.New(d), WorkflowTaskCompletedEventId: last.EventId,
		},
	}
}

// timerFired appends that the first timer has fired.
func (h *history) timerFired(seconds int) {
	h.add(seconds, enumspb.EVENT_TYPE_TIMER_FIRED).Attributes = &historypb.HistoryEvent_TimerFiredEventAttributes{
		TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{TimerId: "5", StartedEventId: 5},
	}
}

// callScheduled appends an activity that the last workflow task has scheduled.
func (h *history) callScheduled(seconds int, id string, op conversation.Operation) {
	completed := int64(len(h.Events))
	h.add(seconds, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED).Attributes = &historypb.
		HistoryEvent_ActivityTaskScheduledEventAttributes{
		ActivityTaskScheduledEventAttributes: &historypb.ActivityTaskScheduledEventAttributes{
			ActivityId: id, ActivityType: &commonpb.ActivityType{Name: string(op)},
			TaskQueue:                    &taskqueuepb.TaskQueue{Name: conversation.DefaultTaskQueue},
			WorkflowTaskCompletedEventId: completed,
		},
	}
}

// callCanceled appends the cancellation of the call with id 10.
func (h *history) callCanceled() {
	completed := int64(len(h.Events))
	h.add(601, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED).Attributes = &historypb.
		HistoryEvent_ActivityTaskCancelRequestedEventAttributes{
		ActivityTaskCancelRequestedEventAttributes: &historypb.ActivityTaskCancelRequestedEventAttributes{
			ScheduledEventId: 10, WorkflowTaskCompletedEventId: completed,
		},
	}
	h.add(602, enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED).Attributes = &historypb.
		HistoryEvent_ActivityTaskStartedEventAttributes{
		ActivityTaskStartedEventAttributes: &historypb.ActivityTaskStartedEventAttributes{
			ScheduledEventId: 10, Attempt: 1,
		},
	}
	h.add(602, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED).Attributes = &historypb.
		HistoryEvent_ActivityTaskCanceledEventAttributes{
		ActivityTaskCanceledEventAttributes: &historypb.ActivityTaskCanceledEventAttributes{
			ScheduledEventId: 10, StartedEventId: completed + 2, LatestCancelRequestedEventId: completed + 1,
		},
	}
}

// task appends a completed workflow task.
func (h *history) task(seconds int) {
	h.taskStarted(seconds)
	started := int64(len(h.Events))
	h.add(seconds, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED).Attributes = &historypb.
		HistoryEvent_WorkflowTaskCompletedEventAttributes{
		WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{
			ScheduledEventId: started - 1, StartedEventId: started,
		},
	}
}

// taskStarted appends a workflow task that a worker has.
func (h *history) taskStarted(seconds int) {
	scheduled := h.add(seconds, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
	scheduled.Attributes = &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{
		WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{},
	}
	h.add(seconds, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED).Attributes = &historypb.
		HistoryEvent_WorkflowTaskStartedEventAttributes{
		WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{
			ScheduledEventId: scheduled.EventId,
		},
	}
}

// add appends an event without attributes.
func (h *history) add(seconds int, kind enumspb.EventType) *historypb.HistoryEvent {
	event := &historypb.HistoryEvent{
		EventId: int64(len(h.Events) + 1), EventType: kind, EventTime: timestamppb.New(at(seconds)),
	}
	h.Events = append(h.Events, event)
	return event
}

func encode(value any) *commonpb.Payloads {
	p, err := converter.GetDefaultDataConverter().ToPayloads(value)
	if err != nil {
		panic(err)
	}
	return p
}

func keyword(value string) *commonpb.Payload {
	p := encode(value).Payloads[0]
	p.Metadata["type"] = []byte("Keyword")
	return p
}
