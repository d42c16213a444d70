package sender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"sessionkeeper/conversation"
	"sessionkeeper/sender"
)

const (
	window = 5 * time.Minute
	margin = window / 50
)

// connection is a client of Temporal in virtual time. It records the requests.
type connection struct {
	client.Client

	mu       sync.Mutex
	requests []request
	// down fails every request as unavailable, rejects as not permitted. ended:
	// the last workflow has ended. running: a workflow runs already. hold keeps
	// requests in flight until it is closed.
	down, rejects, ended, running bool
	hold                          chan struct{}
	// latency is how long a request takes.
	latency time.Duration
}

// request is "start", the name of a signal, or the name with "+" when it starts a
// workflow where none runs.
type request struct {
	name    string
	after   time.Duration
	message conversation.Message
	lease   conversation.Lease
}

func (c *connection) record(name string, payload any) error {
	c.mu.Lock()
	hold, latency := c.hold, c.latency
	c.mu.Unlock()
	time.Sleep(latency)
	if hold != nil {
		<-hold
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.down:
		return serviceerror.NewUnavailable("cut off")
	case c.rejects:
		return serviceerror.NewPermissionDenied("not you", "")
	case c.ended:
		return serviceerror.NewNotFound("workflow execution already completed")
	}
	r := request{name: name, after: time.Since(began())}
	if m, ok := payload.(conversation.Message); ok {
		r.message, r.lease = m, m.Lease
	}
	c.requests = append(c.requests, r)
	return nil
}

// began is when virtual time begins.
func began() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func (c *connection) ExecuteWorkflow(_ context.Context, _ client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if c.running {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "run")
	}
	return nil, c.record("start", args[0])
}

func (c *connection) SignalWithStartWorkflow(_ context.Context, _, signal string, payload any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	err := c.record(signal+"+", payload)
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		c.mu.Lock()
		c.ended = false
		c.mu.Unlock()
		return nil, c.record("new "+signal, payload)
	}
	return nil, err
}

func (c *connection) SignalWorkflow(_ context.Context, _, _, signal string, payload any) error {
	return c.record(signal, payload)
}

func (c *connection) set(change func(*connection)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// sent returns the requests since the last call, one line each.
func (c *connection) sent() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, r := range c.requests {
		text := fmt.Sprintf("%s %s", r.after, r.name)
		if !r.message.At.IsZero() {
			text += " of " + r.message.At.Sub(began()).String()
		}
		switch {
		case r.lease.Duration > 0:
			text += " for " + r.lease.Duration.String()
		case r.lease.Holder != "":
			text += " released"
		}
		lines = append(lines, text)
	}
	c.requests = nil
	return lines
}

// windowed runs a test of a windowed sender in virtual time.
func windowed(t *testing.T, o sender.Options, test func(t *testing.T, s *sender.Sender, c *connection)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &connection{}
		s := sender.New(c, o)
		defer func() {
			c.set(func(c *connection) { c.down = false })
			_ = s.Close(t.Context())
		}()
		test(t, s, c)
	})
}

func writes(t *testing.T, s *sender.Sender, want sender.Receipt) {
	t.Helper()
	got, err := s.Message(t.Context(), full, conversation.Message{})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestBurstIsReportedOncePerWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		require.Equal(t, []string{"0s message+ of 0s for 5m"}, c.sent(), "the first at once")
		for range 4 {
			time.Sleep(time.Minute)
			writes(t, s, sender.Absorbed)
		}
		require.Empty(t, c.sent())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"4m54s message+ of 4m0s for 5m"}, c.sent(), "the last at the window's end")
		time.Sleep(window)
		require.Equal(t, []string{"8m54s message of 4m0s released"}, c.sent(), "it stayed quiet")
		require.Equal(t, sender.Stats{Absorbed: 4, Reports: 3}, s.Stats())
		writes(t, s, sender.Sent)
		require.Equal(t, []string{"10m0s message+ of 10m0s for 5m"}, c.sent())
	})
}

