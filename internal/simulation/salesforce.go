package simulation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sessionkeeper/conversation"
	"sessionkeeper/internal/interaction"
)

// salesforce is the stand-in for Salesforce. It knows the truth about every session.
type salesforce struct {
	*world
	sessions []*Session
	calls    int
}

// Session is the truth about one session.
type Session struct {
	ID     string
	Status string
	Began  time.Time
	// EndedAt is zero while the session is not over. EndedBy is the role of who ended it.
	EndedAt time.Time
	EndedBy string
	// HungUp is when the end user or the partner closed the chat, zero for never.
	HungUp time.Time
	// inactiveSince is when it last became Inactive.
	inactiveSince time.Time
	// known is when the API knows the session: it is created asynchronously.
	known time.Time
}

// autoEnd is after how long Salesforce ends an Inactive session.
const autoEnd = 24 * time.Hour

// workerRole is who ended a session that the worker's End has ended.
const workerRole = "worker"

// CallRecord is one attempt of a call to Salesforce.
type CallRecord struct {
	Operation conversation.Operation
	By        conversation.By
	SessionID string
	// EndUser is for whom the call is made.
	EndUser string
	Run     string
	// Scheduled is when the workflow decided to call, Began when the attempt began,
	// Answered when its answer reached the worker.
	Scheduled, Began, Answered time.Time
	Attempt                    int
	// Known is how many results of calls the workflow knew when it decided.
	Known int
	// Executed is when Salesforce did what it was asked, zero if it did not.
	Executed time.Time
	// Answer is the name of the answer, Result what the attempt returned to Temporal.
	Answer string
	Result Result
}

// begin begins a session. An earlier one is over then.
func (s *salesforce) begin() *Session {
	if last := s.current(); last != nil && last.EndedAt.IsZero() {
		s.change(last, conversation.StatusEnded, "System")
	}
	n := len(s.sessions) + 1
	session := &Session{
		ID: fmt.Sprintf("0Mw0000000000%02d", n), Began: time.Now(),
		known: time.Now().Add(upTo(s.chance(ofSession, n), 12*time.Second)),
	}
	s.sessions = append(s.sessions, session)
	s.change(session, conversation.StatusActive, "")
	return session
}

func (s *salesforce) current() *Session {
	if len(s.sessions) == 0 {
		return nil
	}
	return s.sessions[len(s.sessions)-1]
}

// change changes the status of a session, and sends a status entry.
func (s *salesforce) change(session *Session, status, by string) {
	now := time.Now()
	entry := conversation.SessionStatus{
		SessionID: session.ID, Status: status, PreviousStatus: session.Status, EndedByRole: by, At: now,
	}
	session.Status = status
	switch status {
	case conversation.StatusInactive:
		session.inactiveSince = now
		s.after(autoEnd, func() {
			if session.Status == status && session.inactiveSince.Equal(now) {
				s.change(session, conversation.StatusEnded, "System")
			}
		})
	case conversation.StatusEnded:
		session.EndedAt, session.EndedBy = now, by
		entry.EndTime.Time = now
		if by == workerRole {
			entry.EndedByRole = "System"
		}
	}
	s.history.count("status", status)
	s.partner.passOn(entry)
}

// wrote is a message that was written in a session.
func (s *salesforce) wrote(session *Session) {
	if session.Status == conversation.StatusInactive {
		s.change(session, conversation.StatusWaiting, "")
	}
}

// call is one attempt of a call. done gets the answer.
func (s *salesforce) call(a *activity, run string, done func(conversation.Answer, error)) *CallRecord {
	c := a.Call
	s.calls++
	chance := s.chance(ofCall, s.calls)
	most := 500 * time.Millisecond
	if s.story.Calm {
		most = 0
	}
	record := &CallRecord{
		Operation: c.Operation, By: c.By, SessionID: c.SessionID, EndUser: c.EndUserClientID, Run: run,
		Attempt:   a.progress.Attempt(a.attempt),
		Scheduled: a.scheduledAt, Known: a.known, Began: time.Now(),
	}
	s.history.Calls = append(s.history.Calls, record)
	s.after(upTo(chance, most), func() {
		answer := s.answer(c, chance.IntN(3))
		if answer.Executed {
			record.Executed = time.Now()
		}
		record.Answer = answer.Name
		s.history.count("answer", string(c.Operation)+" "+answer.Name)
		delay := upTo(chance, most)
		if answer.Slow && !s.story.Calm {
			delay = 10 * time.Second
		}
		s.after(delay, func() {
			if record.Answered.IsZero() { // else the worker has ended the request
				record.Answered = time.Now()
			}
			if answer.make == nil {
				done(conversation.Answer{HTTPStatus: http.StatusOK}, nil)
				return
			}
			done(conversation.Answer{}, answer.make())
		})
	})
	return record
}

