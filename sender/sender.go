// Package sender reports a routing system's events to conversations: that one
// started, that a message was written, that one was closed, and what Salesforce
// says about its session. It is the library that routing systems import.
//
// Every event may be the first of its conversation, may be sent twice and may
// arrive in any order. It starts the conversation's workflow or signals the one
// that runs. An event that belongs to a conversation which has ended since is
// recognised by its time and changes nothing. Give every event its time and,
// where known, its session id: an event without a time counts as of now.
//
// # Windows and leases
//
// Cost depends on how long a chat lasts, not on how many messages it has. The
// first message of a burst is reported at once, and acquires a lease on the
// conversation. Until the lease ends, further messages are absorbed in memory,
// which takes less than a microsecond each. Shortly before its end the sender
// reports the last message and renews the lease, or releases the lease when
// there was no further message.
//
// So the idle clock is exact while the sender runs. If the sender dies, its
// conversations are made Inactive late by at most one window, and never early.
package sender

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

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
	// Window is how long messages are absorbed between two reports. Default: half
	// of the conversation's inactivateAfter. It may be up to all of
	// inactivateAfter. A longer window costs fewer actions, and makes Inactivate
	// later if the sender dies. 0 reports every message at once.
	//
	// The sender uses the inactivateAfter of the start that it sent, if it had
	// room to store it, otherwise that of Policy. If other senders send the
	// starts, set Window or Policy to the shortest inactivateAfter: a longer
	// window makes Inactivate late.
	Window *conversation.Duration
	// MaxWindow bounds the window of every conversation, also where its start has a
	// long inactivateAfter. Default [DefaultMaxWindow], or Window if that is longer.
	MaxWindow time.Duration
	// MaxConversations bounds the conversations whose messages are absorbed at
	// the same time. Default [DefaultMaxConversations].
	MaxConversations int
	// MaxBytes bounds the memory for these conversations. Each takes up to 280 bytes
	// with typical ids, 600 if every conversation has another channel address, and 2.8 KB
	// with the longest ids allowed. Default [DefaultMaxBytes].
	MaxBytes int64
	// DataConverter is that of the client, which has a way to set it and none to ask for
	// it. The sender reads histories with it. Default: the SDK's.
	DataConverter converter.DataConverter
	// ID is the name under which this sender holds leases. It appears in
	// workflow histories. No two senders that run at the same time may share it. Default:
	// a new UUID.
	ID string
	// Logger gets a line when Temporal does not accept reports, and one when it
	// accepts them again. Default: none.
	Logger *slog.Logger
}

// Defaults of [Options].
const (
	DefaultMaxWindow        = time.Hour
	DefaultMaxConversations = 100_000
	DefaultMaxBytes         = 64 << 20
)

// Sender reports events to conversations. It is safe for concurrent use.
type Sender struct {
	temporal client.Client
	options  Options
	table    *table
	reporter *reporter
	// aliveAfterEnd counts the receipts AliveAfterEnd.
	aliveAfterEnd atomic.Uint64
}

