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
	lead   = window / 50
)

// line is a connection to Temporal in virtual time, which keeps what is told.
type line struct {
	client.Client

	mu   sync.Mutex
	told []told
	// cut fails every call, for good with refuse; over has conversations ended,
	// known has them run; hold keeps calls under way until it is closed.
	cut, refuse, over, known bool
	hold                     chan struct{}
}

// told is what a conversation was told: "start", the name of a signal, or the
// name with "+" when it begins the conversation if need be.
type told struct {
	what    string
	after   time.Duration
	message conversation.Message
	promise conversation.Lease
}

func (l *line) take(what string, payload any) error {
	l.mu.Lock()
	hold := l.hold
	l.mu.Unlock()
	if hold != nil {
		<-hold
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cut:
		return serviceerror.NewUnavailable("cut off")
	case l.refuse:
		return serviceerror.NewPermissionDenied("not you", "")
	case l.over:
		return serviceerror.NewNotFound("workflow execution already completed")
	}
	t := told{what: what, after: time.Since(began())}
	switch p := payload.(type) {
	case conversation.Message:
		t.message, t.promise = p, p.Lease
	case conversation.Start:
		t.promise = p.Lease
	}
	l.told = append(l.told, t)
	return nil
}

// began is when virtual time begins.
func began() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

func (l *line) ExecuteWorkflow(_ context.Context, _ client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	if l.known {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it runs", "", "run")
	}
	return nil, l.take("start", args[0])
}

func (l *line) SignalWithStartWorkflow(_ context.Context, _, signal string, payload any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	err := l.take(signal+"+", payload)
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		l.mu.Lock()
		l.over = false
		l.mu.Unlock()
		return nil, l.take("new "+signal, payload)
	}
	return nil, err
}

func (l *line) SignalWorkflow(_ context.Context, _, _, signal string, payload any) error {
	return l.take(signal, payload)
}

func (l *line) set(change func(*line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// heard is what was told since the last time, one line each.
func (l *line) heard() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, t := range l.told {
		text := fmt.Sprintf("%s %s", t.after, t.what)
		if !t.message.At.IsZero() {
			text += " of " + t.message.At.Sub(began()).String()
		}
		switch {
		case t.promise.Duration > 0:
			text += " for " + t.promise.Duration.String()
		case t.promise.Holder != "":
			text += " taken back"
		}
		lines = append(lines, text)
	}
	l.told = nil
	return lines
}

// windowed runs a test of a windowed sender in virtual time.
func windowed(t *testing.T, o sender.Options, test func(t *testing.T, s *sender.Sender, l *line)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		s := sender.New(l, o)
		defer func() {
			l.set(func(l *line) { l.cut = false })
			_ = s.Close(t.Context())
		}()
		test(t, s, l)
	})
}

func says(t *testing.T, s *sender.Sender, want sender.Receipt) {
	t.Helper()
	got, err := s.Message(t.Context(), full, conversation.Message{})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestABurstIsReportedByItsWindows(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		require.Equal(t, []string{"0s message+ of 0s for 5m"}, l.heard(), "the first at once")
		for range 4 {
			time.Sleep(time.Minute)
			says(t, s, sender.Absorbed)
		}
		require.Empty(t, l.heard())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"4m54s message+ of 4m0s for 5m"}, l.heard(), "the last at the window's end")
		time.Sleep(window)
		require.Equal(t, []string{"8m54s message of 4m0s taken back"}, l.heard(), "it stayed quiet")
		require.Equal(t, sender.Stats{Absorbed: 4, Reports: 3}, s.Stats())
		says(t, s, sender.Sent)
		require.Equal(t, []string{"10m0s message+ of 10m0s for 5m"}, l.heard())
	})
}