// Many reports at the same moment delay idle calls.
func TestReportsOfManyConversationsAreSpread(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		const conversations = 3000
		for i := range conversations {
			id := full
			id.ConversationIdentifier = fmt.Sprintf("c%d", i)
			_, err := s.Message(t.Context(), id, conversation.Message{})
			require.NoError(t, err)
		}
		c.sent()
		time.Sleep(window - margin)
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		require.Len(t, c.requests, conversations, "all of them before the leases end")
		perSecond := map[time.Duration]int{}
		for _, r := range c.requests {
			perSecond[r.after.Truncate(time.Second)]++
		}
		for second, reports := range perSecond {
			require.Less(t, reports, conversations/5, "at %s", second)
		}
	})
}

func TestShortLeaseIsNotRequested(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		time.Sleep(time.Minute)
		writes(t, s, sender.Absorbed)
		c.sent()
		time.Sleep(window)
		require.Equal(t, []string{"4m54s message+ of 1m0s released"}, c.sent(), "its end would cost another report")
		require.Zero(t, s.Stats().Conversations)

		got, err := s.Message(t.Context(), full, conversation.Message{At: time.Now().Add(-window)})
		require.NoError(t, err)
		require.Equal(t, sender.Sent, got)
		require.Equal(t, []string{"6m0s message+ of 1m0s released"}, c.sent(), "an old message acquires no lease")
	})
}

func TestStartSetsTheWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		start := conversation.Start{Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(2 * time.Minute))}}
		_, err := s.Start(t.Context(), start)
		require.NoError(t, err)
		c.running = true
		writes(t, s, sender.Sent)
		require.Equal(t, []string{"0s start", "0s message+ of 0s for 1m"}, c.sent(), "half of its own inactivateAfter")
		time.Sleep(30 * time.Second)
		writes(t, s, sender.Absorbed)
		_, err = s.Start(t.Context(), start)
		require.NoError(t, err)
		require.Equal(t, []string{"30s message+ of 30s for 1m", "30s start+"}, c.sent(), "what was absorbed comes first")
		time.Sleep(time.Second)
		start.At = began()
		_, err = s.Start(t.Context(), start)
		require.NoError(t, err)
		writes(t, s, sender.Absorbed)
		require.Equal(t, []string{"31s start+"}, c.sent(), "an older start leaves the lease as it is")
	})
}

// The workflow that held the lease has ended, and the sender does not know it.
func TestStartOfANewWorkflowReleasesTheLease(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		time.Sleep(time.Second)
		writes(t, s, sender.Absorbed)
		_, err := s.Start(t.Context(), conversation.Start{Identity: full})
		require.NoError(t, err)
		time.Sleep(time.Second)
		writes(t, s, sender.Sent)
		require.Equal(t, []string{
			"0s message+ of 0s for 5m", "1s message+ of 1s for 5m", "1s start", "1s message of 1s released",
			"2s message+ of 2s for 5m",
		}, c.sent())
	})
}

// The conversation may be Inactive. There a start is no activity, but the end of
// a lease would count as one.
func TestStartAcquiresNoLease(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		c.running = true
		_, err := s.Start(t.Context(), conversation.Start{Identity: full})
		require.NoError(t, err)
		time.Sleep(window)
		require.Equal(t, []string{"0s start+"}, c.sent())

		writes(t, s, sender.Sent)
		time.Sleep(time.Second)
		_, err = s.Start(t.Context(), conversation.Start{Identity: full})
		require.NoError(t, err)
		require.Equal(t, []string{"5m0s message+ of 5m0s for 5m", "5m1s start+"}, c.sent(), "the lease is left as it is")
		writes(t, s, sender.Absorbed)
		_, err = s.Start(t.Context(), conversation.Start{Identity: full, At: began()})
		require.NoError(t, err)
		require.Equal(t, []string{"5m1s message+ of 5m1s for 5m", "5m1s start+"}, c.sent())
		writes(t, s, sender.Absorbed)
	})
}

func TestLeaseOfTheCallerIsSentAsItIs(t *testing.T) {
	windowed(t, sender.Options{}, func(t *testing.T, s *sender.Sender, c *connection) {
		own := conversation.Lease{Holder: "own", Duration: conversation.Duration(time.Minute)}
		for range 2 {
			_, err := s.Message(t.Context(), full, conversation.Message{At: began(), Lease: own})
			require.NoError(t, err)
		}
		require.Equal(t, []string{"0s message+ of 0s for 1m", "0s message+ of 0s for 1m"}, c.sent())
	})
}

