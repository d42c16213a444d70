// Package sender tells conversations what happens to them, and asks them how
// they stand: the library that routing systems import, and that the starter
// uses.
//
// Every event may be the first that is heard of a conversation, may be sent
// twice and may arrive in any order: it starts the conversation's workflow or
// signals the one that runs, and an event that belongs to a conversation which
// has ended since is recognised by its time and does nothing. Give every event
// its time and, where known, its session id: without a time it is of now.
//
// Messages cost by time, not by number. The first one of a burst is reported at
// once, with the promise to report again within the window; those that follow
// are absorbed, which takes less than a microsecond; at the window's end the
// last one is reported with a new promise, or, when the conversation has gone
// quiet, the promise is taken back. So the idle clock is exact while the sender
// lives. When it dies, its conversations are made Inactive late by at most one
// window, never early.
package sender

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
)

// Options are the settings of a [Sender]. All have a default.
type Options struct {
	// TaskQueue is where the workers listen. Default
	// [conversation.DefaultTaskQueue].
	TaskQueue string
	// Policy is for conversations that begin with another event than a start,
	// until their start arrives. Default: the defaults of [conversation.Policy].
	Policy conversation.Policy
	// Window is how long messages are absorbed between two reports. Default,
	// and at most: half of the conversation's inactivateAfter. That is the one of
	// its start, where this sender has told it and had room, else that of Policy. So where
	// conversations differ and their starts come from elsewhere, or from before a
	// restart, give the shortest here or in Policy: a window that is too long for
	// its conversation makes an Inactivate late. 0 reports every message at once.
	Window *conversation.Duration
	// MaxConversations bounds the conversations whose messages are absorbed at
	// the same time, at less than 256 bytes each. Default 100,000.
	MaxConversations int
	// ID names this sender among all that report on the same conversations, in
	// the history too: no two that live may share it. Default: a new UUID.
	ID string
	// Logger is told when Temporal does not take reports, and when it does again.
	// Default: none.
	Logger *slog.Logger
}

// DefaultMaxConversations is the default of [Options].MaxConversations.
const DefaultMaxConversations = 100_000

// Sender speaks to conversations. It is safe for concurrent use.
type Sender struct {
	temporal client.Client
	options  Options
	windows  *windows
	reporter *reporter
}

// New returns a sender on a Temporal client. Unless Options.Window is 0, close
// it before the client.
func New(c client.Client, options Options) *Sender {
	options.TaskQueue = cmp.Or(options.TaskQueue, conversation.DefaultTaskQueue)
	options.MaxConversations = cmp.Or(options.MaxConversations, DefaultMaxConversations)
	options.ID = cmp.Or(options.ID, uuid.NewString())
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sender{temporal: c, options: options}
	s.windows = newWindows(options.MaxConversations, s.window(options.Policy))
	s.reporter = newReporter(s)
	return s
}

// Receipt says what became of an event.
type Receipt string

// The receipts.
const (
	// Sent: the conversation has it.
	Sent Receipt = "sent"
	// Absorbed: the conversation counts on it, because it was promised; the last
	// one of the window will be reported.
	Absorbed Receipt = "absorbed"
	// AlreadyOver: it belongs to a conversation that has ended, so there was
	// nothing to do. An event that is sent twice may end so.
	AlreadyOver Receipt = "already over"
	// NotTracked: no such conversation runs, and there was not enough to start
	// one from.
	NotTracked Receipt = "not tracked"
)

// Start begins a conversation, or corrects the identity and policy of one that
// runs. Where it begins one, it opens a window, so that the messages which follow
// are absorbed. After an error tell it again.
func (s *Sender) Start(ctx context.Context, start conversation.Start) (Receipt, error) {
	if err := start.Validate(); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	if s.window(start.Policy) == 0 {
		receipt, _, err := s.start(ctx, start, false)
		return receipt, err
	}
	return s.startWindow(ctx, start)
}

// Message reports that somebody wrote. m.SessionID defaults to id's. With only
// the two identifiers that name the conversation in id, the message reaches it
// only if it runs.
//
// It returns once the conversation knows of the message or counts on it by a
// promise that it knows: then at once. The error is a [*PendingError] when that
// could not be had in ctx's time; [ErrFull] when there is no room for one more
// conversation; [ErrClosed] after [Sender.Close].
func (s *Sender) Message(ctx context.Context, id conversation.Identity, m conversation.Message) (Receipt, error) {
	m.SessionID = cmp.Or(m.SessionID, id.SessionID)
	id.SessionID = m.SessionID
	at := notAfter(m.At, time.Now())
	if m.Lease.Holder == "" && s.windows.absorb(id, at) {
		return Absorbed, nil
	}
	if err := problems(validate(id), m.Validate(), s.options.Policy.Validate()); err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	length := s.window(s.options.Policy)
	if m.Lease.Holder != "" || length == 0 {
		return s.message(ctx, id, m)
	}
	return s.messageWindow(ctx, id, at, length)
}