// Reports that come all at once would make idle calls late.
func TestConversationsThatBeganTogetherReportApart(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		const conversations = 3000
		for i := range conversations {
			id := full
			id.ConversationIdentifier = fmt.Sprintf("c%d", i)
			_, err := s.Message(t.Context(), id, conversation.Message{})
			require.NoError(t, err)
		}
		l.heard()
		time.Sleep(window - lead)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		require.Len(t, l.told, conversations, "all of them before the promises end")
		perSecond := map[time.Duration]int{}
		for _, told := range l.told {
			perSecond[told.after.Truncate(time.Second)]++
		}
		for second, reports := range perSecond {
			require.Less(t, reports, conversations/5, "at %s", second)
		}
	})
}

func TestAShortPromiseIsNotMade(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		time.Sleep(time.Minute)
		says(t, s, sender.Absorbed)
		l.heard()
		time.Sleep(window)
		require.Equal(t, []string{"4m54s message+ of 1m0s taken back"}, l.heard(), "its end would cost another report")
		require.Zero(t, s.Stats().Conversations)

		got, err := s.Message(t.Context(), full, conversation.Message{At: time.Now().Add(-window)})
		require.NoError(t, err)
		require.Equal(t, sender.Sent, got)
		require.Equal(t, []string{"6m0s message+ of 1m0s taken back"}, l.heard(), "one of long ago promises nothing")
	})
}

func TestAStartOpensTheWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		start := conversation.Start{Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(2 * time.Minute))}}
		_, err := s.Start(t.Context(), start)
		require.NoError(t, err)
		says(t, s, sender.Absorbed)
		require.Equal(t, []string{"0s start for 1m"}, l.heard(), "half of its own inactivateAfter")
		time.Sleep(30 * time.Second)
		says(t, s, sender.Absorbed)
		_, err = s.Start(t.Context(), start)
		require.NoError(t, err)
		require.Equal(t, []string{"30s message+ of 30s for 1m", "30s start"}, l.heard(), "what was absorbed comes first")
		time.Sleep(time.Second)
		start.At = began()
		_, err = s.Start(t.Context(), start)
		require.NoError(t, err)
		says(t, s, sender.Absorbed)
		require.Equal(t, []string{"31s start"}, l.heard(), "an older start says nothing of the window")
	})
}

// The conversation may be Inactive. A promise that ends would look as if somebody
// had written.
func TestACorrectionPromisesNothing(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		l.known = true
		_, err := s.Start(t.Context(), conversation.Start{Identity: full})
		require.NoError(t, err)
		time.Sleep(window)
		require.Equal(t, []string{"0s start+ taken back"}, l.heard())

		says(t, s, sender.Sent)
		time.Sleep(time.Second)
		_, err = s.Start(t.Context(), conversation.Start{Identity: full})
		require.NoError(t, err)
		require.Equal(t, []string{"5m0s message+ of 5m0s for 5m", "5m1s start+"}, l.heard(), "what stands is left alone")
		says(t, s, sender.Absorbed)
		_, err = s.Start(t.Context(), conversation.Start{Identity: full, At: began()})
		require.NoError(t, err)
		require.Equal(t, []string{"5m1s message+ of 5m1s for 5m", "5m1s start+"}, l.heard())
		says(t, s, sender.Absorbed)
	})
}

func TestACallersOwnPromiseIsLeftAlone(t *testing.T) {
	windowed(t, sender.Options{Window: new(conversation.Duration(0))}, func(t *testing.T, s *sender.Sender, l *line) {
		l.known = true
		own := conversation.Lease{Holder: "own", Duration: conversation.Duration(time.Minute)}
		_, err := s.Start(t.Context(), conversation.Start{Identity: full, Lease: own})
		require.NoError(t, err)
		require.Equal(t, []string{"0s start+ for 1m"}, l.heard())
	})
}