// A later burst of the conversation has the window of its start, too.
func TestWindowOfAStartIsRemembered(t *testing.T) {
	windowed(t, sender.Options{ID: "a", MaxConversations: 1}, func(t *testing.T, s *sender.Sender, c *connection) {
		start := conversation.Start{Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))}}
		_, err := s.Start(t.Context(), start)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Zero(t, s.Stats().Conversations)
		writes(t, s, sender.Sent)
		require.Equal(t, []string{"0s start", "1h0m0s message+ of 1h0m0s for 5s"}, c.sent())

		time.Sleep(time.Hour)
		other := full
		other.ConversationIdentifier = "c2"
		_, err = s.Message(t.Context(), other, conversation.Message{})
		require.NoError(t, err, "but another one may take its room")
	})
}

// A conversation may end unseen. The next message that says enough begins it anew.
func TestFullIdentityCompletesTheEntry(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		key := conversation.Identity{OrgID: full.OrgID, ConversationIdentifier: full.ConversationIdentifier, SessionID: full.SessionID}
		_, err := s.Message(t.Context(), key, conversation.Message{})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		writes(t, s, sender.Absorbed)
		c.set(func(c *connection) { c.ended = true })
		time.Sleep(window)
		require.Equal(t, []string{"0s message of 0s for 5m", "4m54s new message of 1m0s released"}, c.sent())
	})
}

// A message may arrive before the start, with a lease that is too long for it.
func TestStartShortensTheWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		time.Sleep(time.Second)
		writes(t, s, sender.Sent)
		c.running = true
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, At: began(), Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		})
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1s message+ of 1s for 5m", "1s start+", "5.9s message of 1s released"}, c.sent())
	})
}

func TestLateStartOfAnEarlierSessionChangesNothing(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		_, err := s.Message(t.Context(), full, conversation.Message{SessionID: otherSession})
		require.NoError(t, err)
		before := full
		before.SessionID = session
		_, err = s.Start(t.Context(), conversation.Start{Identity: before, At: began().Add(-time.Hour)})
		require.NoError(t, err)
		time.Sleep(window)
		got, err := s.Message(t.Context(), full, conversation.Message{SessionID: otherSession, At: began()})
		require.NoError(t, err)
		require.Equal(t, sender.Sent, got)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range c.requests {
			require.NotEqual(t, session, r.message.SessionID)
		}
	})
}

func TestWindowOfZeroReportsEveryMessage(t *testing.T) {
	windowed(t, sender.Options{Window: new(conversation.Duration(0))}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		writes(t, s, sender.Sent)
		require.Equal(t, []string{"0s message+ of 0s", "0s message+ of 0s"}, c.sent())
	})
}

// A message that is not covered is not accepted before the conversation
// knows it, however many wait for it.
func TestUncoveredMessageWaitsForItsSend(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		hold := make(chan struct{})
		c.set(func(c *connection) { c.hold = hold })
		var accepted sync.WaitGroup
		for range 10 {
			accepted.Go(func() {
				_, err := s.Message(t.Context(), full, conversation.Message{})
				require.NoError(t, err)
				require.NotEmpty(t, c.requests)
			})
		}
		synctest.Wait()
		close(hold)
		accepted.Wait()
		require.Equal(t, []string{"0s message+ of 0s for 5m"}, c.sent(), "one report for all")

		// While the release is in flight, no message is covered by the lease.
		hold = make(chan struct{})
		c.set(func(c *connection) { c.hold = hold })
		time.Sleep(window - margin)
		synctest.Wait()
		said := make(chan struct{})
		go func() {
			defer close(said)
			_, err := s.Message(t.Context(), full, conversation.Message{})
			assert.NoError(t, err)
		}()
		synctest.Wait()
		select {
		case <-said:
			t.Fatal("absorbed without a lease")
		default:
		}
		close(hold)
		<-said
		require.Equal(t, []string{"4m54s message of 0s released", "4m54s message+ of 4m54s for 5m"}, c.sent())
	})
}

