package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cenkalti/backoff/v5"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/sandbox/simulator"
)

// check waits for the end of every conversation, prints what each did, and
// reports those that did not end as they must.
func (p *play) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tCONVERSATION\tPHASES\tCALLS\tATTEMPTS\tOUTCOME\tABOUT")
	var wrong []error
	for _, part := range p.script.Conversations {
		actual, err := p.results(ctx, part)
		if err != nil {
			return fmt.Errorf("%s: %w", part.ID, err)
		}
		mark := "ok"
		if !slices.EqualFunc(part.Expect, actual, result.matches) {
			mark = "WRONG"
			wrong = append(wrong, fmt.Errorf("%s is %w:\n  want %+v\n  got  %+v", part.ID, ErrUnexpected, part.Expect, actual))
		}
		writeRows(table, mark, part, actual)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	total := len(p.script.Conversations)
	fmt.Fprintf(p.out, "%d of %d conversations ended as they must.\n", total-len(wrong), total)
	return errors.Join(append(wrong, p.violations())...)
}

// writeRows writes one row for each run of a conversation.
func writeRows(table *tabwriter.Writer, mark string, part part, actual []result) {
	name, about := part.ID, part.About
	for _, r := range actual {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", mark, name, arrows(r.Phases), arrows(r.Calls), r.Attempts,
			strings.TrimSpace(fmt.Sprintf("%s %s", r.Why, r.By)), about)
		mark, name, about = "", "", ""
	}
}

func arrows(words string) string {
	if words == "" {
		return "-"
	}
	return strings.ReplaceAll(words, " ", " → ")
}

// results waits for a conversation's end and reads, from Temporal and the
// sandbox's journal, what each of its runs did since the play began.
func (p *play) results(ctx context.Context, part part) ([]result, error) {
	workflowID := part.identity.WorkflowID()
	if err := p.Temporal.GetWorkflow(ctx, workflowID, "").Get(ctx, nil); err != nil {
		return nil, fmt.Errorf("wait for its end: %w", err)
	}
	last, err := lastRun(ctx, p.Temporal, workflowID)
	if err != nil {
		return nil, err
	}
	runs, err := p.runs(ctx, workflowID, last)
	if err != nil {
		return nil, err
	}
	results := make([]result, 0, len(runs))
	for _, runID := range runs {
		var outcome conversation.Outcome
		if err := p.Temporal.GetWorkflow(ctx, workflowID, runID).Get(ctx, &outcome); err != nil {
			return nil, fmt.Errorf("read its outcome: %w", err)
		}
		phases, err := p.phases(ctx, workflowID, runID)
		if err != nil {
			return nil, err
		}
		calls, attempts := p.calls(part.ID, outcome.SessionID)
		results = append(results, result{
			Why: outcome.Why, By: outcome.EndedBy, Phases: phases, Calls: calls, Attempts: attempts,
		})
	}
	return results, nil
}

// runs returns the ids of a conversation's runs since the play began, oldest
// first. Visibility is eventually consistent, so it asks again until the last run
// is listed, and every run as closed.
func (p *play) runs(ctx context.Context, workflowID, last string) ([]string, error) {
	query := fmt.Sprintf("WorkflowId = '%s'", workflowID)
	return backoff.Retry(ctx, func() ([]string, error) {
		listed, err := p.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return nil, fmt.Errorf("list its runs: %w", err)
		}
		executions := listed.GetExecutions()
		slices.SortFunc(executions, func(a, b *workflowpb.WorkflowExecutionInfo) int {
			return a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime())
		})
		var ids []string
		for _, e := range executions {
			id := e.GetExecution().GetRunId()
			if e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return nil, fmt.Errorf("run %s is still listed as running", id)
			}
			ids = append(ids, id)
			if id == p.earlier[workflowID] {
				ids = nil
			}
		}
		if !slices.Contains(ids, last) {
			return nil, fmt.Errorf("run %s is not listed yet", last)
		}
		return ids, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
}

// phases returns the values that the search attribute SessionPhase had in a run.
func (p *play) phases(ctx context.Context, workflowID, runID string) (string, error) {
	var phases []string
	history := p.Temporal.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return "", fmt.Errorf("read its history: %w", err)
		}
		phase, err := phaseOf(event)
		if err != nil {
			return "", err
		}
		if phase != "" {
			phases = append(phases, phase)
		}
	}
	return strings.Join(phases, " "), nil
}

// phaseOf returns the phase that an event sets, if any.
func phaseOf(event *historypb.HistoryEvent) (phase string, err error) {
	attributes := event.GetWorkflowExecutionStartedEventAttributes().GetSearchAttributes()
	if upsert := event.GetUpsertWorkflowSearchAttributesEventAttributes(); upsert != nil {
		attributes = upsert.GetSearchAttributes()
	}
	phase, err = phaseIn(attributes)
	if err != nil {
		return "", fmt.Errorf("event %d: %w", event.GetEventId(), err)
	}
	return phase, nil
}

// phaseIn returns the value of SessionPhase in search attributes, if any.
func phaseIn(attributes *commonpb.SearchAttributes) (phase string, err error) {
	payload, ok := attributes.GetIndexedFields()[conversation.SessionPhaseKey.GetName()]
	if !ok {
		return "", nil
	}
	if err := converter.GetDefaultDataConverter().FromPayload(payload, &phase); err != nil {
		return "", fmt.Errorf("read the phase: %w", err)
	}
	return phase, nil
}

// calls returns the operations that the sandbox received for a session, with
// repeated ones as one, and how many attempts they took. A request that was
// refused for its token is part of the attempt that sends it again.
func (p *play) calls(conversationIdentifier, sessionID string) (operations string, attempts int) {
	var words []string
	for _, entry := range p.journal() {
		if entry.ConversationIdentifier != conversationIdentifier || !conversation.SameSession(entry.SessionID, sessionID) {
			continue
		}
		if entry.Status == http.StatusUnauthorized {
			continue
		}
		attempts++
		if len(words) == 0 || words[len(words)-1] != entry.Operation {
			words = append(words, entry.Operation)
		}
	}
	return strings.Join(words, " "), attempts
}

// journal returns the calls that the sandbox received since the play began.
func (p *play) journal() []simulator.Entry {
	return slices.DeleteFunc(p.Sandbox.Journal(), func(e simulator.Entry) bool {
		return e.Operation == "" || e.ReceivedAt.Before(p.began)
	})
}

// violations reports every request that violated Salesforce's contract.
func (p *play) violations() error {
	var errs []error
	for _, entry := range p.journal() {
		if len(entry.Violations) > 0 {
			errs = append(errs, fmt.Errorf("request %s of %s is %w: %s", entry.RequestID, entry.ConversationIdentifier,
				ErrUnexpected, strings.Join(entry.Violations, ", ")))
		}
	}
	return errors.Join(errs...)
}
