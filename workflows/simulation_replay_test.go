package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"sessionkeeper/activities"
	"sessionkeeper/conversation"
	"sessionkeeper/internal/simulation"
)

// The real workflow makes the same calls as the simulated one, at the same times, and
// ends in the same way. So the simulation speaks for the loop too: draining, cancelling
// and continue-as-new.
func TestStoriesOnTheWorkflow(t *testing.T) {
	runs := 0
	for i := 0; runs < *stories; i++ {
		story := simulation.Draw(*firstSeed + uint64(i))
		if !story.Calm {
			continue
		}
		h, _ := simulate(t, story)
		for _, run := range h.Runs {
			if cannotBePlayed(h, run) {
				continue
			}
			runs++
			want, got := summaryOf(h, run), replayRun(t, h, run)
			if want != got {
				t.Fatalf("found after %d runs: seed %d, %s: %s\n%s\n%s",
					runs, story.Seed, run.ID, difference(want, got), story, h)
			}
		}
	}
}

// cannotBePlayed reports whether the test environment of the SDK would do something else:
// it takes a limited number of callbacks, makes at most ten attempts of a call, plays two
// tasks of the same millisecond as one, and plays a signal call-failing before the attempt
// that sends it, which matters if the workflow would continue as new then.
func cannotBePlayed(h *simulation.History, run *simulation.RunRecord) bool {
	for i, task := range run.Tasks[1:] {
		if task.Now.Equal(run.Tasks[i].Now) && len(task.Signals)+len(task.Updates) > 0 {
			return true
		}
	}
	return len(run.Tasks) > 300 || slices.ContainsFunc(h.Calls, func(c *simulation.CallRecord) bool {
		return c.Run == run.ID && c.Attempt >= 10
	}) || slices.ContainsFunc(run.Tasks, func(task simulation.Task) bool {
		return task.HistoryTooLong && slices.ContainsFunc(task.Signals, func(s simulation.Signal) bool {
			return s.Name == conversation.SignalCallFailing
		})
	})
}

// difference is the first line that differs.
func difference(want, got string) string {
	for want != "" && got != "" {
		inSimulation, restWanted, _ := strings.Cut(want, "\n")
		inWorkflow, restGot, _ := strings.Cut(got, "\n")
		if inSimulation != inWorkflow {
			return fmt.Sprintf("\nin the simulation: %s\nin the workflow:   %s", inSimulation, inWorkflow)
		}
		want, got = restWanted, restGot
	}
	return fmt.Sprintf("\nin the simulation also: %s\nin the workflow also:   %s", want, got)
}

// summaryOf is what a run did in the simulation.
func summaryOf(h *simulation.History, run *simulation.RunRecord) string {
	text := ""
	for _, c := range h.Calls {
		if c.Run == run.ID {
			text += callLine(c.Began.Add(h.Story.ServerClock).Sub(run.Began), c.Operation, c.By, c.SessionID)
		}
	}
	if run.Closed == nil {
		return text + "open"
	}
	switch c := run.Closed; {
	case c.Outcome != nil:
		return text + "outcome " + asJSON(c.Outcome)
	case c.Next != nil:
		return text + "continues with " + string(c.Next.Carried)
	case c.Canceled != nil:
		return text + "canceled"
	default:
		failed, _ := errors.AsType[*temporal.ApplicationError](c.Failed)
		return text + "failed " + failed.Type()
	}
}

func callLine(at time.Duration, op conversation.Operation, by conversation.By, sessionID string) string {
	return fmt.Sprintf("%s %s by %s of %q\n", at, op, by, sessionID)
}

func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// replayRun plays the tasks of a run to the real workflow and returns what it did.
func replayRun(t *testing.T, h *simulation.History, run *simulation.RunRecord) string {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(discardLogger{})
	env := suite.NewTestWorkflowEnvironment()
	Register(env)
	env.SetStartTime(run.Began)
	env.SetWorkflowRunTimeout(365 * 24 * time.Hour)
	env.SetTestTimeout(20 * time.Second)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: run.Start.WorkflowID()})
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Maybe()
	text := ""
	var left []*simulation.CallRecord
	for _, c := range h.Calls {
		if c.Run == run.ID {
			left = append(left, c)
		}
	}
	for _, op := range []conversation.Operation{conversation.Inactivate, conversation.End} {
		env.RegisterActivityWithOptions(func(_ context.Context, r activities.Request) (conversation.Answer, error) {
			text += callLine(env.Now().Sub(run.Began), op, r.By, r.SessionID)
			if len(left) == 0 {
				return conversation.Answer{}, errors.New("the simulation made no such call")
			}
			result := left[0].Result
			left = left[1:]
			return result.Answer, result.Err
		}, activity.RegisterOptions{Name: string(op)})
	}
	for _, task := range run.Tasks {
		env.RegisterDelayedCallback(func() { playTask(env, task) }, task.Now.Sub(run.Began))
	}
	open := run.Closed == nil
	if open { // the environment would wait for ever
		env.SetWorkflowRunTimeout(run.Tasks[len(run.Tasks)-1].Now.Sub(run.Began) + time.Hour)
	}
	args := []any{run.Start}
	if run.Carried != nil {
		env.SetContinuedExecutionRunID("before")
		args = append(args, json.RawMessage(run.Carried))
	}
	env.ExecuteWorkflow(conversation.WorkflowType, args...)
	require.True(t, env.IsWorkflowCompleted())
	if open {
		return text + "open"
	}
	return text + endOf(t, env)
}

// playTask sends what a workflow task of the simulation got, so that it is one task again:
// only the last event starts one.
func playTask(env *testsuite.TestWorkflowEnvironment, task simulation.Task) {
	suggest := func(after time.Duration) {
		if task.HistoryTooLong {
			env.RegisterDelayedCallback(func() { env.SetContinueAsNewSuggested(true) }, after)
		}
	}
	for i, s := range task.Signals {
		if i < len(task.Signals)-1 || len(task.Updates) > 0 || task.Canceled {
			env.SignalWorkflowSkippingWorkflowTask(s.Name, s.Payload)
			continue
		}
		suggest(0)
		env.SignalWorkflow(s.Name, s.Payload)
	}
	for _, u := range task.Updates {
		env.UpdateWorkflow(conversation.UpdateClose, u.ID, &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(error) {}, OnComplete: func(any, error) {},
		}, u.Close)
		suggest(time.Millisecond) // the update is handled first
	}
	switch {
	case task.Canceled:
		env.CancelWorkflow()
	case task.Result != nil:
		suggest(time.Millisecond) // the event before is handled first
	case len(task.Signals)+len(task.Updates) == 0 && task.HistoryTooLong:
		env.SetContinueAsNewSuggested(true)
	}
}

func endOf(t *testing.T, env *testsuite.TestWorkflowEnvironment) string {
	err := env.GetWorkflowError()
	if again, ok := errors.AsType[*workflow.ContinueAsNewError](err); ok {
		return "continues with " + string(again.Input.GetPayloads()[1].GetData())
	}
	if failed, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return "failed " + failed.Type()
	}
	if temporal.IsCanceledError(err) {
		return "canceled"
	}
	if err != nil {
		return err.Error()
	}
	var outcome conversation.Outcome
	require.NoError(t, env.GetWorkflowResult(&outcome))
	return "outcome " + asJSON(outcome)
}