func TestReportsAreKeptWhileTemporalIsUnavailable(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		c.sent()
		c.set(func(c *connection) { c.down = true })
		time.Sleep(4 * time.Minute)
		writes(t, s, sender.Absorbed)

		// After the end of the lease a message is kept, but its caller gets an
		// error: it is not covered.
		time.Sleep(2 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Message(ctx, full, conversation.Message{})
		keptErr, ok := errors.AsType[*sender.PendingError](err)
		require.True(t, ok, "%v", err)
		require.True(t, sender.IsRetryable(keptErr.Cause), "%v", err)
		require.ErrorContains(t, err, "message 00D000000000001:c1: not acknowledged yet; stored, and will be sent again: ")
		require.Equal(t, 1, s.Stats().Unreported)
		require.Empty(t, c.sent())

		c.set(func(c *connection) { c.down = false })
		time.Sleep(10 * time.Second)
		sent := c.sent()
		require.Len(t, sent, 1)
		require.Contains(t, sent[0], "message+ of 6m0s for 5m")
		require.Zero(t, s.Stats().Unreported)
	})
}

func TestRejectedFirstMessageIsNotKept(t *testing.T) {
	server, _ := start(t)
	server.Fail(func(string) error { return serviceerror.NewInvalidArgument("no such search attribute") })
	s := sender.New(server.Client(t), sender.Options{})
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	_, err := s.Message(t.Context(), full, conversation.Message{})
	var refused *serviceerror.InvalidArgument
	require.ErrorAs(t, err, &refused)
	var keptErr *sender.PendingError
	require.NotErrorAs(t, err, &keptErr)
	require.Zero(t, s.Stats().Conversations)
}

// A PendingError says that the message is stored. So it is, also when Temporal
// rejects it later: an operator may remove the cause.
func TestPendingMessageIsRepeatedAfterARejection(t *testing.T) {
	for name, fail := range map[string]func(t *testing.T, s *sender.Sender, c *connection) error{
		"unavailable before": func(t *testing.T, s *sender.Sender, c *connection) error {
			c.set(func(c *connection) { c.down = true })
			_, err := s.Message(t.Context(), full, conversation.Message{})
			c.set(func(c *connection) { c.down, c.rejects = false, true })
			return err
		},
		"caller has left before": func(t *testing.T, s *sender.Sender, c *connection) error {
			hold := make(chan struct{})
			c.set(func(c *connection) { c.hold, c.rejects = hold, true })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := s.Message(ctx, full, conversation.Message{})
			c.set(func(c *connection) { c.hold = nil })
			close(hold)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
				_, pending := errors.AsType[*sender.PendingError](fail(t, s, c))
				require.True(t, pending)
				time.Sleep(15 * time.Second)
				synctest.Wait()
				require.Equal(t, 1, s.Stats().Unreported)
				c.set(func(c *connection) { c.rejects = false })
				time.Sleep(15 * time.Second)
				require.Len(t, c.sent(), 1)
			})
		})
	}
}

func TestCloseSaysWhichPendingMessagesAreLeft(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		c.set(func(c *connection) { c.down = true })
		_, err := s.Message(t.Context(), full, conversation.Message{})
		require.Error(t, err)
		c.set(func(c *connection) { c.down, c.rejects = false, true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		left, ok := errors.AsType[*sender.UndrainedError](s.Close(ctx))
		require.True(t, ok)
		require.Equal(t, 1, left.Unreported)
	})
}

// A close waits for the messages before it, not for those that keep arriving.
func TestCloseIsNotDelayedByNewMessages(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		c.set(func(c *connection) { c.latency = 50 * time.Millisecond })
		writes(t, s, sender.Sent)
		ctx, stop := context.WithCancel(t.Context())
		var writing sync.WaitGroup
		writing.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond)
				_, _ = s.Message(ctx, full, conversation.Message{})
			}
		})
		time.Sleep(100 * time.Millisecond)
		asked := time.Now()
		_, err := s.CloseConversation(t.Context(), full, conversation.Close{})
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(asked), 200*time.Millisecond)
		stop()
		writing.Wait()
	})
}

// A full identity can start a conversation, so it does not share the receipt of a
// message that cannot.
func TestFullIdentityDoesNotJoinAKeyOnlySend(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		hold := make(chan struct{})
		c.set(func(c *connection) { c.hold, c.ended = hold, true })
		var both sync.WaitGroup
		for id, want := range map[conversation.Identity]sender.Receipt{key: sender.NotTracked, full: sender.Sent} {
			both.Go(func() {
				if id == full {
					synctest.Wait()
				}
				receipt, err := s.Message(t.Context(), id, conversation.Message{At: began()})
				if assert.NoError(t, err) {
					assert.Equal(t, want, receipt)
				}
			})
		}
		time.Sleep(time.Second)
		c.set(func(c *connection) { c.hold = nil })
		close(hold)
		both.Wait()
	})
}