// answer executes a call and answers it, unless Salesforce fails.
func (s *salesforce) answer(c Call, variant int) Answer {
	for _, f := range s.story.Faults {
		if f.Kind == SalesforceFails && f.at(s.since()) {
			answer := Answers[f.Answer]
			answer.Executed = answer.Executed && s.execute(c, variant).Executed
			return answer
		}
	}
	return s.execute(c, variant)
}

// execute does what a call asks for. What a repeated call is answered is not documented,
// so the variant decides.
func (s *salesforce) execute(c Call, variant int) Answer {
	success := Answer{Name: "success", Executed: true}
	notFound := byName(string(interaction.ReasonSessionNotFound))
	notActive := byName(string(interaction.ReasonActiveConversationNotFound))
	session := s.current()
	if c.SessionID == "" && c.Operation == conversation.Inactivate {
		return byName("code 10106")
	}
	if c.SessionID != "" {
		session = s.byID(c.SessionID)
	}
	switch {
	case session == nil || time.Now().Before(session.known):
		return notFound
	case !session.EndedAt.IsZero():
		return []Answer{notFound, notActive, {Name: success.Name}}[variant]
	case c.Operation == conversation.End:
		s.change(session, conversation.StatusEnded, workerRole)
	case session.Status == conversation.StatusInactive:
		return []Answer{notActive, success, success}[variant]
	default:
		s.change(session, conversation.StatusInactive, "")
	}
	return success
}

func (s *salesforce) byID(id string) *Session {
	for _, session := range s.sessions {
		if conversation.SameSession(session.ID, id) {
			return session
		}
	}
	return nil
}

// Answer is an answer of Salesforce.
type Answer struct {
	Name string
	// Executed: Salesforce does what it is asked, whatever it answers.
	Executed bool
	// Slow: the answer comes when the client has given up.
	Slow bool
	make func() error
}

// Answers are the failures of the decision table, each with every kind of verdict that
// it has.
var Answers = answers()

func answers() []Answer {
	var all []Answer
	add := func(name string, executed, slow bool, err interaction.Error) {
		err.Requests = 1
		all = append(all, Answer{Name: name, Executed: executed, Slow: slow, make: func() error { return new(err) }})
	}
	for _, reason := range append(interaction.Reasons(), "NEW_REASON") {
		add(string(reason), false, false, interaction.Error{Reason: reason, HTTPStatus: http.StatusOK})
	}
	for _, code := range []string{"10004", "10019", "10055", "10056", "10072", "10094", "10099", "10106"} {
		add("code "+code, false, false, interaction.Error{Code: code, HTTPStatus: http.StatusBadRequest})
	}
	for _, status := range []int{401, 403, 404, 420, 429, 500, 503} {
		add(fmt.Sprint("HTTP ", status), false, false, interaction.Error{HTTPStatus: status})
	}
	add("HTTP 429 with Retry-After", false, false, interaction.Error{HTTPStatus: 429, RetryAfter: 90 * time.Second})
	add("HTTP 500 after it was executed", true, false, interaction.Error{HTTPStatus: 500})
	add("connection lost", false, false, interaction.Error{Err: errors.New("connection reset")})
	add("connection lost after it was executed", true, false, interaction.Error{Err: errors.New("connection reset")})
	add("timeout", false, true, interaction.Error{Err: context.DeadlineExceeded})
	add("timeout after it was executed", true, true, interaction.Error{Err: context.DeadlineExceeded})
	add("success false without a reason", false, false, interaction.Error{HTTPStatus: http.StatusOK})
	add("malformed, executed", true, false, interaction.Error{
		HTTPStatus: http.StatusOK, Err: interaction.ErrMalformedResponse,
	})
	for _, code := range []string{"temporarily_unavailable", "invalid_grant"} {
		add("token "+code, false, false, interaction.Error{
			NotSent: true, Err: &interaction.TokenError{HTTPStatus: http.StatusBadRequest, Code: code},
		})
	}
	return all
}

func byName(name string) Answer {
	for _, a := range Answers {
		if a.Name == name {
			return a
		}
	}
	return Answer{}
}
