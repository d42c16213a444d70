package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"sessionkeeper/examples"
	"sessionkeeper/internal/ingest"
	"sessionkeeper/local/stack"
	"sessionkeeper/sandbox/simulator"
	"sessionkeeper/sender"
)

// patience is how long conversations may take to end after their last event.
const patience = 60 * time.Second

// ErrUnexpected is the error of a play after which a conversation is not as it
// must be.
var ErrUnexpected = errors.New("not as the example says it must be")

// Play plays the example into a stack, waits until every conversation has
// ended, and prints what each did. It takes about half a minute.
func Play(ctx context.Context, s *stack.Stack, out io.Writer) error {
	script, err := readScript(examples.Demo, examples.RoutingEvents)
	if err != nil {
		return err
	}
	teller := sender.New(s.Temporal, sender.Options{TaskQueue: s.Config.TaskQueue}) //nolint:contextcheck // its reports outlive an interrupt
	defer teller.Close(ctx)
	p := &play{stack: s, sender: teller, script: script, out: out}
	if err := p.tidy(ctx); err != nil {
		return err
	}
	if err := p.run(ctx); err != nil {
		return err
	}
	return p.check(ctx)
}

type play struct {
	stack  *stack.Stack
	sender *sender.Sender
	script script
	out    io.Writer
	began  time.Time
}

// tidy terminates those of its conversations that an interrupted play has left
// in the database.
func (p *play) tidy(ctx context.Context) error {
	for _, part := range p.script.Conversations {
		err := p.stack.Temporal.TerminateWorkflow(ctx, part.identity.WorkflowID(), "", "left by an interrupted play")
		if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
			return fmt.Errorf("terminate %s, left by an earlier play: %w", part.ID, err)
		}
	}
	return nil
}

// run plays the log, and what happens in Salesforce meanwhile.
func (p *play) run(ctx context.Context) error {
	for _, part := range p.script.Conversations {
		if _, err := p.stack.Sandbox.CreateSession(part.identity.OrgID, session(part, part.identity.SessionID)); err != nil {
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
			group.Go(func() error { return p.step(ctx, part, s) })
		}
	}
	group.Go(func() error {
		return ingest.Run(ctx, bytes.NewReader(examples.RoutingEvents), p.sender, ingest.Options{
			Paced:  true,
			Report: func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) },
		})
	})
	return group.Wait() //nolint:wrapcheck // every one names itself
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

func (p *play) inject(ctx context.Context, part part, f fault) error {
	made, err := f.of(part.identity)
	if err != nil {
		return err
	}
	if !p.wait(ctx, f.At) {
		return ctx.Err()
	}
	id, err := p.stack.Sandbox.Inject(made)
	if err != nil {
		return fmt.Errorf("fault of %s: %w", part.ID, err)
	}
	if f.Until > 0 {
		if !p.wait(ctx, f.Until) {
			return ctx.Err()
		}
		p.stack.Sandbox.RemoveFault(id)
	}
	return nil
}

func (p *play) step(ctx context.Context, part part, s step) error {
	if !p.wait(ctx, s.At) {
		return ctx.Err()
	}
	var err error
	switch {
	case s.EndSession:
		err = p.stack.Sandbox.SetStatus(part.identity.OrgID, part.ID, simulator.StatusEnded)
	case s.NewSession != "":
		_, err = p.stack.Sandbox.CreateSession(part.identity.OrgID, session(part, s.NewSession))
	case s.Activate != "":
		err = p.stack.Sandbox.SetChannelAddress(part.identity.OrgID, s.Activate, true)
	case s.Retry:
		err = p.sender.Retry(ctx, part.identity)
	}
	if err != nil {
		return fmt.Errorf("step at %s of %s: %w", s.At, part.ID, err)
	}
	return nil
}

// wait waits until an offset from the first event, unless ctx ends first.
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