// The next burst of a conversation has the window of its start, too.
func TestTheLengthOfTheWindowIsRemembered(t *testing.T) {
	windowed(t, sender.Options{ID: "a", MaxConversations: 1}, func(t *testing.T, s *sender.Sender, l *line) {
		start := conversation.Start{Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))}}
		_, err := s.Start(t.Context(), start)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Zero(t, s.Stats().Conversations)
		says(t, s, sender.Sent)
		require.Equal(t, []string{"0s start for 5s", "4.9s message of 0s taken back", "1h0m0s message+ of 1h0m0s for 5s"}, l.heard())

		time.Sleep(time.Hour)
		other := full
		other.ConversationIdentifier = "c2"
		_, err = s.Message(t.Context(), other, conversation.Message{})
		require.NoError(t, err, "but another one may take its room")
	})
}

// A conversation may end unseen. The next message that says enough begins it anew.
func TestAWindowLearnsWhoseItIs(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		key := conversation.Identity{OrgID: full.OrgID, ConversationIdentifier: full.ConversationIdentifier, SessionID: full.SessionID}
		_, err := s.Message(t.Context(), key, conversation.Message{})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		says(t, s, sender.Absorbed)
		l.set(func(l *line) { l.over = true })
		time.Sleep(window)
		require.Equal(t, []string{"0s message of 0s for 5m", "4m54s new message of 1m0s taken back"}, l.heard())
	})
}

// A message may come before the start, and be promised too much for it.
func TestAStartShortensTheWindow(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		time.Sleep(time.Second)
		says(t, s, sender.Sent)
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, At: began(), Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		})
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1s message+ of 1s for 5m", "1s start", "5.9s message of 1s taken back"}, l.heard())
	})
}

func TestALateStartOfTheSessionBeforeLeavesTheWindowAlone(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
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
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, told := range l.told {
			require.NotEqual(t, session, told.message.SessionID)
		}
	})
}

func TestWithoutAWindowEveryMessageIsReported(t *testing.T) {
	windowed(t, sender.Options{Window: new(conversation.Duration(0))}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		says(t, s, sender.Sent)
		require.Equal(t, []string{"0s message+", "0s message+"}, l.heard())
	})
}

// A message that nothing stands for is not accepted before the conversation
// knows it, however many wait for it.
func TestWhatIsNotCoveredWaits(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		hold := make(chan struct{})
		l.set(func(l *line) { l.hold = hold })
		var accepted sync.WaitGroup
		for range 10 {
			accepted.Go(func() {
				_, err := s.Message(t.Context(), full, conversation.Message{})
				require.NoError(t, err)
				require.NotEmpty(t, l.told)
			})
		}
		synctest.Wait()
		close(hold)
		accepted.Wait()
		require.Equal(t, []string{"0s message+ of 0s for 5m"}, l.heard(), "one report for all")

		// While the promise is being taken back, it stands for nothing any more.
		hold = make(chan struct{})
		l.set(func(l *line) { l.hold = hold })
		time.Sleep(window - lead)
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
			t.Fatal("absorbed without a promise")
		default:
		}
		close(hold)
		<-said
		require.Equal(t, []string{"4m54s message of 0s taken back", "4m54s message+ of 4m54s for 5m"}, l.heard())
	})
}

func TestWhileTemporalIsAwayReportsAreKept(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		l.heard()
		l.set(func(l *line) { l.cut = true })
		time.Sleep(4 * time.Minute)
		says(t, s, sender.Absorbed)

		// Past the end of the promise a message is kept, but the caller hears that
		// nothing stands for it.
		time.Sleep(2 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Message(ctx, full, conversation.Message{})
		keptErr, ok := errors.AsType[*sender.PendingError](err)
		require.True(t, ok, "%v", err)
		require.True(t, sender.IsRetryable(keptErr.Cause), "%v", err)
		require.ErrorContains(t, err, "message 00D000000000001:c1: not reported yet, kept and tried again: ")
		require.Equal(t, 1, s.Stats().Unreported)
		require.Empty(t, l.heard())

		l.set(func(l *line) { l.cut = false })
		time.Sleep(10 * time.Second)
		heard := l.heard()
		require.Len(t, heard, 1)
		require.Contains(t, heard[0], "message+ of 6m0s for 5m")
		require.Zero(t, s.Stats().Unreported)
	})
}

