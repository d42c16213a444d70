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
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"sessionkeeper/conversation"
	"sessionkeeper/sandbox/simulator"
)

// check waits for the end of every conversation, prints what each did, and
// reports the ones that are not as they must be.
func (p *play) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tCONVERSATION\tPHASES\tCALLS\tATTEMPTS\tOUTCOME\tABOUT")
	var wrong []error
	for _, part := range p.script.Conversations {
		came, err := p.lives(ctx, part)
		if err != nil {
			return fmt.Errorf("%s: %w", part.ID, err)
		}
		mark := "ok"
		if !slices.EqualFunc(part.Expect, came, life.fits) {
			mark = "WRONG"
			wrong = append(wrong, fmt.Errorf("%s is %w:\n  want %+v\n  got  %+v", part.ID, ErrUnexpected, part.Expect, came))
		}
		row(table, mark, part, came)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return errors.Join(append(wrong, p.violations())...)
}

func row(table *tabwriter.Writer, mark string, part part, came []life) {
	name, about := part.ID, part.About
	for _, l := range came {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", mark, name, arrows(l.Phases), arrows(l.Calls), l.Attempts,
			strings.TrimSpace(fmt.Sprintf("%s %s", l.Why, l.By)), about)
		mark, name, about = "", "", ""
	}
}

func arrows(words string) string {
	if words == "" {
		return "-"
	}
	return strings.ReplaceAll(words, " ", " → ")
}

// lives reads back, from Temporal and the sandbox's journal, what a
// conversation did since the play began.
func (p *play) lives(ctx context.Context, part part) ([]life, error) {
	workflowID := part.identity.WorkflowID()
	if err := p.stack.Temporal.GetWorkflow(ctx, workflowID, "").Get(ctx, nil); err != nil {
		return nil, fmt.Errorf("wait for its end: %w", err)
	}
	runs, err := p.runs(ctx, workflowID)
	if err != nil {
		return nil, err
	}
	lives := make([]life, 0, len(runs))
	for _, runID := range runs {
		var outcome conversation.Outcome
		if err := p.stack.Temporal.GetWorkflow(ctx, workflowID, runID).Get(ctx, &outcome); err != nil {
			return nil, fmt.Errorf("read its outcome: %w", err)
		}
		phases, err := p.phases(ctx, workflowID, runID)
		if err != nil {
			return nil, err
		}
		calls, attempts := p.calls(part.ID, outcome.SessionID)
		lives = append(lives, life{Why: outcome.Why, By: outcome.EndedBy, Phases: phases, Calls: calls, Attempts: attempts})
	}
	return lives, nil
}

// runs are the run ids of a conversation since the play began, oldest first.
// Visibility lags behind a little, so it is asked until no run is open.
func (p *play) runs(ctx context.Context, workflowID string) ([]string, error) {
	query := fmt.Sprintf("WorkflowId = '%s' AND StartTime >= '%s'", workflowID, p.began.UTC().Format(time.RFC3339Nano))
	return backoff.Retry(ctx, func() ([]string, error) { //nolint:wrapcheck // wrapped inside
		found, err := p.stack.Temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil {
			return nil, fmt.Errorf("list its runs: %w", err)
		}
		executions := found.GetExecutions()
		slices.SortFunc(executions, func(a, b *workflowpb.WorkflowExecutionInfo) int {
			return a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime())
		})
		ids := make([]string, len(executions))
		for i, e := range executions {
			if e.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return nil, fmt.Errorf("run %s still shows as running", e.GetExecution().GetRunId())
			}
			ids[i] = e.GetExecution().GetRunId()
		}
		if len(ids) == 0 {
			return nil, errors.New("no run shows yet")
		}
		return ids, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
}

// phases are the values that the search attribute SessionPhase had in a run.
func (p *play) phases(ctx context.Context, workflowID, runID string) (string, error) {
	var phases []string
	events := p.stack.Temporal.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return "", fmt.Errorf("read its history: %w", err)
		}
		if phase := phaseOf(event); phase != "" {
			phases = append(phases, phase)
		}
	}
	return strings.Join(phases, " "), nil
}

func phaseOf(event *historypb.HistoryEvent) string {
	attributes := event.GetWorkflowExecutionStartedEventAttributes().GetSearchAttributes()
	if upsert := event.GetUpsertWorkflowSearchAttributesEventAttributes(); upsert != nil {
		attributes = upsert.GetSearchAttributes()
	}
	payload, ok := attributes.GetIndexedFields()[conversation.SessionPhaseKey.GetName()]
	if !ok {
		return ""
	}
	var phase string
	if err := converter.GetDefaultDataConverter().FromPayload(payload, &phase); err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	return phase
}

// calls are the operations that the sandbox saw for a session, repeated ones as
// one, and how many attempts they took. A request that was refused for its
// token is part of the attempt that sends it again.
func (p *play) calls(conversationIdentifier, sessionID string) (operations string, attempts int) {
	var words []string
	for _, entry := range p.entries() {
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

// entries are the sandbox's calls since the play began.
func (p *play) entries() []simulator.Entry {
	return slices.DeleteFunc(p.stack.Sandbox.Journal(), func(e simulator.Entry) bool {
		return e.Operation == "" || e.ReceivedAt.Before(p.began)
	})
}

// violations reports every request that broke Salesforce's contract.
func (p *play) violations() error {
	var errs []error
	for _, entry := range p.entries() {
		if len(entry.Violations) > 0 {
			errs = append(errs, fmt.Errorf("request %s of %s is %w: %s", entry.RequestID, entry.ConversationIdentifier,
				ErrUnexpected, strings.Join(entry.Violations, ", ")))
		}
	}
	return errors.Join(errs...)
}