// New returns a sender on a Temporal client. Close it before the client.
func New(c client.Client, options Options) *Sender {
	options.TaskQueue = cmp.Or(options.TaskQueue, conversation.DefaultTaskQueue)
	if options.MaxWindow == 0 {
		options.MaxWindow = DefaultMaxWindow
		if options.Window != nil {
			options.MaxWindow = max(options.MaxWindow, time.Duration(*options.Window))
		}
	}
	options.MaxConversations = cmp.Or(options.MaxConversations, DefaultMaxConversations)
	options.MaxBytes = cmp.Or(options.MaxBytes, DefaultMaxBytes)
	options.ID = cmp.Or(options.ID, uuid.NewString())
	if options.DataConverter == nil {
		options.DataConverter = converter.GetDefaultDataConverter()
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sender{temporal: c, options: options}
	s.table = newTable(options.MaxConversations, options.MaxBytes, s.window(options.Policy))
	s.reporter = newReporter(s.table, s.deliver, options.Logger)
	return s
}

// Receipt says what became of an event.
type Receipt string

// The receipts.
const (
	// Sent: the workflow has received it.
	Sent Receipt = "sent"
	// Absorbed: it is covered by what the workflow has acknowledged, or by a
	// lease. The last message of the window will be reported.
	Absorbed Receipt = "absorbed"
	// AlreadyOver: it belongs to a conversation that has ended, so there was
	// nothing to do. An event that is sent twice may get this receipt.
	AlreadyOver Receipt = "already over"
	// NotTracked: no such conversation runs, and the event does not say enough
	// to start one.
	NotTracked Receipt = "not tracked"
	// AliveAfterEnd: Salesforce says that the session is alive, although it had
	// answered that the worker's End succeeded. Nothing is called again; look at the
	// session in Salesforce.
	AliveAfterEnd Receipt = "alive after end"
)

// Start starts a conversation, or corrects the identity and policy of one that
// runs. After an error send it again.
func (s *Sender) Start(ctx context.Context, start conversation.Start) (Receipt, error) {
	if err := start.Validate(); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	if s.table.defaultWindow == 0 {
		receipt, _, err := s.start(ctx, start)
		return receipt, err
	}
	if err := s.flush(ctx, start.Identity); err != nil {
		return "", fmt.Errorf("start: %w", err)
	}
	receipt, began, err := s.start(ctx, start)
	if began {
		s.table.restarted(start.Identity)
	}
	if receipt == Sent {
		s.setWindow(start, began)
	}
	return receipt, err
}

// setWindow remembers the window that fits the policy of a start. A start
// without inactivateAfter leaves the policy of a running workflow as it is.
func (s *Sender) setWindow(start conversation.Start, began bool) {
	given := start.Policy.InactivateAfter != nil
	window := s.window(start.Policy)
	if !given {
		window = min(window, s.table.defaultWindow)
	}
	s.table.setWindow(start.Identity, window, given || began)
}

// Message reports that a message was written. m.SessionID defaults to id's. With
// only the two identifiers that name the conversation in id, the message reaches
// the conversation only if it runs.
//
// It returns once the message is covered: the workflow has acknowledged it, or a
// lease that the workflow has acknowledged lasts beyond it. ctx bounds how long
// it waits for that, not the request itself, because other callers may wait for
// the same one. The error is a [*PendingError] if the sender stored the message,
// but it is not covered yet, [ErrFull] when there is no room for one more conversation,
// and [ErrClosed] after [Sender.Close].
//
// A message with a lease of the caller's own is reported at once, with that lease.
func (s *Sender) Message(ctx context.Context, id conversation.Identity, m conversation.Message) (Receipt, error) {
	m.SessionID = cmp.Or(m.SessionID, id.SessionID)
	id.SessionID = m.SessionID
	at := conversation.EventTime(m.At, time.Now())
	if m.Lease.Holder == "" && s.table.absorb(id, at) {
		return Absorbed, nil
	}
	if err := joinInvalid(validate(id), m.Validate(), s.options.Policy.Validate()); err != nil {
		return "", fmt.Errorf("message: %w", err)
	}
	if m.Lease.Holder != "" || s.table.defaultWindow == 0 {
		receipt, _, err := s.message(ctx, id, m)
		return receipt, err
	}
	return s.collect(ctx, id, at)
}

// CloseConversation asks to End the session, after the messages that were
// absorbed are reported. c.SessionID defaults to id's. A close that names a
// session which has ended changes nothing. Its time does not matter. With only the two
// identifiers that name the conversation in id, the close reaches the
// conversation only if it runs.
func (s *Sender) CloseConversation(
	ctx context.Context, id conversation.Identity, c conversation.Close,
) (Receipt, error) {
	e, err := s.closing(id, c)
	if err != nil {
		return "", err
	}
	end := conversation.EventTime(c.At, time.Now())
	if err := s.flush(ctx, e.start.Identity); err != nil {
		return "", fmt.Errorf("close: %w", err)
	}
	var receipt Receipt
	if keyOnly(id) {
		receipt, err = s.signalRunning(ctx, id, conversation.SignalClose, e.payload)
	} else {
		receipt, _, err = s.signal(ctx, e)
	}
	if err == nil {
		s.table.forget(e.start.Identity, end)
	}
	return receipt, err
}

// SessionStatus passes on Salesforce's SessionStatusChanged entry, after the
// messages that were absorbed are reported. id needs only OrgID and
// ConversationIdentifier. An entry that the session has
// ended starts a workflow if none runs: the start may arrive later.
func (s *Sender) SessionStatus(
	ctx context.Context, id conversation.Identity, status conversation.SessionStatus,
) (Receipt, error) {
	id.SessionID = status.SessionID
	id.ChannelAddressIdentifier = cmp.Or(id.ChannelAddressIdentifier, status.ChannelAddressIdentifier)
	if err := joinInvalid(id.ValidateKey(), status.Validate(), s.options.Policy.Validate()); err != nil {
		return "", fmt.Errorf("session status: %w", err)
	}
	end := conversation.EventTime(cmp.Or(status.At, status.EndTime.Time), time.Now())
	if err := s.flush(ctx, id); err != nil {
		return "", fmt.Errorf("session status: %w", err)
	}
	if status.Status != conversation.StatusEnded {
		return s.statusOfRunning(ctx, id, status)
	}
	at, untimed := timed(cmp.Or(status.At, status.EndTime.Time))
	status.At = cmp.Or(status.At, at)
	receipt, _, err := s.signal(ctx, event{
		start: s.provisionalStart(id, at), signal: conversation.SignalSessionStatus, payload: status, untimed: untimed,
	})
	if err == nil {
		s.table.forget(id, end)
	}
	return receipt, err
}

// statusOfRunning passes an entry to the workflow that runs. If none runs, it looks
// whether Salesforce reports a session as alive that the worker has ended.
func (s *Sender) statusOfRunning(
	ctx context.Context, id conversation.Identity, status conversation.SessionStatus,
) (Receipt, error) {
	receipt, err := s.signalRunning(ctx, id, conversation.SignalSessionStatus, status)
	if receipt != NotTracked || !status.IsAlive() {
		return receipt, err
	}
	last, err := s.lastRun(ctx, id.WorkflowID(), "")
	if err != nil {
		return "", fmt.Errorf("session status: %w", err)
	}
	if !last.isAlive(status) {
		return NotTracked, nil
	}
	s.aliveAfterEnd.Add(1)
	s.options.Logger.WarnContext(ctx, "Salesforce reports a session as alive that was ended",
		"workflowId", id.WorkflowID(), "sessionId", status.SessionID, "sessionStatus", status.Status)
	return AliveAfterEnd, nil
}

// Retry sends the signal retry to a Blocked conversation: the cause is removed,
// so try the call again. The error is a [*serviceerror.NotFound] when none runs.
func (s *Sender) Retry(ctx context.Context, id conversation.Identity) error {
	if err := id.ValidateKey(); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	err := s.temporal.SignalWorkflow(ctx, id.WorkflowID(), "", conversation.SignalRetry, conversation.Retry{})
	if err != nil {
		return fmt.Errorf("retry %s: %w", id.WorkflowID(), err)
	}
	return nil
}

// Close reports the messages that were absorbed, releases all leases, so that the
// idle clocks are exact again, and stops the sender. While Temporal is
// unavailable it tries again as long as ctx allows; after that the error is an
// [*UndrainedError]. Later events fail with [ErrClosed], except a retry, and
// except starts and messages when the window is 0. A second call has no effect.
func (s *Sender) Close(ctx context.Context) error {
	cause := s.reporter.close(ctx)
	if left := s.Stats(); cause != nil && left.Conversations > 0 {
		return &UndrainedError{Conversations: left.Conversations, Unreported: left.Unreported, Cause: cause}
	}
	return nil
}

// Stats counts what a sender has done and what it has in memory.
type Stats struct {
	// Conversations is how many conversations have a lease, a send in flight or
	// an unreported message. Unreported is how many of them have an unreported
	// message.
	Conversations, Unreported int
	// Absorbed counts the messages that needed no report of their own, Reports
	// the reports that Temporal accepted, Failures the attempts that failed.
	Absorbed, Reports, Failures uint64
	// AliveAfterEnd counts the receipts [AliveAfterEnd].
	AliveAfterEnd uint64
}

// Stats returns what the sender has done so far.
func (s *Sender) Stats() Stats {
	stats := s.table.stats()
	stats.AliveAfterEnd = s.aliveAfterEnd.Load()
	return stats
}

// window is how long messages of a conversation with this policy are absorbed.
func (s *Sender) window(p conversation.Policy) time.Duration {
	most := cmp.Or(time.Duration(*p.WithDefaults().InactivateAfter), conversation.DefaultInactivateAfter)
	if s.options.Window == nil {
		return min(most/2, s.options.MaxWindow)
	}
	return max(0, min(most, time.Duration(*s.options.Window), s.options.MaxWindow))
}