func TestWhatIsRefusedForGoodIsNotKept(t *testing.T) {
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

func TestWhatWasAbsorbedComesBeforeTheEnd(t *testing.T) {
	for name, tell := range map[string]tell{"close": closed, "session-status": endedInSalesforce} {
		t.Run(name, func(t *testing.T) {
			windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
				says(t, s, sender.Sent)
				time.Sleep(time.Second)
				says(t, s, sender.Absorbed)
				l.heard()
				_, err := tell(t.Context(), s, time.Now(), "")
				if name == "session-status" {
					_, err = tell(t.Context(), s, time.Now(), session)
				}
				require.NoError(t, err)
				heard := l.heard()
				require.Equal(t, "1s message+ of 1s for 5m", heard[0])
				require.Equal(t, "1s "+name+"+", heard[1])
				says(t, s, sender.Sent)
			})
		})
	}
}

// A message after the end has begun another life, which has the promise.
func TestAnEarlierEndLeavesTheWindowAlone(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		time.Sleep(12 * time.Second)
		says(t, s, sender.Sent)
		_, err := s.CloseConversation(t.Context(), full, conversation.Close{By: conversation.EndUser, At: began().Add(10 * time.Second)})
		require.NoError(t, err)
		time.Sleep(window)
		require.Equal(t, []string{"12s message+ of 12s for 5m", "12s close+", "5m6s message of 12s taken back"}, l.heard())
	})
}

func TestARefusalIsSaidOnce(t *testing.T) {
	var said bytes.Buffer
	windowed(t, sender.Options{Logger: slog.New(slog.NewTextHandler(&said, nil))}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		says(t, s, sender.Absorbed)
		l.set(func(l *line) { l.refuse = true })
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(said.String(), "Temporal refuses reports"), said.String())
		require.Equal(t, 1, s.Stats().Conversations, "an operator may mend it")
		l.set(func(l *line) { l.refuse = false })
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, strings.Count(said.String(), "Temporal takes reports again"))
		require.Zero(t, s.Stats().Conversations)
	})
}

func TestAnotherSessionIsReportedAtOnce(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		of := func(session string, at time.Time) sender.Receipt {
			got, err := s.Message(t.Context(), full, conversation.Message{SessionID: session, At: at})
			require.NoError(t, err)
			return got
		}
		of(session, time.Now())
		time.Sleep(time.Second)
		require.Equal(t, sender.Absorbed, of(session+"AAA", time.Now()), "the same, by its long id")
		l.heard()
		time.Sleep(time.Second)
		require.Equal(t, sender.Sent, of(otherSession, time.Now()))
		require.Equal(t, []string{"2s message+ of 1s for 5m", "2s message+ of 2s for 5m"}, l.heard())
		require.Equal(t, sender.Sent, of(session, began()))
		require.Equal(t, []string{"2s message+ of 0s"}, l.heard(), "a late one of the session before leaves the window alone")
		require.Equal(t, sender.Absorbed, of(otherSession, time.Now()))
	})
}

// An absorbed message that comes after the end begins the conversation anew.
func TestAnAbsorbedMessageOutlivesTheEnd(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		time.Sleep(4 * time.Minute)
		says(t, s, sender.Absorbed)
		l.heard()
		l.set(func(l *line) { l.over = true })
		time.Sleep(time.Minute)
		require.Equal(t, []string{"4m54s new message of 4m0s for 5m"}, l.heard())
		l.set(func(l *line) { l.over = true })
		time.Sleep(window)
		require.Empty(t, l.heard(), "without one, there is nothing to take back")
		require.Zero(t, s.Stats().Conversations)
	})
}