func TestAbsorbedMessagesAreReportedBeforeAnEnd(t *testing.T) {
	for name, send := range map[string]sendFunc{"close": closed, "session-status": endedInSalesforce} {
		t.Run(name, func(t *testing.T) {
			windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
				writes(t, s, sender.Sent)
				time.Sleep(time.Second)
				writes(t, s, sender.Absorbed)
				c.sent()
				_, err := send(t.Context(), s, time.Now(), "")
				if name == "session-status" {
					_, err = send(t.Context(), s, time.Now(), session)
				}
				require.NoError(t, err)
				sent := c.sent()
				require.Equal(t, "1s message+ of 1s for 5m", sent[0])
				require.Equal(t, "1s "+name+"+", sent[1])
				time.Sleep(time.Second)
				writes(t, s, sender.Sent)
			})
		})
	}
}

// The session that begins after an end may have taken over the lease. It is released, as
// if nothing had ended.
func TestLeaseIsReleasedAfterAnEnd(t *testing.T) {
	for name, end := range map[string]sendFunc{"close": closed, "session-status": endedInSalesforce} {
		t.Run(name, func(t *testing.T) {
			windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
				_, err := s.Message(t.Context(), full, conversation.Message{SessionID: session})
				require.NoError(t, err)
				time.Sleep(time.Second)
				_, err = end(t.Context(), s, time.Now(), session)
				require.NoError(t, err)
				c.set(func(c *connection) { c.running = true }) // the next session
				time.Sleep(window)
				synctest.Wait()
				require.Equal(t, []string{"0s message+ of 0s for 5m", "1s " + name + "+", "4m54s message of 0s released"}, c.sent())
				require.Zero(t, s.Stats().Conversations)
			})
		})
	}
}

// A message after the end has started the next generation, which has the lease.
func TestEarlierEndKeepsTheEntry(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		time.Sleep(12 * time.Second)
		writes(t, s, sender.Sent)
		_, err := s.CloseConversation(t.Context(), full, conversation.Close{By: conversation.EndUser, At: began().Add(10 * time.Second)})
		require.NoError(t, err)
		time.Sleep(window)
		require.Equal(t, []string{"12s message+ of 12s for 5m", "12s close+", "5m6s message of 12s released"}, c.sent())
	})
}

func TestRejectionIsLoggedOnce(t *testing.T) {
	var said bytes.Buffer
	windowed(t, sender.Options{Logger: slog.New(slog.NewTextHandler(&said, nil))}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		writes(t, s, sender.Absorbed)
		c.set(func(c *connection) { c.rejects = true })
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(said.String(), "Temporal rejects reports"), said.String())
		require.Equal(t, 1, s.Stats().Conversations, "an operator may mend it")
		c.set(func(c *connection) { c.rejects = false })
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(said.String(), "Temporal accepts reports again"))
		require.Zero(t, s.Stats().Conversations)
	})
}

func TestFaultThatComesAndGoesIsLoggedOnceAMinute(t *testing.T) {
	var said bytes.Buffer
	windowed(t, sender.Options{Logger: slog.New(slog.NewTextHandler(&said, nil))}, func(t *testing.T, s *sender.Sender, c *connection) {
		for i := range 100 {
			other := full
			other.ConversationIdentifier = fmt.Sprint("c", i)
			c.set(func(c *connection) { c.down = i%2 == 0 })
			_, err := s.Message(t.Context(), other, conversation.Message{})
			require.Equal(t, c.down, err != nil)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		require.Equal(t, 2, strings.Count(said.String(), "Temporal does not accept reports"), said.String())
		require.Equal(t, 2, strings.Count(said.String(), "Temporal accepts reports again"), said.String())
	})
}

func TestSessionChangeIsAFlushAndANewEntry(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		of := func(session string, at time.Time) sender.Receipt {
			got, err := s.Message(t.Context(), full, conversation.Message{SessionID: session, At: at})
			require.NoError(t, err)
			return got
		}
		of(session, time.Now())
		time.Sleep(time.Second)
		require.Equal(t, sender.Absorbed, of(session+"AAA", time.Now()), "the same, by its long id")
		c.sent()
		time.Sleep(time.Second)
		require.Equal(t, sender.Sent, of(otherSession, time.Now()))
		require.Equal(t, []string{"2s message+ of 1s for 5m", "2s message+ of 2s for 5m"}, c.sent())
		require.Equal(t, sender.Sent, of(session, began()))
		require.Equal(t, []string{"2s message+ of 0s"}, c.sent(), "a late one of the session before leaves the window alone")
		require.Equal(t, sender.Absorbed, of(otherSession, time.Now()))
	})
}