// CloseConversation asks to End the session, after what was absorbed of it is
// reported. c.SessionID defaults to id's. A close that names the session which
// has ended does nothing, whatever its time. With only the two identifiers that
// name the conversation in id, the close reaches it only if it runs.
func (s *Sender) CloseConversation(ctx context.Context, id conversation.Identity, c conversation.Close) (Receipt, error) {
	e, err := s.closing(id, c)
	if err != nil {
		return "", err
	}
	if err := s.flush(ctx, e.start.Identity); err != nil {
		return "", fmt.Errorf("close: %w", err)
	}
	var receipt Receipt
	if keyOnly(id) {
		receipt, err = s.tellRunning(ctx, id, conversation.SignalClose, e.payload)
	} else {
		receipt, err = s.tell(ctx, e)
	}
	if err == nil {
		s.windows.forget(e.start.Identity, c.At)
	}
	return receipt, err
}

// SessionStatus passes on Salesforce's SessionStatusChanged entry, after what
// was absorbed of the conversation is reported. Only the org's and the
// conversation's identifiers of id are needed. An entry that the session has
// ended is kept even for a conversation that was not heard of yet, because its
// start may still be on the way.
func (s *Sender) SessionStatus(ctx context.Context, id conversation.Identity, status conversation.SessionStatus) (Receipt, error) {
	id.SessionID = status.SessionID
	id.ChannelAddressIdentifier = cmp.Or(id.ChannelAddressIdentifier, status.ChannelAddressIdentifier)
	if err := problems(id.ValidateKey(), status.Validate(), s.options.Policy.Validate()); err != nil {
		return "", fmt.Errorf("session status: %w", err)
	}
	if err := s.flush(ctx, id); err != nil {
		return "", fmt.Errorf("session status: %w", err)
	}
	if status.Status != conversation.StatusEnded {
		return s.tellRunning(ctx, id, conversation.SignalSessionStatus, status)
	}
	receipt, err := s.tell(ctx, event{
		start:  s.begin(id, cmp.Or(status.At, status.EndTime.Time)),
		signal: conversation.SignalSessionStatus, payload: status,
		endOf: status.SessionID,
	})
	if err == nil {
		s.windows.forget(id, cmp.Or(status.At, status.EndTime.Time))
	}
	return receipt, err
}

// Retry tells a Blocked conversation that the cause is removed. The error is a
// [*serviceerror.NotFound] when none runs.
func (s *Sender) Retry(ctx context.Context, id conversation.Identity) error {
	if err := id.ValidateKey(); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	if err := s.temporal.SignalWorkflow(ctx, id.WorkflowID(), "", conversation.SignalRetry, conversation.Retry{}); err != nil {
		return fmt.Errorf("retry %s: %w", id.WorkflowID(), err)
	}
	return nil
}

// Close reports everything that was absorbed and takes all promises back, so
// that the idle clocks of the conversations are exact again, and stops the
// sender. While Temporal is away it tries again for as long as ctx allows; then
// the error is a [*UndrainedError]. Events told after it are refused with [ErrClosed],
// but for a retry, and for starts and messages that are not absorbed because the
// window is 0. Twice is harmless.
func (s *Sender) Close(ctx context.Context) error { return s.reporter.close(ctx) }

// Stats are what a sender has done, and holds.
type Stats struct {
	// Conversations are those whose messages are absorbed at present, and
	// Unreported those of them of which a message waits to be reported.
	Conversations, Unreported int
	// Absorbed counts messages that cost nothing, Reports what the conversations
	// were told instead, and Failures the reports that Temporal did not take at
	// once.
	Absorbed, Reports, Failures uint64
}

// Stats returns what the sender has done so far.
func (s *Sender) Stats() Stats { return s.windows.stats() }

// window is how long messages of a conversation with this policy are absorbed.
func (s *Sender) window(p conversation.Policy) time.Duration {
	half := cmp.Or(time.Duration(*p.WithDefaults().InactivateAfter), conversation.DefaultInactivateAfter) / 2
	if s.options.Window == nil {
		return half
	}
	return max(0, min(half, time.Duration(*s.options.Window)))
}

func notAfter(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}
