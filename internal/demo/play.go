// Package demo plays the example conversations and checks that each one ended as
// it must.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/ingest"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// endTimeout is how long conversations may take to end after their last event.
// Those of which Salesforce does not know the session take a minute.
const endTimeout = 2 * time.Minute

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
// what each did. It takes a minute and a half.
func Play(ctx context.Context, target Target, out io.Writer) error {
	id := newSessionIDs(time.Now())
	script, err := readScript(id.in(conversations), id.in(events))
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
	// reporting is held while a report is written to out.
	reporting sync.Mutex
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
		group.Go(func() error {
			if err := p.conversation(ctx, part); err != nil {
				return fmt.Errorf("%s: %w", part.ID, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// conversation plays the scenes of a conversation.
func (p *play) conversation(ctx context.Context, part part) error {
	for _, spec := range part.Faults {
		if err := p.inject(part, spec); err != nil {
			return err
		}
	}
	if err := pause(ctx, time.Until(p.began.Add(part.begins))); err != nil {
		return err
	}
	for _, scene := range part.scenes {
		for _, s := range scene.steps {
			if err := p.await(ctx, part, s); err != nil {
				return err
			}
			if err := p.do(ctx, part, s); err != nil {
				return err
			}
		}
		err := ingest.Run(ctx, bytes.NewReader(scene.events), p.sender, ingest.Options{
			Paced:  true,
			Report: func(format string, args ...any) { p.report(part.ID + ": " + fmt.Sprintf(format, args...)) },
		})
		if err != nil {
			return err
		}
	}
	return nil
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

func (p *play) report(line string) {
	p.reporting.Lock()
	defer p.reporting.Unlock()
	fmt.Fprintln(p.out, line)
}

// inject lets the sandbox have a fault.
func (p *play) inject(part part, spec map[string]any) error {
	made, err := newFault(spec, part.identity)
	if err != nil {
		return err
	}
	if _, err := p.Sandbox.Inject(made); err != nil {
		return fmt.Errorf("inject a fault: %w", err)
	}
	return nil
}

// await waits for what a step waits for.
func (p *play) await(ctx context.Context, part part, s step) error {
	limited, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if s.Phase != "" {
		if err := p.awaitPhase(limited, part, s.Phase); err != nil {
			return fmt.Errorf("wait until it is %s: %w", s.Phase, err)
		}
	}
	if s.Call != "" {
		err := p.Sandbox.Wait(limited, func(journal []simulator.Entry) bool {
			return slices.ContainsFunc(journal, func(e simulator.Entry) bool {
				return e.ConversationIdentifier == part.ID && e.Operation == string(s.Call) && e.ReceivedAt.After(p.began)
			})
		})
		if err != nil {
			return fmt.Errorf("wait for the call %s: %w", s.Call, err)
		}
	}
	return pause(ctx, s.Pause)
}

// awaitPhase waits until the search attribute SessionPhase of the last run has a
// value.
func (p *play) awaitPhase(ctx context.Context, part part, phase conversation.Phase) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		described, err := p.Temporal.DescribeWorkflowExecution(ctx, part.identity.WorkflowID(), "")
		if err != nil {
			return struct{}{}, fmt.Errorf("describe it: %w", err)
		}
		now, err := phaseIn(described.GetWorkflowExecutionInfo().GetSearchAttributes())
		if err == nil && now != string(phase) {
			err = fmt.Errorf("it is %s", now)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(100*time.Millisecond)))
	return err
}

// do does a step.
func (p *play) do(ctx context.Context, part part, s step) error {
	var err error
	if s.Fault != nil {
		err = p.inject(part, s.Fault)
	}
	if s.Repair {
		p.repair(part)
	}
	if s.EndSession {
		err = errors.Join(err, p.Sandbox.SetStatus(part.identity.OrgID, part.ID, simulator.StatusEnded))
	}
	if s.NewSession != "" {
		_, created := p.Sandbox.CreateSession(part.identity.OrgID, session(part, s.NewSession))
		err = errors.Join(err, created)
	}
	if s.Activate != "" {
		err = errors.Join(err, p.Sandbox.SetChannelAddress(part.identity.OrgID, s.Activate, true))
	}
	if s.Retry {
		err = errors.Join(err, p.sender.Retry(ctx, part.identity))
	}
	return err
}

// repair removes the conversation's faults.
func (p *play) repair(part part) {
	for _, f := range p.Sandbox.Faults() {
		if f.ConversationIdentifier == part.ID {
			p.Sandbox.RemoveFault(f.ID)
		}
	}
}

// pause waits for d.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