// At the same time, the session that is known stays.
func TestMessageOfAnotherSessionAtTheSameTime(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		for _, id := range []string{session, otherSession} {
			_, err := s.Message(t.Context(), full, conversation.Message{SessionID: id, At: began()})
			require.NoError(t, err)
		}
		require.Equal(t, []string{"0s message+ of 0s for 5m", "0s message+ of 0s"}, c.sent())
	})
}

// The window of a policy is remembered while a conversation is quiet.
func TestQuietConversationKeepsItsWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(20 * time.Second))},
		})
		require.NoError(t, err)
		c.set(func(c *connection) { c.running = true })
		writes(t, s, sender.Sent)
		time.Sleep(time.Hour)
		synctest.Wait()
		c.sent()
		writes(t, s, sender.Sent)
		require.Equal(t, []string{"1h0m0s message+ of 1h0m0s for 10s"}, c.sent())
	})
}

// Each of many conversations is reported once at the end of its window.
func TestManyConversationsInAWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		write := func(i int) {
			id := full
			id.ConversationIdentifier = fmt.Sprint("c", i)
			_, err := s.Message(t.Context(), id, conversation.Message{})
			require.NoError(t, err)
		}
		for i := range 5 {
			write(i)
			time.Sleep(time.Second)
		}
		for _, i := range []int{1, 3, 0, 4, 2} {
			write(i)
			time.Sleep(time.Second)
		}
		c.sent()
		time.Sleep(window)
		synctest.Wait()
		require.Len(t, c.sent(), 5)
	})
}

// An absorbed message of after the end starts the conversation again.
func TestAbsorbedMessageAfterAnEndStartsANewWorkflow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		time.Sleep(4 * time.Minute)
		writes(t, s, sender.Absorbed)
		c.sent()
		c.set(func(c *connection) { c.ended = true })
		time.Sleep(time.Minute)
		require.Equal(t, []string{"4m54s new message of 4m0s for 5m"}, c.sent())
		c.set(func(c *connection) { c.ended = true })
		time.Sleep(window)
		require.Empty(t, c.sent(), "without one, there is nothing to take back")
		require.Zero(t, s.Stats().Conversations)
	})
}

func TestConversationsAreBounded(t *testing.T) {
	windowed(t, sender.Options{ID: "a", MaxConversations: 1}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		other := full
		other.ConversationIdentifier = "c2"
		_, err := s.Message(t.Context(), other, conversation.Message{})
		require.ErrorIs(t, err, sender.ErrFull)
		_, err = s.Start(t.Context(), conversation.Start{Identity: other})
		require.NoError(t, err)
		require.Equal(t, []string{"0s message+ of 0s for 5m", "0s start"}, c.sent(), "a start takes no room")
		writes(t, s, sender.Absorbed)
		time.Sleep(window)
		_, err = s.Message(t.Context(), other, conversation.Message{})
		require.NoError(t, err)
	})
}

// Conversations with long ids count for more.
func TestBytesAreBounded(t *testing.T) {
	long := full
	long.ConversationIdentifier = strings.Repeat("c", 240)
	for maxBytes, want := range map[int64]error{700: sender.ErrFull, 1000: nil} {
		windowed(t, sender.Options{ID: "a", MaxBytes: maxBytes}, func(t *testing.T, s *sender.Sender, _ *connection) {
			_, err := s.Message(t.Context(), long, conversation.Message{})
			require.ErrorIs(t, err, want)
			if want != nil {
				writes(t, s, sender.Sent) // a shorter one
			}
			time.Sleep(window)
			_, err = s.Message(t.Context(), long, conversation.Message{})
			require.ErrorIs(t, err, want, "an entry that is gone takes no room")
		})
	}
}

