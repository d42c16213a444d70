// Package billing counts, in a conversation's history, what it costs on Temporal.
package billing

import (
	"context"
	"fmt"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
)

// billable are the events that Temporal Cloud counts as one action each:
// starts, signals, timers, activities and writes of search attributes.
var billable = []enumspb.EventType{
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
	enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
	enumspb.EVENT_TYPE_TIMER_STARTED,
	enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
	enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
}

// Cost counts what is in a history. Temporal Cloud bills the actions.
type Cost struct{ Events, Actions, Timers int }

// Add counts one more event.
func (c *Cost) Add(event *historypb.HistoryEvent) {
	c.Events++
	if slices.Contains(billable, event.GetEventType()) {
		c.Actions++
	}
	if event.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED {
		c.Timers++
	}
}

// Of returns the sum over all runs of a conversation that continued as new.
func Of(ctx context.Context, temporal client.Client, workflowID string) (total Cost, err error) {
	described, err := temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return Cost{}, fmt.Errorf("history of %s: %w", workflowID, err)
	}
	for run := described.GetWorkflowExecutionInfo().GetExecution().GetRunId(); run != ""; {
		events := temporal.GetWorkflowHistory(ctx, workflowID, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		run = ""
		for events.HasNext() {
			event, err := events.Next()
			if err != nil {
				return Cost{}, fmt.Errorf("history of %s: %w", workflowID, err)
			}
			total.Add(event)
			run = max(run, event.GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId())
		}
	}
	return total, nil
}
