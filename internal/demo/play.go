// Package demo plays the example conversations and checks that each one ended as
// it must.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/internal/ingest"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// endTimeout is how long conversations may take to end after their last event.
const endTimeout = 60 * time.Second

// ErrUnexpected is the error of a play after which a conversation is not as it
// must be.
var ErrUnexpected = errors.New("not as the example says it must be")

// Target is where the example is played. A worker must listen on the task queue
// and call the sandbox.
type Target struct {
	Temporal  client.Client
	TaskQueue string
	Sandbox   *simulator.Simulator
}

// Play plays the example, waits until every conversation has ended, and prints
// what each did. It takes about half a minute.
func Play(ctx context.Context, target Target, out io.Writer) error {
	script, err := readScript(conversations, events)
	if err != nil {
		return err
	}
	options := sender.Options{TaskQueue: target.TaskQueue}
	s := sender.New(target.Temporal, options) //nolint:contextcheck // its background reports must outlive ctx
	defer s.Close(ctx)
	p := &play{Target: target, sender: s, script: script, out: out}
	if err := terminate(ctx, target.Temporal, script, "left by an interrupted demo"); err != nil {
		return err
	}
	if err := p.findEarlierRuns(ctx); err != nil {
		return err
	}
	if err := p.run(ctx); err != nil {
		return err
	}
	return p.check(ctx)
}

// Terminate terminates the conversations that an interrupted play has left
// running.
func Terminate(ctx context.Context, temporal client.Client) error {
	script, err := readScript(conversations, events)
	if err != nil {
		return err
	}
	return terminate(ctx, temporal, script, "the demo was interrupted")
}

func terminate(ctx context.Context, temporal client.Client, s script, reason string) error {
	for _, part := range s.Conversations {
		err := temporal.TerminateWorkflow(ctx, part.identity.WorkflowID(), "", reason)
		if _, absent := errors.AsType[*serviceerror.NotFound](err); err != nil && !absent {
			return fmt.Errorf("terminate %s: %w", part.identity.WorkflowID(), err)
		}
	}
	return nil
}

// play is one play of the script.
type play struct {
	Target
	sender *sender.Sender
	script script
	out    io.Writer
	// began is when the first event was sent.
	began time.Time
	// earlier has the last run of each workflow id before the play.
	earlier map[string]string
}

// findEarlierRuns notes the runs of earlier plays on the same Temporal.
func (p *play) findEarlierRuns(ctx context.Context) error {
	p.earlier = map[string]string{}
	for _, part := range p.script.Conversations {
		workflowID := part.identity.WorkflowID()
		last, err := lastRun(ctx, p.Temporal, workflowID)
		if _, absent := errors.AsType[*serviceerror.NotFound](err); err != nil && !absent {
			return err
		}
		p.earlier[workflowID] = last
	}
	return nil
}

// lastRun returns the id of a workflow's last run.
func lastRun(ctx context.Context, temporal client.Client, workflowID string) (string, error) {
	described, err := temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return "", fmt.Errorf("describe workflow %s: %w", workflowID, err)
	}
	return described.GetWorkflowExecutionInfo().GetExecution().GetRunId(), nil
}

// run plays the events, and what happens in Salesforce at the same time.
func (p *play) run(ctx context.Context) error {
	for _, part := range p.script.Conversations {
		if _, err := p.Sandbox.CreateSession(part.identity.OrgID, session(part, part.identity.SessionID)); err != nil {
			return fmt.Errorf("create the session of %s: %w", part.ID, err)
		}
	}
	p.began = time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range p.script.Conversations {
		for _, f := range part.Faults {
			group.Go(func() error { return p.inject(ctx, part, f) })
		}
		for _, s := range part.Steps {
			group.Go(func() error { return p.do(ctx, part, s) })
		}
	}
	group.Go(func() error {
		return ingest.Run(ctx, bytes.NewReader(events), p.sender, ingest.Options{
			Paced:  true,
			Report: func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) },
		})
	})
	return group.Wait()
}

func session(part part, id string) simulator.Session {
	return simulator.Session{
		ID: id, ConversationIdentifier: part.ID,
		ChannelAddressIdentifier: part.identity.ChannelAddressIdentifier,
		EndUserClientID:          part.identity.EndUserClientID,
		Status:                   simulator.StatusActive,
		AppearsAfter:             simulator.Duration(part.AppearsAfter),
	}
}

// inject injects a fault at its time, and removes it at the end of its time.
func (p *play) inject(ctx context.Context, part part, f fault) error {
	made, err := f.forConversation(part.identity)
	if err != nil {
		return err
	}
	if !p.wait(ctx, f.At) {
		return ctx.Err()
	}
	id, err := p.Sandbox.Inject(made)
	if err != nil {
		return fmt.Errorf("inject the fault of %s: %w", part.ID, err)
	}
	if f.Until > 0 {
		if !p.wait(ctx, f.Until) {
			return ctx.Err()
		}
		p.Sandbox.RemoveFault(id)
	}
	return nil
}

// do does a step at its time.
func (p *play) do(ctx context.Context, part part, s step) error {
	if !p.wait(ctx, s.At) {
		return ctx.Err()
	}
	var err error
	switch {
	case s.EndSession:
		err = p.Sandbox.SetStatus(part.identity.OrgID, part.ID, simulator.StatusEnded)
	case s.NewSession != "":
		_, err = p.Sandbox.CreateSession(part.identity.OrgID, session(part, s.NewSession))
	case s.Activate != "":
		err = p.Sandbox.SetChannelAddress(part.identity.OrgID, s.Activate, true)
	case s.Retry:
		err = p.sender.Retry(ctx, part.identity)
	}
	if err != nil {
		return fmt.Errorf("step at %s of %s: %w", s.At, part.ID, err)
	}
	return nil
}

// wait waits until an offset from the first event. It returns false if ctx ends
// first.
func (p *play) wait(ctx context.Context, offset time.Duration) bool {
	timer := time.NewTimer(time.Until(p.began.Add(offset)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