// Whoever may send a start may not make the sender keep a lease for a year.
func TestWindowsAreBounded(t *testing.T) {
	year := conversation.Policy{InactivateAfter: new(conversation.Duration(365 * 24 * time.Hour))}
	for want, options := range map[string]sender.Options{
		"0s message+ of 0s for 1h":  {ID: "a"},
		"0s message+ of 0s for 10m": {ID: "a", MaxWindow: 10 * time.Minute},
	} {
		windowed(t, options, func(t *testing.T, s *sender.Sender, c *connection) {
			_, err := s.Start(t.Context(), conversation.Start{Identity: full, Policy: year})
			require.NoError(t, err)
			c.running = true
			writes(t, s, sender.Sent)
			require.Equal(t, []string{"0s start", want}, c.sent())
		})
	}
}

// A conversation that has ended, and whose lease is not released yet, makes room.
func TestEndedConversationMakesRoom(t *testing.T) {
	windowed(t, sender.Options{MaxConversations: 1}, func(t *testing.T, s *sender.Sender, _ *connection) {
		writes(t, s, sender.Sent)
		other := full
		other.ConversationIdentifier = "other"
		_, err := s.Message(t.Context(), other, conversation.Message{})
		require.ErrorIs(t, err, sender.ErrFull)
		_, err = s.CloseConversation(t.Context(), full, conversation.Close{})
		require.NoError(t, err)
		_, err = s.Message(t.Context(), other, conversation.Message{})
		require.NoError(t, err)
	})
}

func TestCloseReportsEverythingAndReleasesLeases(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		quiet := full
		quiet.ConversationIdentifier = "c2"
		_, err := s.Message(t.Context(), quiet, conversation.Message{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		writes(t, s, sender.Absorbed)
		c.sent()

		require.NoError(t, s.Close(t.Context()))
		require.ElementsMatch(t, []string{"1s message+ of 1s released", "1s message of 0s released"}, c.sent())
		require.NoError(t, s.Close(t.Context()))
		for name, send := range map[string]sendFunc{"start": started, "message": message, "close": closed, "status": endedInSalesforce} {
			_, err := send(t.Context(), s, time.Now(), session)
			require.ErrorIs(t, err, sender.ErrClosed, name)
		}
	})
}

func TestCloseDoesNotWaitForIdleConversations(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		})
		require.NoError(t, err)
		require.NoError(t, s.Close(t.Context()))
		require.Zero(t, time.Since(began()))
		require.Equal(t, []string{"0s start"}, c.sent())
	})
}

func TestReleaseIsRepeatedUntilAcknowledged(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		c.sent()
		c.set(func(c *connection) { c.down = true })
		time.Sleep(window)
		c.set(func(c *connection) { c.down = false })
		time.Sleep(time.Minute)
		sent := c.sent()
		require.Len(t, sent, 1)
		require.Contains(t, sent[0], "message of 0s released")
	})
}

// A renewal may have arrived although its answer did not. So the sender trusts
// the shorter lease.
func TestFailedRenewalCountsOnTheShorterLease(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		c.running = true
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		})
		require.NoError(t, err)
		time.Sleep(4 * time.Second)
		writes(t, s, sender.Absorbed)
		c.set(func(c *connection) { c.down = true })
		time.Sleep(2 * time.Second)
		writes(t, s, sender.Absorbed)
		time.Sleep(4 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Message(ctx, full, conversation.Message{})
		require.Error(t, err, "the workflow may hold the lease of 5 s only")
	})
}

// ctx bounds the waiting of its caller. The request goes on for the others.
func TestCallersContextBoundsOnlyItsWaiting(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		hold := make(chan struct{})
		c.set(func(c *connection) { c.hold = hold })
		var patient sync.WaitGroup
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Message(impatient, full, conversation.Message{})
		pending, ok := errors.AsType[*sender.PendingError](err)
		require.True(t, ok, "%v", err)
		require.ErrorIs(t, pending, context.DeadlineExceeded)
		patient.Go(func() {
			_, err := s.Message(t.Context(), full, conversation.Message{At: began()})
			assert.NoError(t, err)
		})
		synctest.Wait()
		close(hold)
		patient.Wait()
		require.Equal(t, []string{"1s message+ of 0s for 5m"}, c.sent(), "one request for both")
	})
}

