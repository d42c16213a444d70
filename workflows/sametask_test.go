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

// A message in the same workflow task as the fired timer wins, whichever of the
// two the server has written down first: the timer is wound again, and no
// activity is scheduled.
func TestMessageInTheTaskOfTheTimerInBothOrders(t *testing.T) {
	fired := func(h *historypb.History) {
		add(h, 600, enumspb.EVENT_TYPE_TIMER_FIRED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_TimerFiredEventAttributes{
			TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{TimerId: "5", StartedEventId: 5},
		}})
	}
	written := func(h *historypb.History) {
		add(h, 600, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
			WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
				SignalName: conversation.SignalMessage, Input: payloads(t, conversation.Message{At: at(599)}),
			},
		}})
	}
	for name, arrived := range map[string][]func(*historypb.History){
		"the timer, the message": {fired, written},
		"the message, the timer": {written, fired},
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

// begun is the history of a conversation that starts at t0.
func begun(t *testing.T) *historypb.History {
	h := &historypb.History{}
	add(h, 0, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
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
	}})
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
	add(h, seconds, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{
		WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{},
	}})
	add(h, seconds, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{
		WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{ScheduledEventId: int64(len(h.Events))},
	}})
	add(h, seconds, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{
		WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{
			ScheduledEventId: int64(len(h.Events) - 1), StartedEventId: int64(len(h.Events)),
		},
	}})
}

// timer appends a timer that the task before has started.
func timer(h *historypb.History, id string, d time.Duration) {
	last := h.Events[len(h.Events)-1]
	add(h, int(last.EventTime.AsTime().Sub(t0)/time.Second), enumspb.EVENT_TYPE_TIMER_STARTED, &historypb.HistoryEvent{Attributes: &historypb.HistoryEvent_TimerStartedEventAttributes{
		TimerStartedEventAttributes: &historypb.TimerStartedEventAttributes{
			TimerId: id, StartToFireTimeout: durationpb.New(d), WorkflowTaskCompletedEventId: last.EventId,
		},
	}})
}