func TestMemoryIsBounded(t *testing.T) {
	windowed(t, sender.Options{ID: "a", MaxConversations: 1}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		other := full
		other.ConversationIdentifier = "c2"
		_, err := s.Message(t.Context(), other, conversation.Message{})
		require.ErrorIs(t, err, sender.ErrFull)
		_, err = s.Start(t.Context(), conversation.Start{Identity: other})
		require.NoError(t, err)
		require.Equal(t, []string{"0s message+ of 0s for 5m", "0s start"}, l.heard(), "a start takes no room")
		says(t, s, sender.Absorbed)
		time.Sleep(window)
		_, err = s.Message(t.Context(), other, conversation.Message{})
		require.NoError(t, err)
	})
}

func TestClosingReportsEverythingAndTakesPromisesBack(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		quiet := full
		quiet.ConversationIdentifier = "c2"
		_, err := s.Message(t.Context(), quiet, conversation.Message{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		says(t, s, sender.Absorbed)
		l.heard()

		require.NoError(t, s.Close(t.Context()))
		require.ElementsMatch(t, []string{"1s message+ of 1s taken back", "1s message of 0s taken back"}, l.heard())
		require.NoError(t, s.Close(t.Context()))
		for name, tell := range map[string]tell{"start": started, "message": message, "close": closed, "status": endedInSalesforce} {
			_, err := tell(t.Context(), s, time.Now(), session)
			require.ErrorIs(t, err, sender.ErrClosed, name)
		}
	})
}

func TestClosingDoesNotWaitForWhatIsOnlyRemembered(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		})
		require.NoError(t, err)
		require.NoError(t, s.Close(t.Context()))
		require.Zero(t, time.Since(began()))
		require.Equal(t, []string{"0s start for 5s", "0s message of 0s taken back"}, l.heard())
	})
}

func TestAPromiseIsTakenBackUntilTemporalHearsIt(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		l.heard()
		l.set(func(l *line) { l.cut = true })
		time.Sleep(window)
		l.set(func(l *line) { l.cut = false })
		time.Sleep(time.Minute)
		heard := l.heard()
		require.Len(t, heard, 1)
		require.Contains(t, heard[0], "message of 0s taken back")
	})
}

// A shorter promise may have arrived although its answer did not.
func TestOfTwoPromisesTheShorterCounts(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		time.Sleep(time.Second)
		l.set(func(l *line) { l.cut = true })
		_, err := s.Start(t.Context(), conversation.Start{
			Identity: full, Policy: conversation.Policy{InactivateAfter: new(conversation.Duration(10 * time.Second))},
		})
		require.Error(t, err)
		time.Sleep(6 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Message(ctx, full, conversation.Message{})
		require.Error(t, err, "nothing that is sure stands for it")
	})
}

func TestClosingInVainSaysWhatIsLeft(t *testing.T) {
	windowed(t, sender.Options{ID: "a"}, func(t *testing.T, s *sender.Sender, l *line) {
		says(t, s, sender.Sent)
		time.Sleep(time.Second)
		says(t, s, sender.Absorbed)
		l.set(func(l *line) { l.cut = true })
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

// many are identities as they come in, each with strings of its own.
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

// mute is a connection that takes everything.
type mute struct{ client.Client }

func (mute) SignalWithStartWorkflow(context.Context, string, string, any, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, nil //nolint:nilnil // the sender does not look at the run
}

func (mute) SignalWorkflow(context.Context, string, string, string, any) error { return nil }

func TestATrackedConversationIsSmall(t *testing.T) {
	const n = 50_000
	ids := many(n)
	s := sender.New(mute{}, sender.Options{MaxConversations: n})
	before := heap()
	for _, id := range ids {
		_, err := s.Message(t.Context(), id, conversation.Message{})
		require.NoError(t, err)
	}
	size := float64(heap()-before) / n
	require.Equal(t, n, s.Stats().Conversations)
	t.Logf("%.0f bytes per tracked conversation", size)
	require.Less(t, size, 256.0)
	require.NoError(t, s.Close(t.Context()))
	runtime.KeepAlive(ids)
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
	s := sender.New(mute{}, sender.Options{})
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
	s := sender.New(mute{}, sender.Options{})
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