func TestCloseThatTimesOutSaysWhatIsLeft(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, c *connection) {
		writes(t, s, sender.Sent)
		time.Sleep(time.Second)
		writes(t, s, sender.Absorbed)
		c.set(func(c *connection) { c.down = true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := s.Close(ctx)
		left, ok := errors.AsType[*sender.UndrainedError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, 1, left.Conversations)
		require.Equal(t, 1, left.Unreported)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// many returns identities with separately allocated strings.
func many(n int) []conversation.Identity {
	ids := make([]conversation.Identity, n)
	for i := range ids {
		ids[i] = conversation.Identity{
			OrgID: "00D000000000001", AuthorizationContext: "Partner1_ChannelDefinition1",
			ChannelAddressIdentifier: "8f5d1c1e-2f0a-4c58-9a34-6b1c0d2e7f01", EndUserClientID: fmt.Sprintf("+49151%08d", i),
			ConversationIdentifier: fmt.Sprintf("6f1c2a9e-2f0a-4c58-9a34-%012d", i), SessionID: fmt.Sprintf("0Mw%012dAAA", i),
		}
	}
	return ids
}

// acceptAll is a client that accepts every request.
type acceptAll struct{ client.Client }

func (acceptAll) SignalWithStartWorkflow(context.Context, string, string, any, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, nil
}

func (acceptAll) SignalWorkflow(context.Context, string, string, string, any) error { return nil }

// BenchmarkMemory prints the bytes that a tracked conversation takes, just before
// and just after the table of conversations has grown.
func BenchmarkMemory(b *testing.B) {
	address := func(i int) string { return fmt.Sprintf("8f5d1c1e-2f0a-4c58-9a34-%012d", i) }
	longest := func(i int) string { return strings.Repeat("\U0001F600", 228) + fmt.Sprintf("%012d", i) }
	for name, change := range map[string]func(*conversation.Identity, int){
		"usual": func(id *conversation.Identity, i int) { id.EndUserClientID = address(i) },
		"a-channel-each": func(id *conversation.Identity, i int) {
			id.EndUserClientID, id.ChannelAddressIdentifier = address(i), address(i)
		},
		"longest": func(id *conversation.Identity, i int) {
			id.ConversationIdentifier = fmt.Sprintf("%0240d", i)
			id.EndUserClientID, id.ChannelAddressIdentifier = longest(i), longest(i)
			id.AuthorizationContext = "A" + fmt.Sprintf("%079d", i)
		},
	} {
		for _, n := range []int{50_000, 58_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for range b.N {
					b.ReportMetric(bytesPerConversation(b, n, change), "B/conversation")
				}
			})
		}
	}
}

func bytesPerConversation(b *testing.B, n int, change func(*conversation.Identity, int)) float64 {
	ids := many(n)
	for i := range ids {
		change(&ids[i], i)
	}
	s := sender.New(acceptAll{}, sender.Options{MaxConversations: n, MaxBytes: 1 << 40})
	before := heap()
	for _, id := range ids {
		_, err := s.Message(b.Context(), id, conversation.Message{})
		require.NoError(b, err)
	}
	size := float64(heap()-before) / float64(n)
	require.Equal(b, n, s.Stats().Conversations)
	require.NoError(b, s.Close(b.Context()))
	runtime.KeepAlive(ids)
	return size
}

func heap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestAbsorbingAllocatesNothing(t *testing.T) {
	s := sender.New(acceptAll{}, sender.Options{})
	ids := many(1)
	ctx := t.Context()
	_, err := s.Message(ctx, ids[0], conversation.Message{})
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		_, _ = s.Message(ctx, ids[0], conversation.Message{At: time.Now()})
	}))
	require.NoError(t, s.Close(t.Context()))
}

// BenchmarkAbsorb absorbs messages of 10,000 conversations, by one caller and by
// all processors at once.
func BenchmarkAbsorb(b *testing.B) {
	ids := many(10_000)
	s := sender.New(acceptAll{}, sender.Options{})
	for _, id := range ids {
		_, err := s.Message(b.Context(), id, conversation.Message{})
		require.NoError(b, err)
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			_, _ = s.Message(b.Context(), ids[i%len(ids)], conversation.Message{At: time.Now()})
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for i := 0; p.Next(); i++ {
				_, _ = s.Message(b.Context(), ids[i%len(ids)], conversation.Message{At: time.Now()})
			}
		})
	})
	require.NoError(b, s.Close(b.Context()))
}
